import { toJsonLine } from "../lib/escape.ts";
import { type Context, print } from "./context.ts";

/** Prints what a task has answered, if it has; as JSON all that is told with it. */
export function printAnswer(
  { value, ...report }: { readonly responded: boolean; readonly value: unknown },
  context: Context,
): void {
  if (!report.responded && !context.globals.json) return;
  const answer = { ...report, ...(report.responded && { value }) };
  print(context, answer, () => (typeof value === "string" ? value : toJsonLine(value)));
}
