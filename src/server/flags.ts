import { parseArgs } from "node:util";
import type { ArgsDef } from "citty";
import { parseGrace } from "../commands/terms.ts";
import { toMessage } from "../lib/message.ts";
import { AppError } from "../protocol/error.ts";
import { DEFAULT_GRACE } from "../protocol/limits.ts";
import type { ConfigFlags } from "./config.ts";
import { background, type Definition, findAction, repeatable, type Verb, verbs } from "./verbs.ts";

/** Options as they were typed, by name. */
export type Flags = Readonly<Record<string, string | boolean | string[] | undefined>>;

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
  const [first] = names;
  if (first !== undefined && repeatable.includes(known[first])) return { ...values, [first]: positionals };
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
    tasks: list("task"),
    extensions: { files: list("extension"), watch: flags["watch"] === true },
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
    throw new AppError("invalid_input", `Cannot read the command line: ${toClause(toMessage(error))}`);
  }
}

/** What is wrong, of a message that goes on with advice: `Unknown option '--nope'. To specify …`. */
function toClause(message: string): string {
  const [first = ""] = message.split(/\.\s|\n/);
  return `${first.charAt(0).toLowerCase()}${first.slice(1)}`.replaceAll("'", '"');
}
