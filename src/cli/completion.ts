import { findTarget, type Environment, type Place } from "../client/config.ts";
import { dial } from "../client/dial.ts";
import { readOwn } from "../client/own-file.ts";
import { findWorkspace } from "../client/workspace.ts";
import { AppError } from "../protocol/error.ts";
import type { Arguments } from "./arguments.ts";
import type { Candidate, Completion } from "./complete/candidate.ts";
import { complete, listVerbs } from "./complete/complete.ts";
import { withPatience } from "./complete/patience.ts";
import type { Position } from "./complete/position.ts";
import { toAsked } from "./complete/reply.ts";
import { SCRIPTS } from "./complete/scripts.ts";
import { type Shell, SHELLS } from "./complete/shell.ts";
import { createCustoms } from "./complete/customs.ts";
import { createSource } from "./complete/source.ts";
import type { Context } from "./context.ts";
import { scanTexts } from "./custom/scan.ts";
import type { Globals } from "./globals.ts";
import type { Verb } from "./verb.ts";
import { findTopic, verbs } from "./verbs.ts";

/** Milliseconds that a server has to answer: the shell stands still meanwhile. */
const PATIENCE = 800;

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

type Wanted = Place & Pick<Globals, "workspace">;

/** Options on the line that is completed come before those that the script was given. */
function toPlace(given: Position["given"], globals: Globals): Wanted {
  const tokenFile = given.get("token-file");
  return {
    host: given.get("host") ?? globals.host,
    state: given.get("state") ?? globals.state,
    workspace: given.get("workspace") ?? globals.workspace,
    ca: given.get("ca") ?? globals.ca,
    clientCert: given.get("client-cert") ?? globals.clientCert,
    clientKey: given.get("client-key") ?? globals.clientKey,
    ...(tokenFile !== undefined && { token: readOwn(tokenFile).trim() }),
  };
}

async function connect(place: Wanted, env: Environment, signal: AbortSignal) {
  return await dial(() => findTarget(place, env), {
    workspace: findWorkspace(place.workspace, env),
    patience: PATIENCE,
    reconnect: 0,
    signal,
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
