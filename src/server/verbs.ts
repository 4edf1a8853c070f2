import { parseArgs } from "node:util";
import { type ArgsDef, type CommandDef, defineCommand, renderUsage } from "citty";
import { parseGrace } from "../commands/terms.ts";
import { LOG_FORMATS, LOG_LEVELS } from "../lib/log.ts";
import { AppError } from "../protocol/error.ts";
import { DEFAULT_GRACE } from "../protocol/limits.ts";
import { invite } from "./auth/verbs/invite.ts";
import { type Action, role } from "./auth/verbs/action.ts";
import { roleActions } from "./auth/verbs/role.ts";
import { tokenActions } from "./auth/verbs/token.ts";
import { userActions } from "./auth/verbs/user.ts";
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
    description:
      "Configuration in TOML: listen, name, tls, state, session.grace, log.level, log.format, retention, auth, roles",
  },
};
const serving: ArgsDef = {
  listen: {
    type: "string",
    valueHint: "host:port",
    description:
      "Or unix:/path; may be repeated (default 127.0.0.1:9922 and [::1]:9922). Beyond loopback by TLS",
  },
  cert: {
    type: "string",
    valueHint: "file",
    description:
      "Certificate in PEM, with those that vouch for it (default one that the server makes itself)",
  },
  key: { type: "string", valueHint: "file", description: "The certificate's key in PEM" },
  "client-ca": {
    type: "string",
    valueHint: "file",
    description: "Let only clients in whose certificate one of these authorities (PEM) has issued",
  },
  insecure: {
    type: "boolean",
    description: "Serve without TLS beyond loopback: anybody on the way reads and changes all, tokens too",
  },
  name: {
    type: "string",
    valueHint: "host",
    description: "What clients call this server besides the machine's own name; may be repeated",
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
/** Options that may be given more than once. */
const repeatable: readonly unknown[] = [serving["listen"], serving["name"], role["role"], invite.args["url"]];
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
  serve: {
    description: "Serve in the foreground",
    args: serving,
    examples: [
      ["farhandd serve --config /etc/farhand.toml", "until Ctrl-C or SIGTERM; jobs go on without it"],
    ],
  },
  start: {
    description: "Serve in the background; returns when the server answers",
    args: { ...serving, ...json },
    examples: [
      ["farhandd start", "for this machine alone"],
      [
        "farhandd start --listen 0.0.0.0:9922 --name web1.lab",
        "for others too, by TLS with a certificate of its own",
      ],
      ["farhandd start --listen 0.0.0.0:9922 --cert web1.pem --key web1.key", "with yours"],
      ["farhandd start --listen unix:/run/me/farhand.sock", "on a socket that only you can reach"],
    ],
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
  token: {
    description: "Make, list, revoke and rotate the tokens by which others are let in",
    args: state,
    actions: tokenActions,
  },
  user: {
    description: "Add, list, change and remove users, who log in with a password",
    args: state,
    actions: userActions,
  },
  role: {
    description: "List the roles that the configuration gives, and show what one allows",
    args: state,
    actions: roleActions,
  },
  invite: { description: invite.description, args: { ...invite.args, ...state }, examples: invite.examples },
  reload: {
    description:
      "Have the running server read configuration and certificate anew (as SIGHUP does); whoever is connected notices nothing",
    args: { ...state, ...json },
    examples: [
      [
        "farhandd reload",
        "after files were replaced; exits with 1 and goes on as before where one is broken",
      ],
    ],
  },
  fingerprint: {
    description: "Print the fingerprint by which clients know this server: sha256:…",
    args: { ...state, ...json },
    examples: [["farhandd fingerprint", "to compare with what farhand host add shows"]],
  },
  repair: {
    description: "Rebuild a damaged index of jobs from their ledgers, and tell which of those are damaged",
    args: {
      ...state,
      rebuild: { type: "boolean", description: "Rebuild it though it is sound, or of a newer version" },
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
} satisfies Record<string, Definition>;
export type Verb = keyof typeof verbs;

/** What there is to say of a verb. Where it takes another word, what that may be. */
interface Definition {
  readonly description: string;
  readonly args: ArgsDef;
  readonly actions?: Readonly<Record<string, Action>>;
  readonly examples?: Action["examples"];
}

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

/** Whether this is the word for something that `farhandd` does. */
export function isVerb(word: string): word is Verb {
  return Object.hasOwn(verbs, word);
}

/** The refusal of any other word. */
export function unknownVerb(word: string): AppError {
  return new AppError("invalid_input", `Cannot do "${word}": see farhandd --help`);
}

/** What a verb can be told to do by the next word, if it takes one. */
export function findAction(verb: Verb, word: string | undefined): Action | undefined {
  const { actions }: Definition = verbs[verb];
  return word !== undefined && actions !== undefined && Object.hasOwn(actions, word)
    ? actions[word]
    : undefined;
}

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

/** Reads a verb's options; its positional ones under their names. Throws `invalid_input`. */
export function parseFlags(verb: Verb, given: readonly string[]): Flags {
  const { actions }: Definition = verbs[verb];
  const [word, ...rest] = given;
  const action = findAction(verb, word);
  if (actions !== undefined && action === undefined)
    throw new AppError(
      "invalid_input",
      `Cannot do "${[verb, ...(word === undefined ? [] : [word])].join(" ")}": say ${Object.keys(actions).join(", ")}`,
    );
  const args = action === undefined ? given : rest;
  const known: ArgsDef = { ...verbs[verb].args, ...action?.args, ...(verb === "serve" && background) };
  const names = Object.keys(known).filter((name) => known[name]?.type === "positional");
  const options = Object.fromEntries(
    Object.entries(known)
      .filter(([name]) => !names.includes(name))
      .map(([name, { type }]) => [
        name,
        {
          type: type === "boolean" ? ("boolean" as const) : ("string" as const),
          multiple: repeatable.includes(known[name]),
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
  const list = (name: string) => (Array.isArray(flags[name]) ? flags[name] : []);
  return {
    listen: list("listen"),
    names: list("name"),
    tls: {
      cert: text("cert"),
      key: text("key"),
      clientCa: text("client-ca"),
      ...(flags["insecure"] === true && { insecure: true }),
    },
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
