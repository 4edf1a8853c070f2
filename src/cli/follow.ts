import { findJobs } from "../client/listing.ts";
import { type Unit, UNITS } from "../client/unit.ts";
import { parseDuration } from "../lib/duration.ts";
import { AppError } from "../protocol/error.ts";
import { type Arguments, type ArgSpecs, parseCount } from "./arguments.ts";
import { type Context, openSession } from "./context.ts";
import { toCommonCode } from "./exit.ts";
import { type Begin, Following, type Wanted } from "./following.ts";
import type { Pace } from "./pace.ts";
import { parsePattern } from "./until.ts";
import type { Verb } from "./verb.ts";

/** Jobs that are followed at once: each takes a channel. */
const MAX_JOBS = 500;

/** How it is followed. */
export const followArgs = {
  since: {
    type: "string",
    valueHint: "n",
    description:
      "Start at value n of a command of the server's own, at packet n of a program (default 0, the first)",
  },
  recent: { type: "string", valueHint: "n", description: "Start at the last n of them" },
  unit: {
    type: "string",
    valueHint: UNITS.join("|"),
    choices: UNITS,
    description: "What --since and --recent count, whatever the job is",
  },
  numbered: { type: "boolean", description: "Begin the line of each value with its number, counted from 0" },
  tail: { type: "string", alias: "n", valueHint: "lines", description: "Start at the last lines" },
  until: {
    type: "string",
    valueHint: "regex",
    description: "Stop with 0 at the first line that matches; with 1 if none does",
  },
  follow: { type: "boolean", description: "--no-follow stops with 0 at the end of what there is now" },
  timestamps: {
    type: "boolean",
    alias: "t",
    description: "Begin each line with the time at which it was written",
  },
  replay: { type: "boolean", description: "Play it back with the pauses in which it was written" },
  speed: {
    type: "string",
    valueHint: "n",
    description: "With --replay: n times as fast (0.5: half as fast)",
  },
  "max-pause": {
    type: "string",
    valueHint: "duration",
    description: "With --replay: no pause longer than this was",
  },
} as const satisfies ArgSpecs;

/** Shows what jobs said and say, until nobody can add to it; the exit code is that of their outcomes. */
export const follow: Verb = {
  summary: "Show what jobs said, then what they say, and exit with their code",
  args: followArgs,
  rest: "JOB ...",
  examples: [
    ["farhand follow 3", "everything it said, then live"],
    ["farhand follow @last --tail 20 --timestamps", "the last lines, each with its time"],
    ["farhand follow 3 4 5", "several, each line behind its job's number"],
    ["farhand follow 3 --until 'listening on'", "wait until a server is up"],
    ["farhand follow 3 --no-follow | grep -i error", "what there is now"],
    ["farhand follow 3 --replay --speed 4 --max-pause 2s", "played back, four times as fast"],
    ["farhand follow 3 --since 1042", "go on where another reader stopped"],
    ["farhand follow 3 --recent 10 --numbered", "the last ten values of a command of the server's own"],
  ],
  run,
};

async function run(values: Arguments, context: Context): Promise<number> {
  const { rest: refs } = values;
  if (refs.length === 0) throw new AppError("invalid_input", "Cannot follow nothing: name a job");
  const options = toWanted(values);
  await using session = await openSession(context);
  const named = await findJobs(session, refs, context.signal);
  const jobs = [...new Map(named.map((job) => [job.id, job])).values()];
  if (jobs.length > MAX_JOBS)
    throw new AppError("invalid_input", `Cannot follow more than ${MAX_JOBS} jobs at once`);
  if (jobs.length > 1 && options.pace !== undefined)
    throw new AppError("invalid_input", "Cannot play back more than one job at once");
  const wanted = { ...options, isOneOfMany: jobs.length > 1 };
  const following = jobs.map((job, index) => new Following(session, job, wanted, index));
  const stopOthers = () => following.forEach((other) => other.stop());
  const codes = following.map(async (one) => {
    const code = await one.run(context);
    if (one.matched) stopOthers();
    return code;
  });
  const all = await Promise.all(codes);
  return following.some(({ matched }) => matched) ? 0 : toCommonCode(all);
}

/** Reads those options. Throws `invalid_input`. */
export function toWanted(values: Arguments): Omit<Wanted, "isOneOfMany"> {
  const until = values.text("until");
  return {
    begin: toBegin(values),
    unit: toUnit(values.text("unit")),
    isNumbered: values.flag("numbered"),
    pattern: until === undefined ? undefined : parsePattern("--until", until),
    isLive: values.choice("follow") ?? true,
    hasTimestamps: values.flag("timestamps"),
    pace: toPace(values),
  };
}

function toUnit(text: string | undefined): Unit | undefined {
  const unit = UNITS.find((unit) => unit === text);
  if (text === undefined || unit !== undefined) return unit;
  throw new AppError("invalid_input", `Cannot use --unit "${text}": choose one of ${UNITS.join(", ")}`);
}

function toPace(values: Arguments): Pace | undefined {
  const [speed, maxPause] = [values.text("speed"), values.text("max-pause")];
  if (values.flag("replay"))
    return {
      speed: speed === undefined ? 1 : parseSpeed(speed),
      maxPause: maxPause === undefined ? Number.POSITIVE_INFINITY : parseDuration(maxPause),
    };
  const [option] = [speed !== undefined ? "--speed" : [], maxPause !== undefined ? "--max-pause" : []].flat();
  if (option === undefined) return undefined;
  throw new AppError("invalid_input", `Cannot use ${option} without --replay`);
}

function parseSpeed(text: string): number {
  const speed = /^\d+(\.\d+)?$/.test(text) ? Number(text) : 0;
  if (speed > 0 && Number.isFinite(speed)) return speed;
  throw new AppError(
    "invalid_input",
    `Cannot read --speed "${text}": write a number above 0, such as 2 or 0.5`,
  );
}

function toBegin(values: Arguments): Begin {
  const [since, recent, tail] = [values.text("since"), values.text("recent"), values.text("tail")];
  if ([since, recent, tail].filter((text) => text !== undefined).length > 1) {
    throw new AppError(
      "invalid_input",
      "Cannot start at more than one of --since, --recent and --tail: give one of them",
    );
  }
  if (recent !== undefined) return { type: "recent", count: parseCount("--recent", recent) };
  if (tail !== undefined) return { type: "tail", lines: parseCount("--tail", tail) };
  return { type: "since", number: parseCount("--since", since ?? "0") };
}
