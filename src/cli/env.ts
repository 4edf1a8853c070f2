import type * as v from "valibot";
import { invoke } from "../client/invoke.ts";
import { env as command } from "../commands/env.ts";
import type { Arguments } from "./arguments.ts";
import { type Context, openSession, print } from "./context.ts";
import type { Verb } from "./verb.ts";

/** Shows and changes variables. What was only asked for by name is told as printenv does: the values alone. */
export const env: Verb = { ...command.cli, summary: command.summary, run };

async function run(values: Arguments, context: Context): Promise<number> {
  const input = command.cli.toInput(values);
  await using session = await openSession(context);
  const answer = await invoke(session, command, input, context.signal);
  const { names = [], unset = [], inherit = [] } = input;
  const changes = values.rest.length - names.length + unset.length + inherit.length;
  const isOnlyAsked = names.length > 0 && changes === 0;
  const shown = values.flag("changed") ? toChanged(answer) : answer;
  print(context, shown, () =>
    isOnlyAsked ? names.map((name) => answer.variables[name] ?? "").join("\n") : command.cli.show(shown),
  );
  return 0;
}

type Answer = v.InferOutput<typeof command.result>;

function toChanged({ variables, set, unset }: Answer): Answer {
  const own = Object.entries(variables).filter(([name]) => set.includes(name));
  return { variables: Object.fromEntries(own), set, unset };
}
