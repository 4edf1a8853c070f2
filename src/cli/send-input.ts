import { sendInput as send } from "../client/send-input.ts";
import { sendInput as command } from "../commands/send-input.ts";
import { abortable } from "../lib/abort.ts";
import type { Arguments } from "./arguments.ts";
import { type Context, openSession, print } from "./context.ts";
import type { Verb } from "./verb.ts";

/** Gives a job input: an argument, or what our own stdin gives. */
export const sendInput: Verb = { ...command.cli, summary: command.summary, run };

async function run(values: Arguments, context: Context): Promise<number> {
  const { job, text, newline = false, eof = false } = command.cli.toInput(values);
  const source = typeof text === "string" ? text : context.stdin();
  await using session = await openSession(context);
  const { signal } = context;
  const sent = await abortable(send(session, String(job), source, { newline, eof, signal }), signal);
  print(context, sent, () => command.cli.show(sent));
  return 0;
}
