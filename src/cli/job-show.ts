import { invoke } from "../client/invoke.ts";
import { jobShow as command } from "../commands/job-show.ts";
import type { Arguments } from "./arguments.ts";
import { type Context, openSession, print } from "./context.ts";
import type { Verb } from "./verb.ts";

/** Shows all that is known of a job. */
export const jobShow: Verb = { ...command.cli, summary: command.summary, run };

async function run(values: Arguments, context: Context): Promise<number> {
  const input = command.cli.toInput(values);
  await using session = await openSession(context);
  const answer = await invoke(session, command, input, context.signal);
  print(context, answer, () => command.cli.show(answer));
  return 0;
}
