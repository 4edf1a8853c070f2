import { invoke } from "../client/invoke.ts";
import { readResult } from "../client/returned.ts";
import { result as command } from "../commands/result.ts";
import { toJsonLine } from "../lib/escape.ts";
import { toTagged } from "../protocol/cbor/tagged.ts";
import type { JobResult } from "../protocol/job.ts";
import type { Arguments } from "./arguments.ts";
import { complain, type Context, openSession } from "./context.ts";
import { NOT_FINISHED } from "./exit.ts";
import { forPeople } from "./value-text.ts";
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
  const answer = await readResult(session, recorded, context.signal);
  if (context.globals.json) context.sinks.stdout.writeLine(toJsonLine(toShown(answer)));
  // What a script captures is the value alone.
  else if (answer.type === "value")
    context.sinks.stdout.writeLine(forPeople(context).toLine(answer.value, undefined));
  else complain(context, command.cli.show(answer));
  return CODES[answer.type];
}

/** The value as `--json` has one, also within the outcome. */
function toShown(answer: JobResult): object {
  if (answer.type !== "value" || answer.outcome.type !== "returned") return answer;
  const value = toTagged(answer.value);
  return { ...answer, value, outcome: { type: "returned", value } };
}
