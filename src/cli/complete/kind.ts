import { LOG_LEVELS } from "../../lib/log.ts";
import { SHELLS } from "./shell.ts";
import type { Position } from "./position.ts";

/** What a word names, as far as that can be found out. */
export type Kind =
  | { readonly type: "job"; readonly isRunning: boolean }
  | { readonly type: "path" | "workspace" | "task" | "host" | "kept-host" | "command" | "local" }
  | { readonly type: "choice"; readonly choices: readonly string[] };

/** Options by what they name, whatever verb they belong to. */
const OPTIONS: Readonly<Record<string, Kind>> = {
  host: { type: "host" },
  workspace: { type: "workspace" },
  cwd: { type: "path" },
  path: { type: "path" },
  paths: { type: "path" },
  job: { type: "job", isRunning: false },
  task: { type: "task" },
  module: { type: "local" },
  state: { type: "local" },
  file: { type: "local" },
  out: { type: "local" },
  "token-file": { type: "local" },
  ca: { type: "local" },
  "client-cert": { type: "local" },
  "client-key": { type: "local" },
  "log-level": { type: "choice", choices: LOG_LEVELS },
  "on-disconnect": { type: "choice", choices: ["keep", "kill"] },
  signal: { type: "choice", choices: ["TERM", "INT", "HUP", "KILL", "QUIT", "USR1", "USR2", "STOP", "CONT"] },
};

/** Verbs whose words are of a kind that what they are called in help does not tell. */
const VERBS: Readonly<Record<string, Kind>> = {
  commands: { type: "command" },
  call: { type: "command" },
  completion: { type: "choice", choices: SHELLS },
  "workspace remove": { type: "workspace" },
  "host show": { type: "kept-host" },
  "host remove": { type: "kept-host" },
  login: { type: "kept-host" },
  logout: { type: "kept-host" },
};

/** Verbs that only a running job is of use to. */
const RUNNING = ["kill", "wait", "send-input", "is-alive", "attach"];

/** What the value or the word in question names; undefined where that is anybody's guess. */
export function findKind({ wanted, path }: Position): Kind | undefined {
  const verb = path.join(" ").replaceAll("_", "-");
  const choices = findChoices(wanted);
  if (choices !== undefined) return { type: "choice", choices };
  if (wanted.type === "value") return findOptionKind(wanted.name, verb);
  if (wanted.type !== "word") return undefined;
  if (Object.hasOwn(VERBS, verb))
    return wanted.index === 0 || !["completion", "call"].includes(verb) ? VERBS[verb] : undefined;
  const isJob = wanted.name === undefined ? /\bJOB\b/.test(wanted.verb.rest ?? "") : wanted.name === "job";
  if (isJob) return { type: "job", isRunning: RUNNING.includes(verb) };
  if (wanted.name === "task" || wanted.name === "module") return OPTIONS[wanted.name];
  if (wanted.name !== undefined) return undefined;
  // Of a program's words the first is looked up in the PATH, and any other may name a file.
  const isPath =
    wanted.verb.takesRest === true ? wanted.index > 0 : /PATH|DIRECTORY|SOURCE/.test(wanted.verb.rest ?? "");
  return isPath ? { type: "path" } : undefined;
}

/** The values that it may have, where that is known. */
function findChoices(wanted: Position["wanted"]): readonly string[] | undefined {
  if (wanted.type === "value") return wanted.arg.choices;
  if (wanted.type !== "word" || wanted.name !== undefined) return undefined;
  const { words = [] } = wanted.verb;
  return (words[wanted.index] ?? words.at(-1))?.choices;
}

function findOptionKind(name: string, verb: string): Kind | undefined {
  // After these, it is a filter: the directory of that name goes before the verb.
  if (name === "state" && ["jobs", "job prune"].includes(verb)) return undefined;
  return Object.hasOwn(OPTIONS, name) ? OPTIONS[name] : undefined;
}
