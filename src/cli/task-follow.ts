import { invoke } from "../client/invoke.ts";
import { findJobs } from "../client/listing.ts";
import { taskShow as command } from "../commands/task-show.ts";
import { AppError } from "../protocol/error.ts";
import type { Arguments, ArgSpecs } from "./arguments.ts";
import { type Context, openSession } from "./context.ts";
import { followArgs, toWanted } from "./follow.ts";
import { Following } from "./following.ts";
import { toTaskVerb } from "./task-verb.ts";

const args = {
  task: { type: "positional", required: true, description: "Which task" },
  ...followArgs,
} as const satisfies ArgSpecs;

/** Shows what a task's process says, as `follow` does of any job. */
export const taskFollow = toTaskVerb({
  summary: "Show what a task logs, and what becomes of its executions, until its process ends",
  args,
  examples: [
    ["farhand task follow counter", "everything since its process began, then live"],
    ["farhand task follow counter --tail 20 --no-follow", "the last lines that there are now"],
  ],
  run,
});

async function run(values: Arguments, context: Context): Promise<number> {
  const name = values.text("task") ?? "";
  const wanted = { ...toWanted(values), isOneOfMany: false };
  await using session = await openSession(context);
  const { job, state } = await invoke(session, command, { task: name }, context.signal);
  const [found] = job === undefined ? [] : await findJobs(session, [job.id], context.signal);
  if (found !== undefined) return await new Following(session, found, wanted, 0).run(context);
  throw new AppError("not_running", `Cannot follow task "${name}": it is ${state}, and has no process`);
}
