import { invoke } from "../client/invoke.ts";
import { findJobs } from "../client/listing.ts";
import type { Session } from "../client/session.ts";
import { taskShow as command } from "../commands/task-show.ts";
import { delay } from "../lib/abort.ts";
import { AppError } from "../protocol/error.ts";
import type { JobSummary } from "../protocol/job.ts";
import type { TaskDetails } from "../protocol/task.ts";
import type { Arguments, ArgSpecs } from "./arguments.ts";
import { type Context, openSession } from "./context.ts";
import { followArgs, toWanted } from "./follow.ts";
import { Following, type Wanted } from "./following.ts";
import { toTaskVerb } from "./task-verb.ts";

const args = {
  task: { type: "positional", required: true, description: "Which task" },
  ...followArgs,
} as const satisfies ArgSpecs;

/** Shows what a task's processes say, as `follow` does of any job. */
export const taskFollow = toTaskVerb({
  summary: "Show what a task logs, and what becomes of its executions, until it ends",
  args,
  examples: [
    ["farhand task follow counter", "everything since its process began, then live"],
    ["farhand task follow counter --tail 20 --no-follow", "the last lines that there are now"],
  ],
  run,
});

/** Milliseconds between two looks whether there is another process. */
const LOOK = 250;

/** To the end of the task: a process that is started in the place of another is followed too, from its beginning. */
async function run(values: Arguments, context: Context): Promise<number> {
  const name = values.text("task") ?? "";
  const wanted = { ...toWanted(values), isOneOfMany: false };
  await using session = await openSession(context);
  const first = await invoke(session, command, { task: name }, context.signal);
  const job = await findJob(session, first, context.signal);
  if (job === undefined)
    throw new AppError(
      "not_running",
      `Cannot follow task "${name}": it is ${first.state}, and has no process`,
    );
  let code = await follow(job, wanted);
  for (let last = job; wanted.isLive && code !== undefined;) {
    const next = await findNext(session, name, last, context.signal);
    if (next === undefined) return code;
    code = await follow(next, { ...wanted, begin: { type: "since", number: 0 } });
    last = next;
  }
  return code ?? 0;

  /** The exit code, or undefined where what was looked for is found. */
  async function follow(job: JobSummary, wanted: Wanted): Promise<number | undefined> {
    const following = new Following(session, job, wanted, 0);
    const code = await following.run(context);
    return following.matched ? undefined : code;
  }
}

/** The process that comes after this one, when it is there; undefined for a task that has none any more. */
async function findNext(
  session: Session,
  task: string,
  last: JobSummary,
  signal: AbortSignal,
): Promise<JobSummary | undefined> {
  for (;;) {
    const found = await invoke(session, command, { task }, signal).catch((error: unknown) => {
      if (error instanceof AppError && error.code === "not_found") return undefined;
      throw error;
    });
    if (found === undefined) return undefined;
    if (found.job !== undefined && found.job.id !== last.id) return await findJob(session, found, signal);
    if (found.state === "stopped" || found.state === "failed") return undefined;
    await delay(LOOK, signal);
  }
}

async function findJob(
  session: Session,
  { job }: TaskDetails,
  signal: AbortSignal,
): Promise<JobSummary | undefined> {
  return job && (await findJobs(session, [job.id], signal))[0];
}
