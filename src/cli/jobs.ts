import { invoke } from "../client/invoke.ts";
import { jobs as command } from "../commands/jobs.ts";
import type { JobSummary } from "../protocol/job.ts";
import type { Arguments } from "./arguments.ts";
import { type Context, openSession, print } from "./context.ts";
import type { Verb } from "./verb.ts";

/** Lists jobs, page after page. */
export const jobs: Verb = { ...command.cli, summary: command.summary, run };

async function run(values: Arguments, context: Context): Promise<number> {
  await using session = await openSession(context);
  const input = command.cli.toInput(values);
  const found: JobSummary[] = [];
  for (let more = true; more;) {
    const before = found.at(-1)?.number;
    const asked = before === undefined ? input : { ...input, before };
    const page = await invoke(session, command, asked, context.signal);
    found.push(...page.jobs);
    more = page.more && page.jobs.length > 0;
  }
  const result = { jobs: found, more: false };
  print(context, result, () => command.cli.show(result));
  return 0;
}
