import { invoke } from "../client/invoke.ts";
import { findJobs } from "../client/listing.ts";
import { jobRemove as command } from "../commands/job-remove.ts";
import { AppError } from "../protocol/error.ts";
import type { JobName } from "../protocol/job.ts";
import type { Arguments } from "./arguments.ts";
import { type Context, openSession, print } from "./context.ts";
import type { Verb } from "./verb.ts";

/** Jobs that one call removes. */
const BATCH = 100;

/** Removes ended jobs. Every reference is looked up first, so that a wrong one removes nothing. */
export const jobRemove: Verb = { ...command.cli, summary: command.summary, run };

async function run({ rest }: Arguments, context: Context): Promise<number> {
  if (rest.length === 0) throw new AppError("invalid_input", "Cannot remove nothing: name a job");
  const { signal } = context;
  await using session = await openSession(context);
  const ids = [...new Set((await findJobs(session, rest, signal)).map(({ id }) => id))];
  const removed: JobName[] = [];
  for (let start = 0; start < ids.length; start += BATCH) {
    const answer = await invoke(session, command, { jobs: ids.slice(start, start + BATCH) }, signal);
    removed.push(...answer.removed);
  }
  print(context, { removed }, () => command.cli.show({ removed }));
  return 0;
}
