import type * as v from "valibot";
import { invoke } from "../client/invoke.ts";
import { findJobs, listJobs } from "../client/listing.ts";
import type { Session } from "../client/session.ts";
import { filterArgs, toFilter } from "../commands/filter.ts";
import { kill as command } from "../commands/kill.ts";
import { AppError, toErrorBody } from "../protocol/error.ts";
import type { JobSummary } from "../protocol/job.ts";
import type { Arguments, ArgSpecs } from "./arguments.ts";
import { complain, type Context, openSession, print } from "./context.ts";
import { FAILURE } from "./exit.ts";
import type { Verb } from "./verb.ts";

/** Jobs that are ended at once. */
const AT_ONCE = 200;

const { job: _job, ...killArgs } = command.cli.args;
const { state: _state, ...whichArgs } = filterArgs;

const args = {
  ...killArgs,
  all: { type: "boolean", description: "Instead of named ones, all running jobs that match" },
  ...whichArgs,
  yes: { type: "boolean", alias: "y", description: "With --all: really all, where nothing says which" },
} as const satisfies ArgSpecs;

/** Ends jobs, or sends them a signal. */
export const kill: Verb = {
  summary: "End jobs with all that came of them, or send them a signal",
  args,
  rest: "JOB ...",
  examples: [
    ...command.cli.examples,
    ["farhand kill --all --label nightly", "every running job of that label"],
  ],
  run,
};

async function run(values: Arguments, context: Context): Promise<number> {
  checkMeant(values);
  const { rest: refs } = values;
  await using session = await openSession(context);
  const [only] = refs;
  if (only !== undefined && refs.length === 1) {
    const answer = await invoke(
      session,
      command,
      { ...command.cli.toInput(values), job: only },
      context.signal,
    );
    print(context, answer, () => command.cli.show(answer));
    return isDone(answer) ? 0 : FAILURE;
  }
  const jobs =
    refs.length > 0
      ? await findJobs(session, refs, context.signal)
      : await findRunning(session, values, context);
  const distinct = [...new Map(jobs.map((job) => [job.id, job])).values()];
  return await killEach(session, distinct, values, context);
}

/** Ends nothing that was not asked for: neither all jobs by a slip, nor named ones though they do not match. */
function checkMeant(values: Arguments): void {
  const refuse = (why: string) => new AppError("invalid_input", `Cannot tell which jobs to end: ${why}`);
  const hasFilter = toFilter(values) !== undefined;
  if (values.flag("all") && values.rest.length > 0) throw refuse("name them, or say --all, not both");
  if (!values.flag("all") && values.rest.length === 0) throw refuse("name a job, or say --all");
  if (!values.flag("all") && hasFilter) throw refuse("only --all is followed by what they must match");
  if (values.flag("all") && !hasFilter && !values.flag("yes"))
    throw refuse("--all alone means every running job; add --label or the like, or --yes");
}

async function findRunning(
  session: Session,
  values: Arguments,
  { signal }: Context,
): Promise<readonly JobSummary[]> {
  const filter = { ...toFilter(values), states: ["running" as const] };
  return (await listJobs(session, { filter }, signal)).jobs;
}

type Answer = Awaited<ReturnType<typeof killOne>>;

async function killEach(
  session: Session,
  jobs: readonly JobSummary[],
  values: Arguments,
  context: Context,
): Promise<number> {
  const answers: Answer[] = [];
  for (let start = 0; start < jobs.length; start += AT_ONCE) {
    const batch = jobs.slice(start, start + AT_ONCE);
    answers.push(...(await Promise.all(batch.map((job) => killOne(session, job, values, context)))));
  }
  if (context.globals.json) print(context, { jobs: answers }, () => "");
  else if (answers.length === 0) print(context, answers, () => "No running job matches");
  // One of many that ended by itself before it was its turn is as gone as it should be.
  const isGone = (answer: Answer) =>
    "error" in answer ? values.flag("all") && answer.error.code === "not_running" : isDone(answer);
  const failed = answers.filter((answer) => !isGone(answer));
  return failed.length === 0 ? 0 : FAILURE;
}

/** Tells at once what was done to this one; a failure stops none of the others. */
async function killOne(session: Session, { id, number }: JobSummary, values: Arguments, context: Context) {
  const { globals, signal } = context;
  try {
    const answer = await invoke(session, command, { ...command.cli.toInput(values), job: id }, signal);
    if (!globals.json) print(context, answer, () => command.cli.show(answer));
    return answer;
  } catch (error) {
    if (!(error instanceof AppError) || session.ended.aborted) throw error;
    if (!globals.json) complain(context, error.message);
    return { id, number, error: toErrorBody(error) };
  }
}

/** What is left behind makes it fail. */
function isDone({ ended }: v.InferOutput<typeof command.result>): boolean {
  return ended?.leftBehind === undefined;
}
