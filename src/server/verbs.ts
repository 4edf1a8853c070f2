import { parseArgs } from "node:util";
import { type ArgsDef, type CommandDef, defineCommand, renderUsage } from "citty";
import { parseGrace } from "../commands/terms.ts";
import { LOG_FORMATS, LOG_LEVELS } from "../lib/log.ts";
import { AppError } from "../protocol/error.ts";
import { DEFAULT_GRACE } from "../protocol/limits.ts";
import { AUDIT_ACTIONS, AUDIT_EVENTS } from "./audit/event.ts";
import type { ConfigFlags } from "./config.ts";

/** Options as they were typed, by name. */
export type Flags = Readonly<Record<string, string | boolean | string[] | undefined>>;

const state: ArgsDef = {
  state: {
    type: "string",
    valueHint: "dir",
    description: "State directory (default $FARHAND_STATE, or /var/lib/farhand for root)",
  },
  config: {
    type: "string",
    valueHint: "file",
    description: "Configuration in TOML: listen, state, session.grace, log, retention, audit",
  },
};
const serving: ArgsDef = {
  listen: {
    type: "string",
    valueHint: "host:port",
    description: "May be repeated (default 127.0.0.1:9922 and [::1]:9922)",
  },
  ...state,
  "log-level": { type: "enum", options: [...LOG_LEVELS], description: "How much to log (default info)" },
  "log-format": {
    type: "enum",
    options: [...LOG_FORMATS],
    description: "How to write the log (default text)",
  },
  "retention-age": {
    type: "string",
    valueHint: "time",
    description: "Remove jobs that ended so long ago, such as 30d (default all: none)",
  },
  "retention-jobs": {
    type: "string",
    valueHint: "n",
    description: "Keep so many ended jobs, or all (default 10000)",
  },
  "retention-bytes": {
    type: "string",
    valueHint: "size",
    description: "Keep so much output of all jobs, or all (default 10 % of the file system, at most 10GiB)",
  },
};
const json: ArgsDef = { json: { type: "boolean", description: "Print one JSON value" } };
const asked: ArgsDef = {
  help: { type: "boolean", alias: "h", description: "Show help, also of one command" },
  version: { type: "boolean", alias: "V", description: "Show the version" },
};
/** For ourselves: `start` reads what a server says on stderr until that listens, and nobody does afterwards. */
const background: ArgsDef = { background: { type: "boolean" } };

/** What `service` is told to do. */
export const SERVICE_ACTIONS = ["install", "uninstall", "status"] as const;

const verbs = {
  serve: { description: "Serve in the foreground", args: serving },
  start: {
    description: "Serve in the background; returns when the server answers",
    args: { ...serving, ...json },
  },
  stop: {
    description: "Stop the server; running jobs go on, unless --jobs ends them first",
    args: {
      ...state,
      jobs: { type: "boolean", description: "End every running job before, with all its processes" },
      grace: {
        type: "string",
        valueHint: "duration",
        description: "With --jobs: time from TERM to KILL (default 5s, at most 1h)",
      },
      ...json,
    },
  },
  status: {
    description: "Tell whether the server runs, where, and with how many jobs",
    args: { ...state, ...json },
  },
  repair: {
    description: "Rebuild a damaged index of jobs from their ledgers, and tell which of those are damaged",
    args: {
      ...state,
      rebuild: { type: "boolean", description: "Rebuild it though it is sound, or of a newer version" },
      ...json,
    },
  },
  audit: {
    description:
      "Prove that the audit log is as it was written, or show what it tells: who did what, from where",
    args: {
      action: {
        type: "positional",
        valueHint: AUDIT_ACTIONS.join("|"),
        description: "Prove the chain and print its newest hash, to be kept elsewhere; or print lines",
      },
      expect: {
        type: "string",
        valueHint: "hash",
        description:
          "With verify: a hash noted earlier, without which nobody can tell that newer lines were cut off",
      },
      since: {
        type: "string",
        valueHint: "time",
        description: "With show: not before, such as 1h, or 2026-11-28T10:00:00Z",
      },
      user: { type: "string", valueHint: "name", description: "With show: only what this user did" },
      event: {
        type: "string",
        valueHint: "event",
        description: `With show: only ${AUDIT_EVENTS.join(", ")}`,
      },
      job: {
        type: "string",
        valueHint: "job",
        description: "With show: only what concerns this job, by number or id",
      },
      follow: { type: "boolean", description: "With show: go on as lines are written" },
      ...state,
      ...json,
    },
  },
  service: {
    description: "Have the server started at boot, by systemd, launchd or the Task Scheduler",
    args: {
      action: {
        type: "positional",
        valueHint: SERVICE_ACTIONS.join("|"),
        description: "Install it with the options of serve given here, remove it, or tell how it stands",
      },
      user: { type: "boolean", description: "Your own service, started as you log in; else the machine's" },
      print: { type: "boolean", description: "With install: show what would be installed, and do nothing" },
      ...serving,
      ...json,
    },
  },
} satisfies Record<string, { description: string; args: ArgsDef }>;
export type Verb = keyof typeof verbs;

