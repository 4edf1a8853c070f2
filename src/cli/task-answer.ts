import { toJsonLine } from "../lib/escape.ts";
import { toTagged } from "../protocol/cbor/tagged.ts";
import type { Context } from "./context.ts";
import { forPeople } from "./value-text.ts";

/** Prints what a task has answered, if it has; as JSON, all that is told with it too. */
export function printAnswer(
  { value, ...report }: { readonly responded: boolean; readonly value: unknown },
  context: Context,
): void {
  const { stdout } = context.sinks;
  if (context.globals.json)
    return stdout.writeLine(toJsonLine({ ...report, ...(report.responded && { value: toTagged(value) }) }));
  const text = report.responded ? forPeople(context).toAnswer(value) : "";
  if (text !== "") stdout.writeLine(text);
}
