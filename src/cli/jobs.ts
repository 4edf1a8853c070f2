import { invoke } from "../client/invoke.ts";
import { jobs } from "../commands/jobs.ts";
import type { JobSummary } from "../protocol/job.ts";
import type { Arguments } from "./arguments.ts";
import { type Context, openSession, print } from "./context.ts";

/** Lists jobs, page after page. */
export async function runJobs(values: Arguments, context: Context): Promise<number> {
  await using session = await openSession(context);
  const input = jobs.cli.toInput(values);
  const found: JobSummary[] = [];
  for (let more = true; more;) {
    const before = found.at(-1)?.number;
    const asked = before === undefined ? input : { ...input, before };
    const page = await invoke(session, jobs, asked, context.signal);
    found.push(...page.jobs);
    more = page.more && page.jobs.length > 0;
  }
  const result = { jobs: found, more: false };
  print(context, result, () => jobs.cli.show(result));
  return 0;
}
