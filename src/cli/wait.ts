import { invoke } from "../client/invoke.ts";
import { wait as command } from "../commands/wait.ts";
import type { Arguments } from "./arguments.ts";
import { type Context, openSession, print } from "./context.ts";
import { FAILURE, toExitCode } from "./exit.ts";
import type { Verb } from "./verb.ts";

/** Waits for a job and answers the exit code of its outcome. */
export const wait: Verb = { ...command.cli, summary: command.summary, run };

async function run(values: Arguments, context: Context): Promise<number> {
  await using session = await openSession(context);
  const summary = await invoke(session, command, command.cli.toInput(values), context.signal);
  print(context, summary, () => command.cli.show(summary));
  return summary.outcome === undefined ? FAILURE : toExitCode(summary.outcome);
}
