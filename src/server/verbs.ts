import type { ArgsDef } from "citty";
import { LOG_FORMATS, LOG_LEVELS } from "../lib/log.ts";
import { AppError } from "../protocol/error.ts";
import { AUDIT_ACTIONS, AUDIT_EVENTS } from "./audit/event.ts";
import { invite } from "./auth/verbs/invite.ts";
import { type Action, role } from "./auth/verbs/action.ts";
import { roleActions } from "./auth/verbs/role.ts";
import { tokenActions } from "./auth/verbs/token.ts";
import { userActions } from "./auth/verbs/user.ts";
import { extensionActions, files } from "./extensions/verbs.ts";

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
      "Configuration in TOML: listen, name, tls, state, session.grace, log, retention, audit, auth, roles, commands, extensions",
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
  extension: {
    type: "string",
    valueHint: "file",
    description: "Offer the commands of this module too; may be repeated (all of commands/ in the state are)",
  },
  task: {
    type: "string",
    valueHint: "name=file",
    description: "Have a task of this module from the start; may be repeated",
  },
  watch: { type: "boolean", description: "Reload modules of commands by itself as their files change" },
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
export const repeatable: readonly unknown[] = [
  serving["listen"],
  serving["name"],
  serving["extension"],
  serving["task"],
  role["role"],
  invite.args["url"],
  files["files"],
];
const json: ArgsDef = { json: { type: "boolean", description: "Print one JSON value" } };
/** For ourselves: `start` reads what a server says on stderr until that listens, and nobody does afterwards. */
export const background: ArgsDef = { background: { type: "boolean" } };

/** What `service` is told to do. */
export const SERVICE_ACTIONS = ["install", "uninstall", "status"] as const;

export const verbs = {
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
    examples: [
      ["farhandd stop", "the next start finds the jobs, and what they said meanwhile"],
      ["farhandd stop --jobs --grace 30s", "before the machine goes"],
    ],
  },
  status: {
    description: "Tell whether the server runs, where, and with how many jobs",
    args: { ...state, ...json },
    examples: [["farhandd status --json | jq .keepers", "who keeps how many jobs"]],
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
  extension: {
    description: "Begin, check and bundle commands of your own",
    args: {},
    actions: extensionActions,
  },
  reload: {
    description:
      "Have the running server read configuration, certificate and modules of commands anew, as SIGHUP does; connections and jobs go on",
    args: { ...state, ...json },
    examples: [
      [
        "farhandd reload",
        "after files were replaced; exits with 1 and goes on as before where one is broken. Whose role is another by then comes again",
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
    examples: [["farhandd repair", "while no server runs; jobs may"]],
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
      json: { type: "boolean", description: "Print one JSON value; with show one per line" },
    },
    examples: [
      ["farhandd audit verify", "prove the chain, and print the hash of its newest line"],
      [
        "farhandd audit verify --expect HASH",
        "prove too that nothing up to a line whose hash was kept is missing",
      ],
      ["farhandd audit show --since 1h --event refused", "who was turned away in the last hour"],
      ["farhandd audit show --job 3 --json", "everything about a job, a JSON value per line"],
    ],
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
    examples: [
      ["farhandd service install --config /etc/farhand.toml", "the machine's, as root"],
      ["farhandd service install --user --print", "only look at what would be yours"],
    ],
  },
} satisfies Record<string, Definition>;
export type Verb = keyof typeof verbs;

/** What there is to say of a verb. Where it takes another word, what that may be. */
export interface Definition {
  readonly description: string;
  readonly args: ArgsDef;
  readonly actions?: Readonly<Record<string, Action>>;
  readonly examples?: Action["examples"];
}

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
