import { AppError } from "../error.ts";
import { MAX_VALUE_DEPTH } from "../limits.ts";
import { toRegExp, toUrl } from "./build.ts";
import { createError, isErrorName, setErrorField } from "./exception.ts";
import { setProperty } from "./property.ts";
import { isTag } from "./tagged.ts";
import { isTypedName, toTyped } from "./typed.ts";

/** One level of a value is up to so many of the JSON that stands for it. */
const MAX_DEPTH = 5 * MAX_VALUE_DEPTH;

/**
 * The value that `toTagged` has written as JSON, or somebody by hand. Throws `invalid_input`, telling which tag is wrong; `what`:
 * what it is called in that sentence.
 */
export function fromTagged(json: unknown, what = "a value"): unknown {
  try {
    return new Untagger().item(json);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    throw new AppError("invalid_input", `Cannot read ${what}: it ${error.message}`);
  }
}

/** Takes a value that others may refer to, as soon as there is something to refer to. */
type Keep = (value: object) => void;
const KEPT_BY_NOBODY: Keep = () => {};

class Untagger {
  readonly #shared = new Map<number, unknown>();
  #depth = 0;

  item(json: unknown, keep: Keep = KEPT_BY_NOBODY): unknown {
    if (typeof json !== "object" || json === null) return json;
    if (++this.#depth > MAX_DEPTH) throw refused(`is nested deeper than ${MAX_DEPTH} levels`);
    const value = this.#container(json, keep);
    this.#depth--;
    return value;
  }

  #container(json: object, keep: Keep): unknown {
    if (Array.isArray(json)) return this.#array(json, keep);
    const [key = ""] = Object.keys(json);
    if (!isTag(Object.keys(json))) return this.#object(json, keep);
    return this.#tagged(key, Object.values(json)[0], keep);
  }

  #array(json: readonly unknown[], keep: Keep): unknown[] {
    const array: unknown[] = [];
    keep(array);
    for (const item of json) {
      if (isHole(item)) array.length++;
      else array.push(this.item(item));
    }
    return array;
  }

  #object(json: object, keep: Keep): object {
    const object = {};
    keep(object);
    for (const [key, item] of Object.entries(json)) setProperty(object, key, this.item(item));
    return object;
  }

  #tagged(tag: string, content: unknown, keep: Keep): unknown {
    switch (tag) {
      case "$undefined":
        return undefined;
      case "$object":
        return this.#object(demandObject(tag, content), keep);
      case "$number":
        return toNumber(content);
      case "$bigint":
        return toBigInt(content);
      case "$date":
        return content === null ? new Date(Number.NaN) : parseDate(demandText(tag, content));
      case "$url":
        return toUrl(demandText(tag, content), refused);
      case "$regexp": {
        const [source, flags = ""] = demandList(tag, content);
        return toRegExp(demandText(tag, source), demandText(tag, flags), refused);
      }
      case "$map":
        return this.#map(demandList(tag, content), keep);
      case "$set":
        return this.#set(demandList(tag, content), keep);
      case "$error":
        return this.#error(demandList(tag, content), keep);
      case "$bytes":
        return toTyped("Uint8Array", toBytes(tag, content), refused);
      case "$typed":
        return toTypedArray(demandList(tag, content));
      case "$buffer":
        return toTyped("Uint8Array", toBytes(tag, content), refused).buffer;
      case "$view":
        return new DataView(toTyped("Uint8Array", toBytes(tag, content), refused).buffer);
      case "$shared":
        return this.#share(demandList(tag, content), keep);
      case "$ref":
        return this.#refer(content);
      default:
        throw refused(
          `has {${JSON.stringify(tag.slice(0, 64))}: …} in it, which stands for nothing; an object is {"$object": {…}}`,
        );
    }
  }

  #map(entries: readonly unknown[], keep: Keep): Map<unknown, unknown> {
    const map = new Map<unknown, unknown>();
    keep(map);
    for (const entry of entries) {
      const [key, value] = demandList("$map", entry);
      map.set(this.item(key), this.item(value));
    }
    return map;
  }

  #set(items: readonly unknown[], keep: Keep): Set<unknown> {
    const set = new Set<unknown>();
    keep(set);
    for (const item of items) set.add(this.item(item));
    return set;
  }

  #error([name, fields]: readonly unknown[], keep: Keep): Error {
    if (typeof name !== "string" || !isErrorName(name)) throw refused('has an "$error" of an unknown class');
    const error = createError(name);
    keep(error);
    for (const [key, item] of Object.entries(demandObject("$error", fields)))
      setErrorField(error, [key, this.item(item)], refused);
    return error;
  }

  #share([number, json]: readonly unknown[], keep: Keep): unknown {
    if (keep !== KEPT_BY_NOBODY || typeof number !== "number" || this.#shared.has(number))
      throw refused('has a "$shared" without a number of its own');
    const value = this.item(json, (value) => this.#shared.set(number, value));
    this.#shared.set(number, value);
    return value;
  }

  #refer(number: unknown): unknown {
    if (typeof number !== "number" || !this.#shared.has(number))
      throw refused('has a "$ref" to something that is not there yet');
    return this.#shared.get(number);
  }
}

function isHole(json: unknown): boolean {
  return typeof json === "object" && json !== null && "$hole" in json && isTag(Object.keys(json));
}

function toNumber(content: unknown): number {
  switch (content) {
    case "-0":
      return -0;
    case "NaN":
    case "Infinity":
    case "-Infinity":
      return Number(content);
    default:
      throw refused('has a "$number" other than "NaN", "Infinity", "-Infinity" and "-0"');
  }
}

function parseDate(text: string): Date {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) throw refused('has a "$date" that is none');
  return date;
}

function toBigInt(content: unknown): bigint {
  const text = demandText("$bigint", content);
  // Of more digits than the language has bits it would take long to find that out.
  if (!/^-?\d{1,315653}$/.test(text)) throw refused('has a "$bigint" that is no whole number');
  try {
    return BigInt(text);
  } catch {
    throw refused('has a "$bigint" that is too large'); // by one digit at most
  }
}

function toTypedArray([name, base64]: readonly unknown[]): object {
  if (typeof name !== "string" || !isTypedName(name)) throw refused('has a "$typed" of an unknown class');
  return toTyped(name, toBytes("$typed", base64), refused);
}

function toBytes(tag: string, content: unknown): Uint8Array {
  const text = demandText(tag, content);
  const bytes = Buffer.from(text, "base64");
  if (bytes.toString("base64") !== text) throw refused(`has a "${tag}" that is no base64`);
  return bytes;
}

function demandText(tag: string, content: unknown): string {
  if (typeof content !== "string") throw refused(`has a "${tag}" without its text`);
  return content;
}

function demandList(tag: string, content: unknown): readonly unknown[] {
  if (!Array.isArray(content)) throw refused(`has a "${tag}" without its list`);
  return content;
}

function demandObject(tag: string, content: unknown): object {
  if (typeof content !== "object" || content === null || Array.isArray(content))
    throw refused(`has a "${tag}" without its object`);
  return content;
}

/** Why, at the end of a sentence. */
class Refusal extends Error {}

function refused(what: string): Refusal {
  return new Refusal(what);
}
