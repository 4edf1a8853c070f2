import { AppError } from "../protocol/error.ts";
import type { Arguments } from "./arguments.ts";
import type { Candidate, Completion } from "./complete/candidate.ts";
import { complete, listVerbs } from "./complete/complete.ts";
import { withPatience } from "./complete/patience.ts";
import { connect, PATIENCE, toPlace } from "./complete/place.ts";
import type { Position } from "./complete/position.ts";
import { toAsked } from "./complete/reply.ts";
import { SCRIPTS } from "./complete/scripts.ts";
import { type Shell, SHELLS } from "./complete/shell.ts";
import { createCustoms } from "./complete/customs.ts";
import { createSource } from "./complete/source.ts";
import type { Context } from "./context.ts";
import { scanTexts } from "./custom/scan.ts";
import type { Verb } from "./verb.ts";
import { findTopic, verbs } from "./verbs.ts";

/** Prints what makes a shell complete words, and tells the shell what they may go on as. */
export const completion: Verb = {
  summary: "Print the script that makes a shell complete words of farhand",
  args: {
    shell: { type: "positional", required: true, description: SHELLS.join(", ") },
  },
  rest: "[-- WORD ...]",
  examples: [
    ["source <(farhand completion bash)", "in ~/.bashrc; zsh likewise, in ~/.zshrc behind compinit"],
    ["farhand completion fish | source", "in ~/.config/fish/config.fish"],
    ["farhand completion powershell | Out-String | Invoke-Expression", "in $PROFILE"],
    ["farhand completion zsh -- kill ''", "as the scripts ask: what the last word may go on as"],
  ],
  run,
};

async function run(values: Arguments, context: Context): Promise<number> {
  const shell = toShell(values.text("shell") ?? "");
  if (values.rest.length === 0) {
    context.sinks.stdout.writeLine(SCRIPTS[shell]);
    return 0;
  }
  const { words, text, reply } = toAsked(shell, values.rest);
  const found = await find(words, text, context).catch((): Completion => ({ candidates: [] })); // nobody is to be bothered
  const lines = reply({ ...found, candidates: found.candidates.filter(isWritable) });
  if (lines.length > 0) context.sinks.stdout.writeLine(lines.join("\n"));
  return 0;
}

function find(words: readonly string[], text: string, { env, globals }: Context): Promise<Completion> {
  return withPatience(PATIENCE, (soon) => {
    const open = (given: Position["given"]) => (signal: AbortSignal) =>
      connect(toPlace(given, globals), env, AbortSignal.any([soon, signal]));
    const custom = createCustoms(open(scanTexts(words)), soon);
    return complete(words, text, {
      find: async (path) => (await findTopic(path)) ?? (await custom.find(path)),
      verbs: async () => [...(await listVerbs([...Object.entries(verbs)])), ...(await custom.list())],
      toSource: (given) => createSource(open(given), env, soon),
    });
  });
}

/** What would not come through a line of text is left out. */
function isWritable({ value }: Candidate): boolean {
  return !/[\x00-\x1f\x7f]/.test(value);
}

function toShell(name: string): Shell {
  const shell = SHELLS.find((shell) => shell === name);
  if (shell !== undefined) return shell;
  throw new AppError(
    "invalid_input",
    `Cannot complete words for "${name}": choose one of ${SHELLS.join(", ")}`,
  );
}
