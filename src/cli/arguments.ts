import type { CliArg, CliValues } from "../commands/define.ts";
import { toKebab } from "../lib/kebab.ts";
import { AppError } from "../protocol/error.ts";

export type ArgSpecs = Readonly<Record<string, CliArg>>;

export interface Syntax {
  readonly args: ArgSpecs;
  /** Whether words that no positional takes are allowed. */
  readonly rest: boolean;
  /** The rest begins at the first word that is no option, and is not searched for options. */
  readonly takesRest: boolean;
}

/** What was typed, option by option: texts in the order given, or whether a switch is on. */
export class Arguments implements CliValues {
  readonly #given: Map<string, readonly string[] | boolean>;
  readonly rest: readonly string[];

  constructor(given: Map<string, readonly string[] | boolean>, rest: readonly string[]) {
    this.#given = given;
    this.rest = rest;
  }

  flag = (name: string): boolean => this.#given.get(name) === true;
  choice = (name: string): boolean | undefined => {
    const given = this.#given.get(name);
    return typeof given === "boolean" ? given : undefined;
  };
  /** Of one that was given several times, the last. */
  text = (name: string): string | undefined => this.list(name).at(-1);
  list = (name: string): readonly string[] => {
    const given = this.#given.get(name);
    return typeof given === "object" ? given : [];
  };

  /** These, apart from some options. */
  without(names: readonly string[]): Arguments {
    const left = [...this.#given].filter(([name]) => !names.includes(name));
    return new Arguments(new Map(left), this.rest);
  }

  /** These, after those that came earlier on the command line. */
  after(earlier: Arguments): Arguments {
    const merged = new Map(earlier.#given);
    for (const [name, given] of this.#given) {
      const before = merged.get(name);
      merged.set(
        name,
        typeof given === "object" && typeof before === "object" ? [...before, ...given] : given,
      );
    }
    return new Arguments(merged, this.rest);
  }
}

/** Reads words strictly: `--name value`, `--name=value`, `--no-name`, `-n value`, `-nvalue`, `-ab`, and `--`, after
 * which nothing is an option. Throws `invalid_input`, naming the word. */
export function parseArguments(words: readonly string[], { args, rest, takesRest }: Syntax): Arguments {
  const given = new Map<string, string[] | boolean>();
  const plain: string[] = [];
  const left = [...words];
  const take = (option: Option) => store(given, option, left);
  for (let word = left.shift(); word !== undefined; word = left.shift()) {
    if (word === "--") {
      plain.push(...left);
      break;
    }
    if (word.startsWith("--")) take(parseLong(word, args));
    else if (word.length > 1 && word.startsWith("-")) parseShort(word, args).forEach(take);
    else {
      plain.push(word);
      if (!takesRest) continue;
      plain.push(...left);
      break;
    }
  }
  return new Arguments(given, takePositionals(given, plain, args, rest));
}

/** One option as it was written; a text that is missing is the next word. */
interface Option {
  readonly name: string;
  readonly written: string;
  readonly value: string | boolean | undefined;
}

function parseLong(word: string, args: ArgSpecs): Option {
  const equals = word.indexOf("=");
  const written = equals < 0 ? word : word.slice(0, equals);
  const value = equals < 0 ? undefined : word.slice(equals + 1);
  const typed = written.slice(2);
  const name = Object.hasOwn(args, typed) ? typed : toKebab(typed);
  const known = findOption(args, name);
  if (known?.type === "string") return { name, written, value };
  if (value !== undefined && known !== undefined) throw refused(`"${written}" takes no value`);
  if (known !== undefined) return { name, written, value: true };
  const negated = name.startsWith("no-") ? name.slice(3) : "";
  if (findOption(args, negated)?.type !== "boolean") throw refused(`there is no option "${written}"`);
  if (value !== undefined) throw refused(`"${written}" takes no value`);
  return { name: negated, written, value: false };
}

function parseShort(word: string, args: ArgSpecs): Option[] {
  const options: Option[] = [];
  for (let index = 1; index < word.length; index++) {
    const letter = word.slice(index, index + 1);
    const name = Object.keys(args).find((name) => args[name]?.alias === letter);
    if (name === undefined) throw refused(`there is no option "-${letter}"`);
    if (args[name]?.type === "boolean") {
      options.push({ name, written: `-${letter}`, value: true });
      continue;
    }
    const attached = word.slice(index + 1);
    options.push({
      name,
      written: `-${letter}`,
      value: attached === "" ? undefined : attached.replace(/^=/, ""),
    });
    break;
  }
  return options;
}

function findOption(args: ArgSpecs, name: string): CliArg | undefined {
  const known = Object.hasOwn(args, name) ? args[name] : undefined;
  return known?.type === "positional" ? undefined : known;
}

function store(
  given: Map<string, string[] | boolean>,
  { name, written, value }: Option,
  left: string[],
): void {
  if (typeof value === "boolean") {
    given.set(name, value);
    return;
  }
  const text = value ?? left.shift();
  if (text === undefined) throw refused(`"${written}" needs a value`);
  const before = given.get(name);
  given.set(name, [...(typeof before === "object" ? before : []), text]);
}

/** Gives plain words to the positionals in their order, and answers those that are left. */
function takePositionals(
  given: Map<string, string[] | boolean>,
  plain: readonly string[],
  args: ArgSpecs,
  rest: boolean,
): readonly string[] {
  const positionals = Object.entries(args).filter(([, { type }]) => type === "positional");
  positionals.forEach(([name, { required }], index) => {
    const word = plain[index];
    if (word !== undefined) given.set(name, [word]);
    else if (required && given.get("help") !== true && given.get("version") !== true)
      throw refused(`${name.toUpperCase()} is missing`);
  });
  const left = plain.slice(positionals.length);
  if (!rest && left.length > 0) throw refused(`there is no place for "${left[0]}"`);
  return left;
}

/** Reads the value of an option that is a whole number. Throws `invalid_input`. */
export function parseCount(option: string, text: string): number {
  const count = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(count)) return count;
  throw new AppError("invalid_input", `Cannot read ${option} "${text}": write a whole number`);
}

function refused(what: string): AppError {
  return new AppError("invalid_input", `Cannot read the command line: ${what}`);
}
