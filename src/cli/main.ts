import { readFileSync } from "node:fs";
import { toJsonLine } from "../lib/escape.ts";
import { createLog } from "../lib/log.ts";
import { AppError, type ErrorBody, toErrorBody } from "../protocol/error.ts";
import { Arguments, parseArguments, type Syntax } from "./arguments.ts";
import { complain, type Context, type Surroundings } from "./context.ts";
import { describeThrown, toFailureCode, toSignalCode, WRITE_FAILURE } from "./exit.ts";
import { globalArgs, toGlobals, TOKEN_OPTIONS, withGlobals } from "./globals.ts";
import type { Interrupt } from "./interrupts.ts";
import { WriteFailure } from "./sink.ts";
import { type Group, isGroup, type Verb } from "./verb.ts";
import { findTopic } from "./verbs.ts";

/** Does what the words of the command line say, and answers the exit code once all output is written. */
export async function main(words: readonly string[], surroundings: Surroundings): Promise<number> {
  const code = await run(words, surroundings);
  const { stdout, stderr } = surroundings.sinks;
  await Promise.all([stdout.flushed(), stderr.flushed()]);
  if (stdout.failure === undefined || code === WRITE_FAILURE) return code;
  complain(surroundings, stdout.failure.message);
  await stderr.flushed();
  return WRITE_FAILURE;
}

async function run(words: readonly string[], surroundings: Surroundings): Promise<number> {
  const stop = new AbortController();
  using _route = surroundings.interrupts.route((interrupt) => stop.abort(new Interrupted(interrupt)));
  let isJson = isJsonAsked(words);
  await using owned = new AsyncDisposableStack();
  /** What is found out about a command that only the server knows: the connection to it, and what was read for that. */
  let found: Partial<Pick<Context, "standing" | "token" | "stdin">> = {};
  let check = (_globals: Arguments): void => {};
  const find: Find = async (path, given) => {
    const topic = await findTopic(path);
    const [word = "", ...others] = path;
    if (topic !== undefined || others.length > 0) return topic;
    const { checkScanned, findCustom, scanGlobals } = await import("./custom/lookup.ts"); // which a cold start need not pay for
    const globals = scanGlobals(given.words).after(given.earlier);
    check = (read) => checkScanned(globals, read);
    const context = await withToken({ globals }, toContext(globals, surroundings, stop.signal));
    const { verb, standing } = await findCustom(word, context);
    owned.use(standing);
    found = { standing, token: context.token, stdin: context.stdin };
    return verb;
  };
  try {
    checkUtf8(words);
    const asked = await parse(words, find);
    isJson = asked.values.flag("json");
    check(asked.globals);
    return await act(asked, { ...toContext(asked.globals, surroundings, stop.signal), ...found });
  } catch (error) {
    return fail(error, isJson, surroundings);
  }
}

/** Does what was asked for. Throws what goes wrong. */
export async function act(asked: Asked, context: Context): Promise<number> {
  if (asked.values.flag("help")) return await showHelp(asked, context);
  if (asked.values.flag("version")) return await (await import("./version.ts")).runVersion(context);
  // What has a connection already needs no token.
  const own = context.standing === undefined ? await withToken(asked, context) : context;
  return await expectVerb(asked).run(asked.values, own);
}

/** Loaded where a token is named, which a cold start need not pay for. */
async function withToken({ globals }: Pick<Asked, "globals">, context: Context): Promise<Context> {
  if (!TOKEN_OPTIONS.some((name) => globals.flag(name) || globals.text(name) !== undefined)) return context;
  return await (await import("./token-source.ts")).withToken(globals, context);
}

/** What was asked for: a topic, or undefined where help or the version is asked for of all. */
export interface Asked {
  /** As it was typed, the group's and the verb's word with a space between them. */
  readonly name: string | undefined;
  readonly topic: Verb | Group | undefined;
  readonly values: Arguments;
  /** Those that every verb has, which are not always among these: a verb's own option hides one of that name. */
  readonly globals: Arguments;
}

const GLOBAL_SYNTAX: Syntax = { args: globalArgs, rest: true, takesRest: true };

/** What words mean. `given`: the options before them, and the words behind them, among which there may be others. */
type Find = (
  path: readonly string[],
  given: { readonly earlier: Arguments; readonly words: readonly string[] },
) => Promise<Verb | Group | undefined>;

/** Reads a command line. `find`: what its first words mean. Throws `invalid_input`, `unknown_command`. */
export async function parse(words: readonly string[], find: Find = findTopic): Promise<Asked> {
  const root = parseArguments(words, GLOBAL_SYNTAX);
  const [first, ...rest] = root.rest;
  if (first === undefined) return { name: undefined, topic: undefined, values: root, globals: root };
  if (first !== "help") return await descend([first], rest, { earlier: root, find });
  const given = parseArguments(rest, { ...GLOBAL_SYNTAX, takesRest: false }).after(root);
  const path = given.rest;
  const topic = path.length === 0 ? undefined : await getTopic(path, find, { earlier: given, words: [] });
  const values = new Arguments(new Map([["help", true]]), []).after(given);
  return { name: path.length === 0 ? undefined : path.join(" "), topic, values, globals: values };
}

