import { explainSkew } from "../client/tasks/skew.ts";
import { toJsonLine } from "../lib/escape.ts";
import { AppError } from "../protocol/error.ts";
import { complain, type Context } from "./context.ts";
import type { Verb } from "./verb.ts";

/** What a command exits with whose module threw something. */
const THREW = 1;

/**
 * Does something with tasks and answers the exit code. What a module throws is told as its own, and is no failure of ours. Throws
 * what else goes wrong.
 */
export async function dealWithTasks(context: Context, work: () => Promise<number | void>): Promise<number> {
  try {
    return (await work()) ?? 0;
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "threw") throw explainSkew(error);
    tellThrow(error, context);
    return THREW;
  }
}

/** The verb of a call about tasks. */
export function toTaskCall(verb: Verb): Verb {
  return { ...verb, run: (values, context) => dealWithTasks(context, () => verb.run(values, context)) };
}

function tellThrow({ code, name, message, details }: AppError, context: Context): void {
  if (context.globals.json)
    context.sinks.stdout.writeLine(toJsonLine({ type: "error", code, name, message, details }));
  else complain(context, `${name}: ${message}`);
}
