import { AppError } from "../../protocol/error.ts";
import { Arguments, type ArgSpecs } from "../arguments.ts";
import { globalArgs } from "../globals.ts";
import { jobArgs } from "./job-options.ts";

/** Options of every verb among words of which nobody knows yet what the others mean. Nothing is refused. */
export function scanGlobals(words: readonly string[]): Arguments {
  const given = new Map<string, string[] | boolean>();
  const end = words.indexOf("--");
  const left = words.slice(0, end < 0 ? words.length : end);
  for (let word = left.shift(); word !== undefined; word = left.shift()) {
    const { name, value } = word.startsWith("--") ? readLong(word) : readShort(word);
    const type = name !== undefined && Object.hasOwn(globals, name) ? globals[name]?.type : undefined;
    if (name === undefined || type === undefined) continue;
    const text = type === "string" ? (value ?? left.shift()) : undefined;
    if (type === "boolean") given.set(name, true);
    else if (text !== undefined) given.set(name, [text]);
  }
  return new Arguments(given, []);
}

/**
 * What was found among words before they could be read must be what they say: else another server was asked than is meant.
 * Throws `invalid_input`.
 */
export function checkScanned(scanned: Arguments, read: Arguments): void {
  const differing = Object.keys(globalArgs).find((name) => scanned.text(name) !== read.text(name));
  if (differing === undefined) return;
  throw new AppError(
    "invalid_input",
    `Cannot tell what "--${differing}" belongs to: write it before the command, or a value as NAME=VALUE`,
  );
}

/** Those that have a value, by their names. */
export function scanTexts(words: readonly string[]): ReadonlyMap<string, string> {
  const found = scanGlobals(words);
  return new Map(
    Object.keys(globalArgs).flatMap((name): [string, string][] => {
      const text = found.text(name);
      return text === undefined ? [] : [[name, text]];
    }),
  );
}

const globals: ArgSpecs = globalArgs;

interface Read {
  readonly name?: string | undefined;
  readonly value?: string | undefined;
}

function readLong(word: string): Read {
  const equals = word.indexOf("=");
  return equals < 0
    ? { name: word.slice(2) }
    : { name: word.slice(2, equals), value: word.slice(equals + 1) };
}

/** `-Hweb1`, `-H web1`, or behind switches in one word, as in `-dH web1`. */
function readShort(word: string): Read {
  if (!/^-\w/.test(word)) return {};
  for (let index = 1; index < word.length; index++) {
    const letter = word.slice(index, index + 1);
    const name = Object.keys(globals).find((name) => globals[name]?.alias === letter);
    const rest = word.slice(index + 1);
    if (name !== undefined) return { name, ...(rest !== "" && { value: rest.replace(/^=/, "") }) };
    if (
      Object.values<ArgSpecs[string]>(jobArgs).some(
        ({ alias, type }) => alias === letter && type === "string",
      )
    )
      return {};
  }
  return {};
}
