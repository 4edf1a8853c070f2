import type { Session } from "../../client/session.ts";
import { findCommand } from "../../commands/index.ts";
import { AppError } from "../../protocol/error.ts";
import { type Group, isGroup, type Verb } from "../verb.ts";
import { findTopic, verbs } from "../verbs.ts";
import { toVerb } from "../custom/verb.ts";
import { type Definition, listDefinitions } from "../custom/definition.ts";
import { isOwn } from "../custom/own.ts";
import { nameFields } from "./fields.ts";

/** What only a shell can make use of. */
const OUTSIDE = ["console", "completion"];

/** What only a console understands. */
const WORDS = ["help", "exit", "quit"];

/** Milliseconds for which a server is not asked again what it offers. */
const FRESH = 2_000;

export type Topic = Verb | Group;

/** Everything that a console can do: the client's own verbs, and whatever else its server offers. */
export class Catalogue {
  readonly #open: (signal: AbortSignal) => Promise<Session>;
  #definitions: readonly Definition[] = [];
  /** When they were asked for (ms, monotonic). */
  #listedAt = Number.NEGATIVE_INFINITY;

  /** `open`: gives a session for a moment. */
  constructor(open: (signal: AbortSignal) => Promise<Session>) {
    this.#open = open;
  }

  /** What one word, or a group's and one of its verbs', mean. Asks the server for what the client does not know. */
  async find(words: readonly string[], signal: AbortSignal): Promise<Topic | undefined> {
    const [first = ""] = words;
    if (OUTSIDE.includes(first)) return undefined;
    const topic = await findTopic(words);
    if (topic !== undefined) return isGroup(topic) ? topic : nameFields(topic, toFields(words));
    const name = first.replaceAll("_", "-");
    if (words.length > 1 || !/^\w/.test(name)) return undefined;
    const isMeant = (definition: Definition) => definition.name === name || definition.name === first;
    if (!this.#isFresh || !this.#definitions.some(isMeant)) await this.list(signal);
    const known = this.#definitions.find(isMeant);
    return known && toVerb(known);
  }

  /** Every word that a line may begin with. */
  async names(signal: AbortSignal): Promise<readonly string[]> {
    if (!this.#isFresh) await this.list(signal).catch(() => {}); // then it offers nothing that is known
    const custom = this.#definitions.filter(isOwn).map(({ name }) => name);
    return [...this.verbs(), ...custom, ...WORDS];
  }

  /** To describe it all costs something, but whoever has the server may change what it offers. */
  get #isFresh(): boolean {
    return performance.now() - this.#listedAt < FRESH;
  }

  /** The client's own verbs and groups. */
  verbs(): readonly string[] {
    return Object.keys(verbs).filter((name) => !OUTSIDE.includes(name));
  }

  /** What the server offers besides. One that is too old to tell offers nothing else. */
  async list(signal: AbortSignal): Promise<readonly Definition[]> {
    await using session = await this.#open(signal);
    try {
      this.#definitions = await listDefinitions(session, signal);
      this.#listedAt = performance.now();
    } catch (error) {
      if (!(error instanceof AppError && error.code === "unknown_command")) throw error;
    }
    return this.#definitions.filter(isOwn);
  }
}

/** What words without a name fill in the input of a built-in command. */
function toFields(words: readonly string[]): readonly string[] {
  return findCommand(words.join("-"))?.positional ?? [];
}
