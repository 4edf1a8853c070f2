import { MAX_VALUE_ITEMS, REGEXP_ITEMS } from "../limits.ts";
import { checkRegExp } from "./build.ts";
import { fieldsOf, nameError } from "./exception.ts";
import { findRepeated } from "./survey.ts";
import { GENERIC, TAG } from "./tags.ts";
import { bytesOf, type TypedArray, type TypedName, tagOf } from "./typed.ts";
import { type Fields, type Primitive, refused, type Visitor, visit } from "./visit.ts";
import { MAJOR, SIMPLE, Writer } from "./writer.ts";
import { encodeWtf8 } from "./wtf8.ts";

/**
 * A value as CBOR (RFC 8949), beginning with the tag that says so. What there is more than once is there once again when
 * it is read, and so is a value within itself. Throws `invalid_input` for what is no data (functions, symbols, promises, …)
 * and for what is too deep, too large or has too many items.
 */
export function encodeCbor(value: unknown, maxItems: number = MAX_VALUE_ITEMS): Uint8Array {
  const encoder = new Encoder(findRepeated(value), maxItems);
  return encoder.encode(value);
}

class Encoder implements Visitor<void> {
  readonly #writer: Writer;
  readonly #repeated: ReadonlySet<object>;
  /** The numbers of those that are repeated, in the order in which they begin. */
  readonly #numbers = new Map<object, number>();

  constructor(repeated: ReadonlySet<object>, maxItems: number) {
    this.#repeated = repeated;
    this.#writer = new Writer(maxItems);
  }

  encode(value: unknown): Uint8Array {
    this.#tag(TAG.selfDescribed);
    this.#item(value);
    return this.#writer.finish();
  }

  primitive(value: Primitive): void {
    switch (typeof value) {
      case "string":
        return this.#text(value);
      case "number":
        return this.#number(value);
      case "bigint":
        return this.#bigint(value);
      case "boolean":
        return this.#writer.head(MAJOR.simple, value ? SIMPLE.true : SIMPLE.false);
      default:
        return this.#writer.head(MAJOR.simple, value === null ? SIMPLE.null : SIMPLE.undefined);
    }
  }

  array(value: readonly unknown[]): void {
    const holes = findHoles(value);
    if (holes.length > 0) {
      this.#generic(GENERIC.sparse, value.length + 1);
      this.array(holes);
    } else this.#writer.head(MAJOR.array, value.length);
    for (let index = 0; index < value.length; index++) this.#item(value[index]);
  }

  object(value: Fields): void {
    this.#fields(Object.keys(value).map((key) => [key, value[key]] as const));
  }

  map(value: ReadonlyMap<unknown, unknown>): void {
    this.#tag(TAG.map);
    this.#writer.head(MAJOR.map, value.size);
    for (const [key, item] of value) {
      this.#item(key);
      this.#item(item);
    }
  }

  set(value: ReadonlySet<unknown>): void {
    this.#tag(TAG.set);
    this.#writer.head(MAJOR.array, value.size);
    for (const item of value) this.#item(item);
  }

  date(value: Date): void {
    const ms = value.getTime();
    if (Math.round((ms / 1_000) * 1_000) === ms || Number.isNaN(ms)) {
      this.#tag(TAG.date);
      return this.#number(ms / 1_000);
    }
    this.#generic(GENERIC.farDate, 1);
    this.#number(ms);
  }

  regExp({ source, flags }: RegExp): void {
    checkRegExp(source, refused);
    this.#writer.count(REGEXP_ITEMS);
    this.#tag(TAG.regExp);
    this.#writer.head(MAJOR.array, 2);
    this.#text(source);
    this.#text(flags);
  }

  url(value: URL): void {
    this.#tag(TAG.url);
    this.#text(value.href);
  }

  error(value: Error): void {
    this.#generic(nameError(value), 1);
    this.#fields([...fieldsOf(value)]);
  }

  typed(value: TypedArray, name: TypedName): void {
    const tag = tagOf(name);
    if (tag !== undefined) this.#tag(tag);
    this.#writer.bytes(bytesOf(value));
  }

  buffer(value: ArrayBuffer | SharedArrayBuffer): void {
    this.#generic(GENERIC.buffer, 1);
    this.#writer.bytes(new Uint8Array(value));
  }

  view(value: DataView): void {
    this.#generic(GENERIC.view, 1);
    this.#writer.bytes(bytesOf(value));
  }

  #item(value: unknown): void {
    if (typeof value === "object" && value !== null && this.#repeated.has(value)) {
      const number = this.#numbers.get(value);
      if (number !== undefined) {
        this.#tag(TAG.reference);
        return this.#number(number);
      }
      this.#numbers.set(value, this.#numbers.size);
      this.#tag(TAG.shared);
    }
    visit(value, this);
  }

  #fields(fields: readonly (readonly [string, unknown])[]): void {
    this.#writer.head(MAJOR.map, fields.length);
    for (const [key, value] of fields) {
      this.#text(key);
      this.#item(value);
    }
  }

  #number(value: number): void {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) return this.#writer.float(value);
    if (value >= 0) return this.#writer.head(MAJOR.unsigned, value);
    this.#writer.head(MAJOR.negative, -1 - value);
  }

  #bigint(value: bigint): void {
    this.#tag(value >= 0n ? TAG.bigUnsigned : TAG.bigNegative);
    const digits = (value >= 0n ? value : -1n - value).toString(16);
    const even = digits === "0" ? "" : digits.padStart(digits.length + (digits.length % 2), "0");
    this.#writer.bytes(Buffer.from(even, "hex"));
  }

  #text(value: string): void {
    if (value.isWellFormed()) return this.#writer.text(value);
    this.#tag(TAG.wtf8);
    this.#writer.bytes(encodeWtf8(value));
  }

  #generic(name: string, more: number): void {
    this.#tag(TAG.generic);
    this.#writer.head(MAJOR.array, more + 1);
    this.#text(name);
  }

  #tag(tag: number): void {
    this.#writer.head(MAJOR.tag, tag);
  }
}

function findHoles(value: readonly unknown[]): number[] {
  const holes: number[] = [];
  for (let index = 0; index < value.length; index++)
    if (value[index] === undefined && !(index in value)) holes.push(index);
  return holes;
}
