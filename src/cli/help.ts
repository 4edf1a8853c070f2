import { type ArgsDef, defineCommand, renderUsage } from "citty";
import { VERSION } from "../lib/version.ts";
import type { ArgSpecs } from "./arguments.ts";
import { globalArgs } from "./globals.ts";
import type { Verb } from "./verb.ts";
import { findVerb, verbs } from "./verbs.ts";

/** Help for one verb, or for all of them. */
export async function renderHelp(name: string | undefined, hasColors: boolean): Promise<string> {
  const verb = name === undefined ? undefined : await findVerb(name);
  const text = name === undefined || verb === undefined ? await renderRoot() : await renderVerb(name, verb);
  const trimmed = text.replace(/[ \t]+$/gm, "").replace(/\n{3,}/g, "\n\n");
  return hasColors ? trimmed : Bun.stripANSI(trimmed).replace(/[ \t]+$/gm, "");
}

async function renderRoot(): Promise<string> {
  const all = await Promise.all(
    Object.entries(verbs).map(async ([name, load]) => ({ name, ...(await load()) })),
  );
  const usage = await renderUsage(
    defineCommand({
      meta: {
        name: "farhand",
        version: VERSION,
        description: "Run commands on other machines and lose nothing",
      },
      args: toArgs(globalArgs),
      subCommands: Object.fromEntries(
        all.map(({ name, summary }) => [name, { meta: { name, description: summary } }]),
      ),
    }),
  );
  const examples = all.flatMap(({ examples }) => examples.slice(0, 1));
  return `${usage}\n\n${renderExamples(examples)}\n\n${EXIT_CODES}`;
}

async function renderVerb(name: string, { summary, args, rest, examples }: Verb): Promise<string> {
  const usage = await renderUsage(
    defineCommand({ meta: { name, description: summary }, args: { ...toArgs(args), ...toArgs(globalArgs) } }),
    defineCommand({ meta: { name: "farhand", version: VERSION } }),
  );
  const line = rest === undefined ? usage : usage.replace(/(USAGE.*\[OPTIONS\])/, `$1 ${rest}`);
  return `${line}\n\n${renderExamples(examples)}`;
}

function renderExamples(examples: Verb["examples"]): string {
  const width = Math.max(...examples.map(([line]) => line.length));
  return ["EXAMPLES", "", ...examples.map(([line, what]) => `  ${line.padEnd(width)}  ${what}`)].join("\n");
}

const EXIT_CODES = `EXIT CODES

  A job's own code, or 128 and the number of the signal that ended it. 124: a time-out or output limit.
  126, 127: the program cannot run, or does not exist. 130: cancelled. 74: our own output cannot be written.
  125: Farhand failed (no connection, refused, lost, incomplete output, bad usage); --json tells it from a job's 125.`;

function toArgs(specs: ArgSpecs): ArgsDef {
  return Object.fromEntries(
    Object.entries(specs).map(([name, { type, description, alias, valueHint, required }]) => [
      name,
      {
        type,
        description,
        ...(valueHint !== undefined && { valueHint }),
        ...(type === "positional" ? { required: required ?? false } : alias !== undefined && { alias }),
      },
    ]),
  );
}
