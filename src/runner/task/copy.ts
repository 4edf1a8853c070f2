/** What is copied at most: items, and bytes of texts and arrays in it. More would take milliseconds of each execution. */
const MAX_ITEMS = 10_000;
const MAX_BYTES = 1024 * 1024;

/** Classes whose instances are copied as they are. What derives from them is not. */
const COPIED: readonly unknown[] = [Map, Set, Date, RegExp, ArrayBuffer, DataView, ...listArrays()].map(
  ({ prototype }) => prototype,
);

/** A copy of a value in which all is as it was; undefined for what holds something else than values, or too much. */
export function copy(value: unknown): { readonly value: unknown } | undefined {
  try {
    return new Survey().isCopied(value) ? { value: structuredClone(value) } : undefined;
  } catch {
    return undefined; // a proxy may throw whatever it is asked
  }
}

class Survey {
  readonly #seen = new Set<unknown>();
  #items = 0;
  #bytes = 0;

  isCopied(value: unknown): boolean {
    if (++this.#items > MAX_ITEMS) return false;
    switch (typeof value) {
      case "function":
      case "symbol":
        return false;
      case "string":
        return this.#hasRoom(value.length);
      case "object":
        return value === null || this.#seen.has(value) || this.#isCopiedObject(value);
      default:
        return true;
    }
  }

  #isCopiedObject(value: object): boolean {
    this.#seen.add(value);
    const prototype: unknown = Object.getPrototypeOf(value);
    if (value instanceof Map)
      return (
        prototype === Map.prototype && [...value].every((pair) => pair.every((item) => this.isCopied(item)))
      );
    if (value instanceof Set)
      return prototype === Set.prototype && [...value].every((item) => this.isCopied(item));
    if (COPIED.includes(prototype))
      return this.#hasRoom("byteLength" in value ? Number(value.byteLength) : 0);
    if (prototype !== Object.prototype && prototype !== Array.prototype) return false;
    const fields = Object.getOwnPropertyDescriptors(value);
    return Reflect.ownKeys(fields).every(
      (key) => typeof key === "string" && this.#isCopiedField(fields[key], value),
    );
  }

  /** What is computed, or hidden, a copy would not have. */
  #isCopiedField(field: PropertyDescriptor | undefined, { length }: { readonly length?: unknown }): boolean {
    if (field === undefined || !("value" in field)) return false;
    const isLength = !field.enumerable && field.value === length;
    return (field.enumerable || isLength) && field.writable === true && this.isCopied(field.value);
  }

  #hasRoom(bytes: number): boolean {
    return (this.#bytes += bytes) <= MAX_BYTES;
  }
}

function listArrays(): readonly { readonly prototype: unknown }[] {
  return [
    Int8Array,
    Uint8Array,
    Uint8ClampedArray,
    Int16Array,
    Uint16Array,
    Int32Array,
    Uint32Array,
    Float32Array,
    Float64Array,
    BigInt64Array,
    BigUint64Array,
  ];
}
