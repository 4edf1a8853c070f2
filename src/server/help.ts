import { type ArgsDef, type CommandDef, defineCommand, renderUsage } from "citty";
import type { Action } from "./auth/verbs/action.ts";
import { type Definition, findAction, type Verb, verbs } from "./verbs.ts";

const asked: ArgsDef = {
  help: { type: "boolean", alias: "h", description: "Show help, also of one command" },
  version: { type: "boolean", alias: "V", description: "Show the version" },
};

const commands = Object.fromEntries(
  Object.entries<Definition>(verbs).map(([name, { description, args, actions }]) => [
    name,
    defineCommand({
      meta: { name, description },
      args: actions === undefined ? args : {},
      ...(actions && { subCommands: toSubCommands(actions, args) }),
    }),
  ]),
);

function toSubCommands(actions: Readonly<Record<string, Action>>, args: ArgsDef) {
  return Object.fromEntries(
    Object.entries(actions).map(([name, action]) => [
      name,
      defineCommand({ meta: { name, description: action.description }, args: { ...action.args, ...args } }),
    ]),
  );
}

const EXIT_CODES = `EXIT CODES

  0: done. 1: it cannot be done, and stderr says why. 3: status found no server, or service status none that runs.`;

/** The help of one verb or of what it is told to do, or of all. */
export async function usage(
  verb: Verb | undefined,
  version: string,
  isTerminal: boolean,
  word?: string,
): Promise<string> {
  const root: CommandDef = {
    meta: {
      name: "farhandd",
      version,
      description: "The server of Farhand: runs commands for its clients and keeps what they say",
    },
    args: asked,
    subCommands: commands,
  };
  const command = verb && commands[verb];
  const action = verb && findAction(verb, word);
  const args = verb && verbs[verb].args;
  const shownCommand =
    action === undefined
      ? command
      : defineCommand({
          meta: { name: `${verb} ${word}`, description: action.description },
          args: { ...action.args, ...args },
        });
  const rendered = await renderUsage(shownCommand ?? root, shownCommand && root);
  const examples = action?.examples ?? (verb && (verbs[verb] as Definition).examples) ?? [];
  const text = [rendered, ...toExamples(examples), EXIT_CODES].join("\n\n");
  const shown = isTerminal ? text : Bun.stripANSI(text);
  return shown.replace(/[ \t]+$/gm, "").replace(/\n{3,}/g, "\n\n");
}

function toExamples(examples: Action["examples"]): readonly string[] {
  if (examples.length === 0) return [];
  return [["EXAMPLES\n", ...examples.map(([line, what]) => `  ${line}\n      ${what}`)].join("\n")];
}
