import { invoke } from "../client/invoke.ts";
import type { Session } from "../client/session.ts";
import type { Missing } from "../client/tally.ts";
import { jobs } from "../commands/jobs.ts";
import { wait } from "../commands/wait.ts";
import { abortable } from "../lib/abort.ts";
import type { From } from "../protocol/control.ts";
import { AppError } from "../protocol/error.ts";
import type { JobSummary } from "../protocol/job.ts";
import type { Outcome } from "../protocol/outcome.ts";
import { adviseReadingOn } from "./advice.ts";
import { type Arguments, type ArgSpecs, parseCount } from "./arguments.ts";
import { complain, type Context, openSession } from "./context.ts";
import { explainOutcome, FAILURE, toExitCode, toSignalCode } from "./exit.ts";
import { play } from "./play.ts";
import { createTimestampRenderer, renderJson, renderPlain, type Renderer } from "./render.ts";
import type { Verb } from "./verb.ts";

const args = {
  job: { type: "positional", required: true, description: "Number, id, unique prefix of one, or @last" },
  since: { type: "string", valueHint: "n", description: "Start at packet n (default 0, the first)" },
  recent: { type: "string", valueHint: "n", description: "Start at the last n packets" },
  timestamps: {
    type: "boolean",
    alias: "t",
    description: "Begin each line with the time at which it was written",
  },
} as const satisfies ArgSpecs;

/** Shows what a job said and says, until nobody can add to it; the exit code is its outcome's. */
export const follow: Verb = {
  summary: "Show what a job said, then what it says, and exit with its code",
  args,
  examples: [
    ["farhand follow 3", "everything it said, then live"],
    ["farhand follow @last --recent 20 --timestamps", "the last packets, each line with its time"],
    ["farhand follow 3 --since 1042", "go on where another reader stopped"],
  ],
  run,
};

async function run(values: Arguments, context: Context): Promise<number> {
  const from = toFrom(values);
  await using session = await openSession(context);
  const { signal, globals, sinks } = context;
  const summary = await find(session, values.text("job") ?? "", signal);
  const output = session.openOutput(summary.id, from);
  const render = toRenderer(values, globals.json, summary);
  const playing = play(output, { sinks, render, isShared: globals.json, unread: "stop", until: "closed" });
  const { exit, missing } = await abortable(playing, signal).catch((error: unknown) => {
    if (signal.aborted || output.next === undefined) throw error;
    throw adviseReadingOn(error, { job: summary.id, next: output.next }, globals);
  });
  if (sinks.stdout.isUnread) return toSignalCode("PIPE");
  const outcome = exit?.outcome ?? (await findOutcome(session, summary, output.next, signal));
  if (missing !== undefined) {
    complain(context, explainMissing(missing, summary.number));
    return FAILURE;
  }
  const sentence = explainOutcome(outcome, String(summary.number));
  if (sentence !== undefined && !globals.json) complain(context, sentence);
  return toExitCode(outcome);
}

async function find(session: Session, ref: string, signal: AbortSignal): Promise<JobSummary> {
  const [summary] = (await invoke(session, jobs, { refs: [ref] }, signal)).jobs;
  if (summary === undefined) throw new AppError("not_found", `No job is known as "${ref}"`);
  return summary;
}

/** How a job ended whose exit was not among what was read, which began behind it. `next`: where reading ended. */
async function findOutcome(
  session: Session,
  { id, number }: JobSummary,
  next: number | undefined,
  signal: AbortSignal,
): Promise<Outcome> {
  const { outcome, totals } = await invoke(session, wait, { job: id }, signal);
  if (outcome === undefined)
    throw new AppError("incomplete_output", `Job ${number} ended without an outcome`);
  if (totals !== undefined && next !== undefined && next <= totals.packets)
    throw new AppError(
      "incomplete_output",
      `Output of job ${number} is incomplete: it ends before packet ${next}, the exit is packet ${totals.packets}`,
    );
  return outcome;
}

function toFrom(values: Arguments): From {
  const [since, recent] = [values.text("since"), values.text("recent")];
  if (since !== undefined && recent !== undefined) {
    throw new AppError("invalid_input", "Cannot start at both --since and --recent: give one of them");
  }
  if (recent !== undefined) return { type: "recent", count: parseCount("--recent", recent) };
  return { type: "since", number: parseCount("--since", since ?? "0") };
}

function toRenderer(values: Arguments, json: boolean, { startedAt }: JobSummary): Renderer {
  if (json) return renderJson;
  return values.flag("timestamps") ? createTimestampRenderer(Date.parse(startedAt)) : renderPlain;
}

function explainMissing({ packets, stdoutBytes, stderrBytes }: Missing, job: number): string {
  const bytes =
    stdoutBytes === undefined
      ? "how many bytes is unknown, since reading began later"
      : `${stdoutBytes} bytes of stdout, ${stderrBytes} bytes of stderr`;
  return `Output of job ${job} is incomplete: ${packets} packets are gone (${bytes})`;
}
