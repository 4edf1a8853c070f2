import type { CliArg } from "../../commands/define.ts";
import type { ArgSpecs } from "../arguments.ts";
import { globalArgs, withGlobals } from "../globals.ts";
import { type Group, isGroup, type Verb } from "../verb.ts";

export type Topic = Verb | Group;

/** What is looked for at the end of a command line. */
export type Wanted =
  /** A verb, or one of a group's. */
  | { readonly type: "verb"; readonly group: Group | undefined }
  | { readonly type: "option"; readonly args: ArgSpecs }
  /** The value of an option; `prefix` is what stands before it in the same word. */
  | { readonly type: "value"; readonly name: string; readonly arg: CliArg; readonly prefix: string }
  /** A word of a verb, `index` of those that are no options; `name` where it has one. */
  | { readonly type: "word"; readonly verb: Verb; readonly index: number; readonly name: string | undefined };

export interface Position {
  readonly wanted: Wanted;
  /** The words that name the verb, or the group. */
  readonly path: readonly string[];
  /** Options that were given before, by their name, the last of each. */
  readonly given: ReadonlyMap<string, string>;
}

/** Finds out what the last word of a command line is. Nothing is refused: what cannot be understood is passed over. */
export async function locate(
  words: readonly string[],
  text: string,
  find: (path: readonly string[]) => Promise<Topic | undefined>,
): Promise<Position | undefined> {
  const walk = new Walk();
  for (const word of words) {
    if (!walk.take(word)) continue;
    const topic = await find([...walk.path, word]);
    if (topic === undefined) return undefined; // nobody knows what it means
    walk.enter(word, topic);
  }
  const wanted = walk.toWanted(text);
  return wanted && { wanted, path: walk.path, given: walk.given };
}

/** Reads words one after another, as the arguments' parser would. */
class Walk {
  readonly path: string[] = [];
  readonly given = new Map<string, string>();
  #topic: Topic | undefined;
  #args: ArgSpecs = globalArgs;
  /** The option whose value is the next word. */
  #open: { readonly name: string; readonly arg: CliArg } | undefined;
  #count = 0;
  #areAllWords = false;

  /** Whether the word names a verb. */
  take(word: string): boolean {
    if (this.#open !== undefined) this.#close(word);
    else if (this.#areAllWords) this.#count++;
    else if (word === "--") this.#areAllWords = true;
    else if (word.length > 1 && word.startsWith("-")) this.#takeOption(word);
    else if (this.#topic === undefined || isGroup(this.#topic)) return true;
    else this.#takeWord(this.#topic);
    return false;
  }

  enter(word: string, topic: Topic): void {
    this.path.push(word);
    this.#topic = topic;
    if (!isGroup(topic)) this.#args = withGlobals(topic.args);
  }

  toWanted(text: string): Wanted | undefined {
    if (this.#open !== undefined) return { type: "value", ...this.#open, prefix: "" };
    const topic = this.#topic;
    if (!this.#areAllWords && text.startsWith("-")) {
      const equals = text.indexOf("=");
      const option = equals < 0 || !text.startsWith("--") ? undefined : this.#find(text.slice(2, equals));
      if (option !== undefined) return { type: "value", ...option, prefix: text.slice(0, equals + 1) };
      return { type: "option", args: this.#args };
    }
    if (topic === undefined || isGroup(topic)) return { type: "verb", group: topic };
    const places = Object.keys(topic.args).filter((name) => topic.args[name]?.type === "positional");
    const name = places[this.#count];
    if (name === undefined && topic.rest === undefined) return undefined;
    return {
      type: "word",
      verb: topic,
      index: name === undefined ? this.#count - places.length : this.#count,
      name,
    };
  }

  #takeWord({ takesRest = false }: Verb): void {
    this.#count++;
    if (takesRest) this.#areAllWords = true;
  }

  #takeOption(word: string): void {
    const equals = word.indexOf("=");
    if (!word.startsWith("--")) {
      const letters = [...word.slice(1)].map((letter) => this.#findAlias(letter));
      const index = letters.findIndex((option) => option?.arg.type === "string");
      const rest = word.slice(index + 2);
      if (index < 0) return;
      this.#open = letters[index];
      if (rest !== "") this.#close(rest);
      return;
    }
    const option = this.#find(word.slice(2, equals < 0 ? undefined : equals));
    if (option?.arg.type !== "string") return;
    this.#open = option;
    if (equals >= 0) this.#close(word.slice(equals + 1));
  }

  #close(value: string): void {
    if (this.#open !== undefined) this.given.set(this.#open.name, value);
    this.#open = undefined;
  }

  #find(name: string): { readonly name: string; readonly arg: CliArg } | undefined {
    const arg = Object.hasOwn(this.#args, name) ? this.#args[name] : undefined;
    return arg && { name, arg };
  }

  #findAlias(letter: string): { readonly name: string; readonly arg: CliArg } | undefined {
    const found = Object.entries(this.#args).find(([, { alias }]) => alias === letter);
    return found && { name: found[0], arg: found[1] };
  }
}
