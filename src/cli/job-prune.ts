import { pruneJobs } from "../client/listing.ts";
import { jobPrune as command } from "../commands/job-prune.ts";
import { DEFAULT_COLUMNS, toTable } from "../commands/table.ts";
import { count } from "../lib/count.ts";
import type { Arguments } from "./arguments.ts";
import { type Context, openSession, print } from "./context.ts";
import type { Verb } from "./verb.ts";

/** Removes the ended jobs that match, page after page. */
export const jobPrune: Verb = { ...command.cli, summary: command.summary, run };

async function run(values: Arguments, context: Context): Promise<number> {
  const { dryRun = false, filter = {} } = command.cli.toInput(values);
  await using session = await openSession(context);
  const jobs = await pruneJobs(session, { filter, dryRun }, context.signal);
  const sentence = `${count(jobs.length, "job")} ${dryRun ? "would be removed" : "removed"}`;
  const table = jobs.length === 0 ? "" : `${toTable(jobs, DEFAULT_COLUMNS)}\n`;
  print(context, { [dryRun ? "matching" : "removed"]: jobs }, () => `${table}${sentence}`);
  return 0;
}
