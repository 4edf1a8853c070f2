import { invoke } from "../client/invoke.ts";
import { kill as command } from "../commands/kill.ts";
import type { Arguments } from "./arguments.ts";
import { type Context, openSession, print } from "./context.ts";
import { FAILURE } from "./exit.ts";
import type { Verb } from "./verb.ts";

/** Ends a job, or sends it a signal. What is left behind makes it fail. */
export const kill: Verb = { ...command.cli, summary: command.summary, run };

async function run(values: Arguments, context: Context): Promise<number> {
  await using session = await openSession(context);
  const summary = await invoke(session, command, command.cli.toInput(values), context.signal);
  print(context, summary, () => command.cli.show(summary));
  return summary.ended?.leftBehind === undefined ? 0 : FAILURE;
}