/** Reads what follows the words that name a topic, which in a group is the word for the verb. */
async function descend(
  path: readonly string[],
  words: readonly string[],
  { earlier, find }: { readonly earlier: Arguments; readonly find: Find },
): Promise<Asked> {
  const topic = await getTopic(path, find, { earlier, words });
  const name = path.join(" ");
  if (!isGroup(topic)) {
    const { args, rest, takesRest = false, spell } = topic;
    const syntax = { args: withGlobals(args), rest: rest !== undefined, takesRest };
    const own = parseArguments(spell?.(words) ?? words, syntax);
    const hidden = Object.keys(args).filter((name) => Object.hasOwn(globalArgs, name));
    return {
      name,
      topic,
      values: own.after(earlier.without(hidden)),
      globals: own.without(hidden).after(earlier),
    };
  }
  const values = parseArguments(words, GLOBAL_SYNTAX).after(earlier);
  const [first, ...rest] = values.rest;
  return first === undefined
    ? { name, topic, values, globals: values }
    : await descend([...path, first], rest, { earlier: values, find });
}

async function getTopic(
  words: readonly string[],
  find: Find,
  given: Parameters<Find>[1],
): Promise<Verb | Group> {
  const topic = await find(words, given);
  if (topic !== undefined) return topic;
  throw new AppError(
    "unknown_command",
    `Cannot do "${words.join(" ")}": there is no such command; farhand --help lists them`,
  );
}

function expectVerb({ name, topic }: Asked): Verb {
  if (topic === undefined)
    throw new AppError("invalid_input", "Cannot do nothing: name a command; farhand --help lists them");
  if (!isGroup(topic)) return topic;
  const choices = Object.keys(topic.verbs).join(", ");
  throw new AppError("invalid_input", `Cannot do "${name}" alone: say what, one of ${choices}`);
}

async function showHelp(asked: Asked, context: Context): Promise<number> {
  const { sinks, hasColors, env, globals, signal } = context;
  const { renderHelp } = await import("./help.ts");
  const isOfAll = asked.name === undefined;
  const customs = isOfAll ? (await import("./complete/customs.ts")).listCustoms(globals, env, signal) : [];
  sinks.stdout.writeLine(await renderHelp({ ...asked, customs: await customs }, hasColors("stdout")));
  return 0;
}

/** What a verb works with, as the options of every verb say. Throws `invalid_input`. */
export function toContext(values: Arguments, surroundings: Surroundings, signal: AbortSignal): Context {
  const globals = toGlobals(values);
  const write = (line: string) => surroundings.sinks.stderr.writeLine(line);
  const log = createLog({ level: globals.logLevel, format: "text", write, now: () => new Date() });
  return { ...surroundings, globals, log, signal };
}

/** A signal stopped us where there was nobody to pass it on to. */
export class Interrupted extends Error {
  readonly interrupt: Interrupt;

  constructor(interrupt: Interrupt) {
    super(`Interrupted by SIG${interrupt}`);
    this.interrupt = interrupt;
  }
}

/** Tells what went wrong, in a line, and answers the exit code for it. */
export function fail(error: unknown, isJson: boolean, surroundings: Surroundings): number {
  if (error instanceof Interrupted) return toSignalCode(error.interrupt);
  if (error instanceof WriteFailure) {
    complain(surroundings, error.message);
    return WRITE_FAILURE;
  }
  const report = toReport(error);
  const { code, message } = report;
  if (isJson) {
    surroundings.sinks.stdout.writeLine(toJsonLine({ type: "error", ...report }));
  } else if (code === "untrusted") {
    // Of a key that has changed there is more to say than a line.
    for (const line of message.split("\n")) complain(surroundings, line);
  } else complain(surroundings, code === "threw" ? describeThrown(report) : message);
  return toFailureCode(report);
}

function toReport(error: unknown): ErrorBody {
  if (error instanceof AppError) return toErrorBody(error);
  if (error instanceof RangeError) return { code: "invalid_input", message: error.message };
  const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { code: "internal", message: `The client failed unexpectedly: ${what}` };
}

/** Guessed from the words, for a command line that cannot be read. */
function isJsonAsked(words: readonly string[]): boolean {
  const end = words.indexOf("--");
  return words.slice(0, end < 0 ? words.length : end).includes("--json");
}

/** Bytes that are no UTF-8 reach us as U+FFFD: what was meant can no longer be told. */
function checkUtf8(words: readonly string[]): void {
  const broken = words.findIndex((word) => word.includes("\ufffd"));
  if (broken < 0 || !isLossy()) return;
  throw new AppError(
    "invalid_input",
    `Cannot pass on word ${broken + 1} of the command line: it is no UTF-8`,
  );
}

/** Whether the words as the system has them hold anything else than UTF-8; assumed where that cannot be read. */
function isLossy(): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(readFileSync("/proc/self/cmdline"));
    return false;
  } catch {
    return true; // no /proc, or no UTF-8
  }
}
