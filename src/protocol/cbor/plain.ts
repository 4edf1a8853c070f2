import { MAX_PLAIN_DEPTH, MAX_PLAIN_KEYS, MAX_VALUE_ITEMS } from "../limits.ts";

/**
 * Whether JSON says all of a value, exactly: no `undefined`, no instance of a class, nothing that is there twice, no number
 * that JSON has not; nor is it as deep or as large as JSON of others is refused for.
 */
export function isPlain(value: unknown): boolean {
  return new Look().isPlain(value, 0);
}

class Look {
  readonly #seen = new Set<object>();
  #keys = 0;
  #items = 0;

  isPlain(value: unknown, depth: number): boolean {
    if (++this.#items > MAX_VALUE_ITEMS) return false;
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
    if (depth === MAX_PLAIN_DEPTH || this.#seen.has(value)) return false;
    this.#seen.add(value);
    if (Array.isArray(value)) return this.#isPlainArray(value, depth);
    const prototype: unknown = Object.getPrototypeOf(value);
    if ((prototype !== Object.prototype && prototype !== null) || "toJSON" in value) return false;
    for (const item of Object.values(value))
      if (++this.#keys > MAX_PLAIN_KEYS || !this.isPlain(item, depth + 1)) return false;
    return true;
  }

  /** A hole is `undefined`. */
  #isPlainArray(value: readonly unknown[], depth: number): boolean {
    for (let index = 0; index < value.length; index++)
      if (!this.isPlain(value[index], depth + 1)) return false;
    return true;
  }
}
