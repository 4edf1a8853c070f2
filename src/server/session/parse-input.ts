import * as v from "valibot";
import { AppError } from "../../protocol/error.ts";

/** What a command is called with, as its schema has it. Throws `invalid_input`, naming what is wrong where. */
export function parseInput<S extends v.GenericSchema>(
  command: string,
  schema: S,
  value: unknown,
): v.InferOutput<S> {
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  const path = v.getDotPath(issue);
  // Our own schemas say what is wrong as the rest of a sentence; valibot says it in one of its own.
  const why = `${/^[a-z]/.test(issue.message) ? "" : "is not valid: "}${issue.message.slice(0, 200)}`;
  const where = path ? ` at "${path.slice(0, 200)}"` : "";
  throw new AppError("invalid_input", `Cannot call "${command}": the input${where} ${why}`);
}
