import { MAX_PLAIN_DEPTH, MAX_PLAIN_ITEMS, MAX_PLAIN_PLACES, MAX_VALUE_ITEMS } from "../limits.ts";
import { countPlaces } from "../places.ts";

/**
 * Whether JSON says all of a value, exactly: no `undefined`, no instance of a class, nothing that is there twice, no number
 * that JSON has not; nor is it as deep or as large as JSON of others is refused for.
 */
export function isPlain(value: unknown): boolean {
  return new Look().isPlain(value, 0);
}

class Look {
  readonly #seen = new Set<object>();
  /** Of everything, of keys and containers, and places for keys. */
  #all = 0;
  #items = 0;
  #places = 0;

  isPlain(value: unknown, depth: number): boolean {
    if (++this.#all > MAX_VALUE_ITEMS) return false;
    switch (typeof value) {
      case "string":
      case "boolean":
        return true;
      case "number":
        return Number.isFinite(value) && !Object.is(value, -0);
      case "object":
        return value === null || this.#isPlainObject(value, depth);
      default:
        return false;
    }
  }

  #isPlainObject(value: object, depth: number): boolean {
    if (depth === MAX_PLAIN_DEPTH || this.#seen.has(value) || ++this.#items > MAX_PLAIN_ITEMS) return false;
    this.#seen.add(value);
    if (Array.isArray(value)) return this.#isPlainArray(value, depth);
    const prototype: unknown = Object.getPrototypeOf(value);
    if ((prototype !== Object.prototype && prototype !== null) || "toJSON" in value) return false;
    if ((this.#places += findWidth(value)) > MAX_PLAIN_PLACES) return false;
    for (const item of Object.values(value))
      if (++this.#items > MAX_PLAIN_ITEMS || !this.isPlain(item, depth + 1)) return false;
    return true;
  }

  /** A hole is `undefined`. */
  #isPlainArray(value: readonly unknown[], depth: number): boolean {
    for (let index = 0; index < value.length; index++)
      if (!this.isPlain(value[index], depth + 1)) return false;
    return true;
  }
}

/** Places for the keys of an object: those that are numbers come first, and rise. */
function findWidth(value: object): number {
  let width = 0;
  for (const key in value) {
    const places = countPlaces(key);
    if (places === 0) break;
    width = places;
  }
  return width;
}
