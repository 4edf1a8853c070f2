import { invoke } from "../client/invoke.ts";
import { findJobs } from "../client/listing.ts";
import type { Session } from "../client/session.ts";
import { wait as command } from "../commands/wait.ts";
import { after } from "../lib/abort.ts";
import { parseDuration } from "../lib/duration.ts";
import { toSeenJob } from "../commands/seen.ts";
import { AppError } from "../protocol/error.ts";
import type { JobSummary } from "../protocol/job.ts";
import type { Arguments, ArgSpecs } from "./arguments.ts";
import { complain, type Context, openSession, print } from "./context.ts";
import { FAILURE, TIMED_OUT, toCommonCode, toExitCode } from "./exit.ts";
import type { Verb } from "./verb.ts";

/** Jobs that are waited for at once. */
const AT_ONCE = 500;

const args = {
  any: { type: "boolean", description: "Wait only for the first to exit, and exit with its code" },
  timeout: {
    type: "string",
    valueHint: "duration",
    description: "Exit with 124 after so long; the jobs go on",
  },
} as const satisfies ArgSpecs;

/** Waits for jobs and answers the exit code of their outcomes. */
export const wait: Verb = {
  summary: "Wait until jobs have exited, and exit with the code of the first that failed",
  args,
  rest: "JOB ...",
  examples: [
    ...command.cli.examples,
    ["farhand wait 3 4 5", "all of them; the code is that of the first named that failed, or 0"],
    ["farhand wait --any 3 4 5 --timeout 10m", "the first that exits, or 124 after ten minutes"],
  ],
  run,
};

async function run(values: Arguments, context: Context): Promise<number> {
  const { rest: refs } = values;
  const isAny = values.flag("any");
  if (refs.length === 0) throw new AppError("invalid_input", "Cannot wait for nothing: name a job");
  if (isAny && refs.length > AT_ONCE)
    throw new AppError("invalid_input", `Cannot wait for the first of more than ${AT_ONCE} jobs`);
  const limit = startLimit(values.text("timeout"));
  const signal = limit === undefined ? context.signal : AbortSignal.any([context.signal, limit]);
  await using session = await openSession(context);
  // Looked up first, so that a wrong reference is told now, and all are known when time is up.
  const known = refs.length > 1 || limit !== undefined ? await findJobs(session, refs, context.signal) : [];
  const ids = known.length > 0 ? known.map(({ id }) => id) : refs;
  const found: JobSummary[] = [];
  const tell = (job: JobSummary) => {
    found.push(job);
    if (!context.globals.json) print(context, job, () => command.cli.show(job));
  };
  try {
    await (isAny ? waitForAny : waitForAll)(session, ids, signal, tell);
  } catch (error) {
    if (limit?.aborted !== true || context.signal.aborted) throw error;
  }
  return conclude({ ids, known, found, isAny }, context);
}

interface Waited {
  readonly ids: readonly string[];
  /** As they were before. */
  readonly known: readonly JobSummary[];
  /** Those that have exited. */
  readonly found: readonly JobSummary[];
  readonly isAny: boolean;
}

function conclude({ ids, known, found, isAny }: Waited, context: Context): number {
  const newest = [...found, ...known];
  const jobs =
    ids.length === 1 ? newest.slice(0, 1) : ids.flatMap((id) => newest.find((job) => job.id === id) ?? []);
  const late = isAny ? found.length === 0 : jobs.some(({ outcome }) => outcome === undefined);
  const first = isAny ? found[0] : undefined;
  if (context.globals.json) {
    const seen = jobs.map(toSeenJob);
    const all = { jobs: seen, ...(first && { first: first.id }), ...(late && { timedOut: true }) };
    print(context, ids.length === 1 && !isAny ? seen[0] : all, () => "");
  } else if (late) complain(context, explainLate(jobs));
  if (late) return TIMED_OUT;
  return toCommonCode((first === undefined ? jobs : [first]).map(toCode));
}

function toCode({ outcome }: JobSummary): number {
  return outcome === undefined ? FAILURE : toExitCode(outcome);
}

function explainLate(jobs: readonly JobSummary[]): string {
  const running = jobs.filter(({ outcome }) => outcome === undefined).map(({ number }) => number);
  return `Not waiting any longer: still running: ${running.join(", ")}`;
}

/** Aborted after so long, however long that is. */
function startLimit(timeout: string | undefined): AbortSignal | undefined {
  if (timeout === undefined) return undefined;
  const limit = new AbortController();
  after(parseDuration(timeout), () => limit.abort());
  return limit.signal;
}

type Waiting = (
  session: Session,
  ids: readonly string[],
  signal: AbortSignal,
  tell: (job: JobSummary) => void,
) => Promise<void>;

/** In batches, as all of them have to exit anyway. */
const waitForAll: Waiting = async (session, ids, signal, tell) => {
  const distinct = [...new Set(ids)];
  for (let start = 0; start < distinct.length; start += AT_ONCE) {
    const batch = distinct.slice(start, start + AT_ONCE);
    await Promise.all(batch.map(async (job) => tell(await invoke(session, command, { job }, signal))));
  }
};

const waitForAny: Waiting = async (session, ids, signal, tell) => {
  const settled = new AbortController();
  const stop = AbortSignal.any([signal, settled.signal]);
  const waits = ids.map((job) => invoke(session, command, { job }, stop));
  waits.forEach((waiting) => waiting.catch(() => {})); // the others are told to stop
  try {
    tell(await Promise.race(waits));
  } finally {
    settled.abort();
  }
};
