import { type ArgsDef, defineCommand, renderUsage, type SubCommandsDef } from "citty";
import { toWidth } from "../lib/width.ts";
import { VERSION } from "../lib/version.ts";
import type { ArgSpecs } from "./arguments.ts";
import type { Candidate } from "./complete/candidate.ts";
import { globalArgs, withGlobals } from "./globals.ts";
import { type Group, isGroup, type Verb } from "./verb.ts";
import { verbs } from "./verbs.ts";

const PARENT = defineCommand({ meta: { name: "farhand", version: VERSION } });

interface Helped {
  readonly name: string | undefined;
  readonly topic: Verb | Group | undefined;
  /** What the server has besides. */
  readonly customs?: readonly Candidate[];
}

/** Help for one verb (`exec`, `job show`), for the verbs of a group, or for all of them. */
export async function renderHelp({ name, topic, customs }: Helped, hasColors: boolean): Promise<string> {
  const text = await renderTopic(name, topic, customs);
  const trimmed = text.replace(/[ \t]+$/gm, "").replace(/\n{3,}/g, "\n\n");
  return hasColors ? trimmed : Bun.stripANSI(trimmed).replace(/[ \t]+$/gm, "");
}

function renderTopic(
  name: string | undefined,
  topic: Verb | Group | undefined,
  customs: readonly Candidate[] = [],
): Promise<string> {
  if (name === undefined || topic === undefined) return renderRoot(customs);
  return isGroup(topic) ? renderGroup(name, topic) : renderVerb(name, topic);
}

async function renderGroup(name: string, { summary, verbs, examples }: Group): Promise<string> {
  const usage = await renderUsage(
    defineCommand({
      meta: { name, description: summary },
      args: toArgs(globalArgs),
      subCommands: await toSubCommands(verbs),
    }),
    PARENT,
  );
  return `${usage}\n\n${renderExamples(examples)}`;
}

async function renderRoot(customs: readonly Candidate[]): Promise<string> {
  const all = await Promise.all(Object.values(verbs).map((load): Promise<Verb | Group> => load()));
  const usage = await renderUsage(
    defineCommand({
      meta: {
        name: "farhand",
        version: VERSION,
        description: "Run commands on other machines and lose nothing",
      },
      args: toArgs(globalArgs),
      subCommands: await toSubCommands(verbs),
    }),
  );
  const examples = all.flatMap(({ examples }) => examples.slice(0, 1));
  return [usage, ...renderCustoms(customs), renderExamples(examples), EXIT_CODES].join("\n\n");
}

function renderCustoms(customs: readonly Candidate[]): readonly string[] {
  if (customs.length === 0) return [];
  const width = Math.max(...customs.map(({ value }) => toWidth(value)));
  const lines = customs.map(({ value, description = "" }) =>
    `  ${value}${" ".repeat(width - toWidth(value))}  ${description}`.trimEnd(),
  );
  return [["COMMANDS OF THE SERVER'S OWN", "", ...lines].join("\n")];
}

async function renderVerb(name: string, { summary, args, rest, examples }: Verb): Promise<string> {
  const usage = await renderUsage(
    defineCommand({
      meta: { name, description: summary },
      args: { ...toArgs(args), ...toArgs(withGlobals(args)) },
    }),
    PARENT,
  );
  const line =
    rest === undefined ? usage : usage.replace(/^(.*USAGE.*?) ?((?:\x1b\[\d+m)*)$/m, `$1 ${rest}$2`);
  return `${line}\n\n${renderExamples(examples)}`;
}

async function toSubCommands(
  verbs: Readonly<Record<string, () => Promise<Verb | Group>>>,
): Promise<SubCommandsDef> {
  const loaded = Object.entries(verbs).map(async ([name, load]) => {
    const { summary } = await load();
    return [name, { meta: { name, description: summary } }] as const;
  });
  return Object.fromEntries(await Promise.all(loaded));
}

function renderExamples(examples: Verb["examples"]): string {
  const width = Math.max(...examples.map(([line]) => line.length));
  return ["EXAMPLES", "", ...examples.map(([line, what]) => `  ${line.padEnd(width)}  ${what}`)].join("\n");
}

const EXIT_CODES = `EXIT CODES

  A job's own code, or 128 and the number of the signal that ended it. 124: a time-out or output limit.
  A command of the server's own: 0 if it returned, 1 if it threw.
  126, 127: the program cannot run, or does not exist. 130: cancelled. 74: our own output cannot be written.
  75: you left a job on a terminal, which runs on.
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
