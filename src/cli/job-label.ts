import { invoke } from "../client/invoke.ts";
import { jobLabel as command } from "../commands/job-label.ts";
import type { Arguments } from "./arguments.ts";
import { type Context, openSession, print } from "./context.ts";
import type { Verb } from "./verb.ts";

/** Sets labels of a job and takes others away. */
export const jobLabel: Verb = { ...command.cli, summary: command.summary, run };

async function run(values: Arguments, context: Context): Promise<number> {
  const input = command.cli.toInput(values);
  await using session = await openSession(context);
  const answer = await invoke(session, command, input, context.signal);
  print(context, answer, () => command.cli.show(answer));
  return 0;
}
