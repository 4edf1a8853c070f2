import { invoke } from "../client/invoke.ts";
import { wait } from "../commands/wait.ts";
import type { Arguments } from "./arguments.ts";
import { type Context, openSession, print } from "./context.ts";
import { FAILURE, toExitCode } from "./exit.ts";

/** Waits for a job and answers the exit code of its outcome. */
export async function runWait(values: Arguments, context: Context): Promise<number> {
  await using session = await openSession(context);
  const summary = await invoke(session, wait, wait.cli.toInput(values), context.signal);
  print(context, summary, () => wait.cli.show(summary));
  return summary.outcome === undefined ? FAILURE : toExitCode(summary.outcome);
}
