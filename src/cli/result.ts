import { invoke } from "../client/invoke.ts";
import { readResult } from "../client/returned.ts";
import { toSeenJob } from "../commands/seen.ts";
import { toTagged } from "../protocol/cbor/tagged.ts";
import { result as command } from "../commands/result.ts";
import type { JobResult } from "../protocol/job.ts";
import type { Arguments } from "./arguments.ts";
import { complain, type Context, openSession, print } from "./context.ts";
import { NOT_FINISHED } from "./exit.ts";
import type { Verb } from "./verb.ts";

/** Each answer's own exit code. */
const CODES = {
  value: 0,
  threw: 1,
  failed: 2,
  not_finished: NOT_FINISHED,
  cancelled: 130,
} as const satisfies Record<JobResult["type"], number>;

/** Tells what came of a job; the exit code says which of the five answers it is. */
export const result: Verb = { ...command.cli, summary: command.summary, run };

async function run(values: Arguments, context: Context): Promise<number> {
  await using session = await openSession(context);
  const recorded = await invoke(session, command, command.cli.toInput(values), context.signal);
  const answer = toShown(await readResult(session, recorded, context.signal));
  // What a script captures is the value alone.
  if (context.globals.json || answer.type === "value")
    print(context, toSeen(answer), () => command.cli.show(answer));
  else complain(context, command.cli.show(answer));
  return CODES[answer.type];
}

/** An answer as `--json` has it. */
function toSeen(answer: JobResult): object {
  return answer.type === "not_finished" ? answer : toSeenJob(answer);
}

/** What was returned as JSON that says all of it; null for nothing. */
function toShown(answer: JobResult): JobResult {
  return answer.type === "value" ? { ...answer, value: toTagged(answer.value ?? null) } : answer;
}
