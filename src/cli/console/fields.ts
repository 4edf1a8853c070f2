import type { CliArg } from "../../commands/define.ts";
import { toKebab } from "../../lib/kebab.ts";
import { AppError } from "../../protocol/error.ts";
import { Arguments, type ArgSpecs } from "../arguments.ts";
import type { Verb } from "../verb.ts";
import { isWord, type Word } from "./words.ts";

/**
 * The same verb, where what fills a place may also be named: `kill job=3`, `mv to=b a`. `fields`: of its command's input,
 * those that words without a name fill. One whose words are a program's takes them as they are.
 */
export function nameFields(verb: Verb, fields: readonly string[]): Verb {
  if (!isNamed(verb)) return verb;
  const places = Object.keys(verb.args).filter((name) => verb.args[name]?.type === "positional");
  const left = verb.rest === undefined ? [] : fields.filter((field) => !Object.hasOwn(verb.args, field));
  const names = [...places, ...left].flatMap(toSpellings);
  const named: ArgSpecs = Object.fromEntries(names.map((name) => [name, toOption(verb.args[name])]));
  return {
    ...verb,
    args: { ...verb.args, ...named },
    rest: verb.rest ?? "",
    run: (values, context) => verb.run(fill(values, verb, { places, left }), context),
  };
}

/** Writes `name=value` as the option of that name where the verb has one. A quote before the `=` keeps it as it is. */
export function toOptions(
  words: readonly Word[],
  verb: Pick<Verb, "args" | "rest" | "takesRest">,
): readonly string[] {
  const end = words.findIndex((word) => isWord(word, "--"));
  const before = !isNamed(verb) ? 0 : end < 0 ? words.length : end;
  return words.map((word, index) => (index < before ? toOptionWord(word, verb.args) : word.text));
}

/** Whether `name=value` can be anything else than a word: not where it is a program's, a label or a variable. */
export function isNamed({ rest = "", takesRest = false }: Pick<Verb, "rest" | "takesRest">): boolean {
  return !takesRest && !rest.includes("=");
}

function toOptionWord({ text, bare }: Word, args: ArgSpecs): string {
  const [, name = "", value = ""] = /^([A-Za-z][\w-]*)=(.*)$/s.exec(text) ?? [];
  const kebab = toKebab(name);
  const known = [name, kebab, `field-${kebab}`].find((spelling) => Object.hasOwn(args, spelling));
  if (known === undefined || bare <= name.length) return text;
  if (args[known]?.type !== "boolean") return `--${known}=${value}`;
  if (/^true$/i.test(value)) return `--${known}`;
  return /^false$/i.test(value) ? `--no-${known}` : `--${known}=${value}`; // which is refused, naming the option
}

interface Places {
  /** Arguments of the verb that have a place. */
  readonly places: readonly string[];
  /** Fields that come out of its other words. */
  readonly left: readonly string[];
}

/** Puts what was named to its place among the words. Throws `invalid_input` where that leaves no place for one, or an empty one. */
function fill(values: Arguments, verb: Verb, { places, left }: Places): Arguments {
  const words = [...values.rest];
  const take = (name: string) => valueOf(values, name) ?? words.shift();
  const given = places.map((name) => [name, take(name)] as const);
  for (const [name, value] of given)
    if (value === undefined && verb.args[name]?.required === true)
      throw refused(`${name.toUpperCase()} is missing`);
  const isGiven = left.some((name) => valueOf(values, name) !== undefined);
  const rest = isGiven ? left.flatMap((name) => take(name) ?? []) : [];
  rest.push(...words);
  if (verb.rest === undefined && rest.length > 0) throw refused(`there is no place for "${rest[0]}"`);
  const filled = given.flatMap(([name, value]): [string, readonly string[]][] =>
    value === undefined ? [] : [[name, [value]]],
  );
  const others = values.without([...places, ...left].flatMap(toSpellings));
  return new Arguments(new Map(filled), rest).after(others);
}

function valueOf(values: Arguments, name: string): string | undefined {
  return toSpellings(name)
    .map(values.text)
    .find((text) => text !== undefined);
}

/** One of several is named in the singular. */
function toSpellings(name: string): readonly string[] {
  return name.endsWith("s") ? [name, name.slice(0, -1)] : [name];
}

function toOption(arg: CliArg | undefined): CliArg {
  return { type: "string", description: arg?.description ?? "Instead of a word in its place" };
}

function refused(what: string): AppError {
  return new AppError("invalid_input", `Cannot read the command line: ${what}`);
}
