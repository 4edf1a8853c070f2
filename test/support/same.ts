import { types } from "node:util";

/**
 * Where two values differ, or undefined if they are the same data: also in what they are of, in the order of their keys, and in
 * which of their parts are one.
 */
export function findDifference(a: unknown, b: unknown): string | undefined {
  return new Comparison().go(a, b, "value");
}

class Comparison {
  readonly #there = new Map<object, object>();
  readonly #back = new Map<object, object>();

  go(a: unknown, b: unknown, path: string): string | undefined {
    if (typeof a !== "object" || typeof b !== "object" || a === null || b === null)
      return Object.is(a, b) ? undefined : `${path}: ${String(a)} is not ${String(b)}`;
    const [known, from] = [this.#there.get(a), this.#back.get(b)];
    if (known !== undefined || from !== undefined)
      return known === b && from === a ? undefined : `${path}: another reference`;
    this.#there.set(a, b);
    this.#back.set(b, a);
    if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return `${path}: another class`;
    return this.#all(toParts(a), toParts(b), path);
  }

  #all(a: readonly Part[], b: readonly Part[], path: string): string | undefined {
    if (a.length !== b.length) return `${path}: ${a.length} parts, not ${b.length}`;
    for (const [index, [name, part]] of a.entries()) {
      const [other, counterpart] = b[index] ?? ["nothing", undefined];
      const difference =
        name === other ? this.go(part, counterpart, `${path}.${name}`) : `${path}: ${name} is not ${other}`;
      if (difference !== undefined) return difference;
    }
    return undefined;
  }
}

type Part = readonly [name: string, value: unknown];

/** Everything that a reference consists of. */
function toParts(value: object): readonly Part[] {
  if (types.isMap(value))
    return [...value].flatMap(
      ([key, item]) =>
        [
          ["key", key],
          ["item", item],
        ] as const,
    );
  if (types.isSet(value)) return [...value].map((item) => ["item", item] as const);
  if (types.isDate(value)) return [["ms", value.getTime()]];
  if (types.isRegExp(value)) return [["text", String(value)]];
  if (value instanceof URL) return [["href", value.href]];
  if (types.isAnyArrayBuffer(value)) return [["bytes", toHex(new Uint8Array(value))]];
  if (ArrayBuffer.isView(value))
    return [["bytes", toHex(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))]];
  const own = Object.entries(value);
  if (value instanceof Error) {
    const { name, message, stack } = value;
    const hidden = ["cause", "errors"].flatMap((key) =>
      Object.hasOwn(value, key) ? [[key, Reflect.get(value, key)] as const] : [],
    );
    return [
      ["name", name],
      ["message", message],
      ["stack", stack],
      ...hidden,
      ...own.filter(([key]) => key !== "name"),
    ];
  }
  return Array.isArray(value) ? [["length", value.length], ...own] : own;
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}