const commands = Object.fromEntries(
  Object.entries(verbs).map(([name, { description, args }]) => [
    name,
    defineCommand({ meta: { name, description }, args }),
  ]),
);
const EXIT_CODES = `EXIT CODES

  0: done. 1: it cannot be done, and stderr says why. 3: status found no server, or service status none that runs.`;

/** Whether this is the word for something that `farhandd` does. */
export function isVerb(word: string): word is Verb {
  return Object.hasOwn(verbs, word);
}

/** The refusal of any other word. */
export function unknownVerb(word: string): AppError {
  return new AppError("invalid_input", `Cannot do "${word}": see farhandd --help`);
}

/** The help of one verb, or of all. */
export async function usage(verb: Verb | undefined, version: string, isTerminal: boolean): Promise<string> {
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
  const text = `${await renderUsage(command ?? root, command && root)}\n\n${EXIT_CODES}`;
  const shown = isTerminal ? text : Bun.stripANSI(text);
  return shown.replace(/[ \t]+$/gm, "").replace(/\n{3,}/g, "\n\n");
}

/** Reads a verb's options; its positional ones under their names. Throws `invalid_input`. */
export function parseFlags(verb: Verb, args: readonly string[]): Flags {
  const known: ArgsDef = { ...verbs[verb].args, ...(verb === "serve" && background) };
  const names = Object.keys(known).filter((name) => known[name]?.type === "positional");
  const options = Object.fromEntries(
    Object.entries(known)
      .filter(([name]) => !names.includes(name))
      .map(([name, { type }]) => [
        name,
        {
          type: type === "boolean" ? ("boolean" as const) : ("string" as const),
          multiple: name === "listen",
        },
      ]),
  );
  const { values, positionals } = parse(args, options, names.length > 0);
  if (positionals.length > names.length)
    throw new AppError("invalid_input", `Cannot read the command line: "${positionals.at(-1)}" is too much`);
  return { ...values, ...Object.fromEntries(names.map((name, index) => [name, positionals[index]])) };
}

/** The options that a configuration file may state too. */
export function toConfigFlags(flags: Flags): ConfigFlags {
  const text = (name: string) => (typeof flags[name] === "string" ? flags[name] : undefined);
  return {
    listen: Array.isArray(flags["listen"]) ? flags["listen"] : [],
    state: text("state"),
    config: text("config"),
    logLevel: text("log-level"),
    logFormat: text("log-format"),
    retention: {
      age: text("retention-age"),
      jobs: text("retention-jobs"),
      bytes: text("retention-bytes"),
    },
  };
}

/** Whether `stop` should end jobs, and with which grace (ms). Throws `invalid_input`. */
export function toStopRequest({ jobs, grace }: Flags): { jobs?: { grace: number } } {
  if (!jobs) {
    if (grace === undefined) return {};
    throw new AppError("invalid_input", "Cannot use --grace without --jobs: nothing is ended");
  }
  return { jobs: { grace: typeof grace === "string" ? readGrace(grace) : DEFAULT_GRACE } };
}

function readGrace(text: string): number {
  try {
    return parseGrace(text);
  } catch (error) {
    throw error instanceof RangeError ? new AppError("invalid_input", error.message) : error;
  }
}

type Options = NonNullable<Parameters<typeof parseArgs>[0]>["options"];

function parse(args: readonly string[], options: NonNullable<Options>, allowPositionals: boolean) {
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, strict: true, allowPositionals });
    return { values: values as Flags, positionals };
  } catch (error) {
    throw new AppError(
      "invalid_input",
      `Cannot read the command line: ${error instanceof Error ? toClause(error.message) : String(error)}`,
    );
  }
}

/** What is wrong, of a message that goes on with advice: `Unknown option '--nope'. To specify …`. */
function toClause(message: string): string {
  const [first = ""] = message.split(/\.\s|\n/);
  return `${first.charAt(0).toLowerCase()}${first.slice(1)}`.replaceAll("'", '"');
}
