import { invoke } from "../client/invoke.ts";
import { kill } from "../commands/kill.ts";
import type { Arguments } from "./arguments.ts";
import { type Context, openSession, print } from "./context.ts";

/** Ends a job, or sends it a signal. */
export async function runKill(values: Arguments, context: Context): Promise<number> {
  await using session = await openSession(context);
  const summary = await invoke(session, kill, kill.cli.toInput(values), context.signal);
  print(context, summary, () => kill.cli.show(summary));
  return 0;
}
