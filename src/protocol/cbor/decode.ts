import { MAX_BIGINT_BYTES, MAX_VALUE_BYTES, MAX_VALUE_DEPTH, MAX_VALUE_ITEMS } from "../limits.ts";
import { toDate, toRegExp, toUrl } from "./build.ts";
import { createError, isErrorName, setErrorField } from "./exception.ts";
import { setProperty } from "./property.ts";
import { broken, Reader } from "./reader.ts";
import { GENERIC, SELF_DESCRIBED, TAG } from "./tags.ts";
import { findTyped, toTyped } from "./typed.ts";
import { MAJOR, SIMPLE } from "./writer.ts";
import { decodeWtf8 } from "./wtf8.ts";

/**
 * The value that CBOR (RFC 8949) says, with or without the tag that says that it is. Throws `protocol_error` for what is
 * none, has something twice that must be once, is too deep, too large or has too many items, or has a tag that is unknown
 * here. Nothing that it was made of is kept.
 */
export function decodeCbor(bytes: Uint8Array, maxItems: number = MAX_VALUE_ITEMS): unknown {
  if (bytes.length > MAX_VALUE_BYTES) throw broken(`takes more than ${MAX_VALUE_BYTES} bytes`);
  const isSelfDescribed = SELF_DESCRIBED.every((byte, index) => bytes[index] === byte);
  const content = isSelfDescribed ? bytes.subarray(SELF_DESCRIBED.length) : bytes;
  return new Decoder(new Reader(content, maxItems)).decode();
}

/** Takes a value that others may refer to, as soon as there is something to refer to. */
type Keep = (value: object) => void;

/** Of a value that is shared and not there yet. */
const ABSENT = Symbol("absent");
const KEPT_BY_NOBODY: Keep = () => {};

class Decoder {
  readonly #reader: Reader;
  /** What is shared, by its number. */
  readonly #shared: unknown[] = [];
  #depth = 0;

  constructor(reader: Reader) {
    this.#reader = reader;
  }

  decode(): unknown {
    const value = this.#item();
    if (this.#reader.left > 0) throw broken("goes on behind its end");
    return value;
  }

  #item(keep: Keep = KEPT_BY_NOBODY): unknown {
    const { major, info } = this.#reader.head();
    if (major === MAJOR.tag) return this.#tagged(this.#reader.argument(info), keep);
    return this.#untagged(major, info, keep);
  }

  #untagged(major: number, info: number, keep: Keep): unknown {
    switch (major) {
      case MAJOR.unsigned:
        return this.#reader.argument(info);
      case MAJOR.negative: {
        const argument = this.#reader.argument(info);
        return typeof argument === "bigint" || argument === Number.MAX_SAFE_INTEGER
          ? -1n - BigInt(argument)
          : -1 - argument;
      }
      case MAJOR.bytes:
        return new Uint8Array(this.#string(major, info));
      case MAJOR.text:
        return decodeUtf8(this.#string(major, info));
      case MAJOR.array:
        this.#enter();
        return this.#leave(this.#array(this.#reader.length(info), keep));
      case MAJOR.map:
        this.#enter();
        return this.#leave(this.#objectOrMap(this.#reader.length(info), keep));
      default:
        return this.#simple(info);
    }
  }

  #simple(info: number): unknown {
    switch (info) {
      case SIMPLE.false:
      case SIMPLE.true:
        return info === SIMPLE.true;
      case SIMPLE.null:
        return null;
      case SIMPLE.undefined:
        return undefined;
      case SIMPLE.half:
        return this.#reader.half();
      case SIMPLE.single:
        return this.#reader.single();
      case SIMPLE.double:
        return this.#reader.double();
      default:
        throw broken("has a simple value that there is not");
    }
  }

  /** The bytes of a string, in one piece or in several that are strings of the same type. */
  #string(major: number, info: number): Uint8Array {
    const length = this.#reader.length(info);
    if (length !== undefined) return this.#reader.take(length);
    const pieces: Uint8Array[] = [];
    while (!this.#reader.takesBreak()) {
      const piece = this.#reader.head();
      const size = piece.major === major ? this.#reader.length(piece.info) : undefined;
      if (size === undefined) throw broken("has a string with a piece that is none");
      pieces.push(this.#reader.take(size));
      if (major === MAJOR.text) decodeUtf8(pieces.at(-1) ?? new Uint8Array()); // no piece may end within a character
    }
    return Buffer.concat(pieces);
  }

  /** Runs `each` as often as there are items: so many, or up to a `BREAK`. */
  #repeat(length: number | undefined, each: () => void): void {
    if (length === undefined) while (!this.#reader.takesBreak()) each();
    else for (let count = 0; count < length; count++) each();
  }

  /** One level deeper, until `#leave`. */
  #enter(): void {
    if (++this.#depth > MAX_VALUE_DEPTH) throw broken(`is nested deeper than ${MAX_VALUE_DEPTH} levels`);
  }

  #leave<T>(value: T): T {
    this.#depth--;
    return value;
  }

  #array(length: number | undefined, keep: Keep): unknown[] {
    const array: unknown[] = [];
    keep(array);
    this.#repeat(length, () => array.push(this.#item()));
    return array;
  }

  /** An object; what others write may be a map of other keys than text. */
  #objectOrMap(length: number | undefined, keep: Keep): object {
    if (length === 0 || this.#isTextNext()) return this.#object(length, keep);
    return this.#map(length, keep);
  }

  #isTextNext(): boolean {
    const byte = this.#reader.peek();
    return byte >> 5 === MAJOR.text || byte === 0xd9; // the tag of text that is no UTF-8 takes two bytes
  }

  #object(length: number | undefined, keep: Keep): object {
    const object = {};
    keep(object);
    this.#fields(length, (key, value) => setOnce(object, key, value));
    return object;
  }

  #fields(length: number | undefined, set: (key: string, value: unknown) => void): void {
    this.#repeat(length, () => {
      const key = this.#item();
      if (typeof key !== "string") throw broken("has a key that is no text in an object");
      set(key, this.#item());
    });
  }

  #map(length: number | undefined, keep: Keep): Map<unknown, unknown> {
    const map = new Map<unknown, unknown>();
    keep(map);
    this.#repeat(length, () => {
      const key = this.#item();
      if (map.has(key)) throw broken("has a key twice");
      map.set(key, this.#item());
    });
    return map;
  }

  #set(length: number | undefined, keep: Keep): Set<unknown> {
    const set = new Set<unknown>();
    keep(set);
    this.#repeat(length, () => {
      const value = this.#item();
      if (set.has(value)) throw broken("has something twice in a set");
      set.add(value);
    });
    return set;
  }

  #tagged(tag: number | bigint, keep: Keep): unknown {
    switch (tag) {
      case TAG.dateText:
        return this.#dateText();
      case TAG.date:
        return toDate(Math.round(this.#number() * 1_000), broken);
      case TAG.bigUnsigned:
        return this.#bigint();
      case TAG.bigNegative:
        return -1n - this.#bigint();
      case TAG.url:
        return toUrl(this.#text(), broken);
      case TAG.wtf8:
        return this.#wtf8();
      case TAG.regExp:
        return this.#regExp();
      case TAG.shared:
        return this.#share(keep);
      case TAG.reference:
        return this.#refer();
      case TAG.set:
        this.#enter();
        return this.#leave(this.#set(this.#expect(MAJOR.array), keep));
      case TAG.map:
        this.#enter();
        return this.#leave(this.#map(this.#expect(MAJOR.map), keep));
      case TAG.generic:
        this.#enter();
        return this.#leave(this.#generic(keep));
      default:
        return this.#rare(Number(tag));
    }
  }

  #rare(tag: number): unknown {
    const typed = findTyped(tag);
    if (typed !== undefined) return toTyped(typed.name, this.#bytes(), broken, typed.isBig);
    if (TAG.hints.every((hint) => hint !== tag)) throw broken(`has a tag that is unknown here: ${tag}`);
    this.#enter();
    return this.#leave(this.#item());
  }

  /** The head of something that must be of this type, and its length. */
  #expect(major: number): number | undefined {
    const head = this.#reader.head();
    if (head.major !== major) throw broken("has a tag on what it does not fit");
    return this.#reader.length(head.info);
  }

  #dateText(): Date {
    const text = this.#text();
    const ms = /^\d{4}-\d\d-\d\dT/.test(text) ? Date.parse(text) : Number.NaN;
    if (Number.isNaN(ms)) throw broken("has a date that is none");
    return new Date(ms);
  }

  /** What follows a tag is read by hand: tags on tags would be as deep as there are bytes. */
  #text(): string {
    const { major, info } = this.#reader.head();
    if (major === MAJOR.text) return decodeUtf8(this.#string(major, info));
    if (major === MAJOR.tag && this.#reader.argument(info) === TAG.wtf8) return this.#wtf8();
    throw broken("has something else where text must be");
  }

  #number(): number {
    const { major, info } = this.#reader.head();
    const value = major === MAJOR.tag ? undefined : this.#untagged(major, info, KEPT_BY_NOBODY);
    if (typeof value !== "number") throw broken("has something else where a number must be");
    return value;
  }

  #bytes(): Uint8Array {
    const { major, info } = this.#reader.head();
    if (major !== MAJOR.bytes) throw broken("has something else where bytes must be");
    return this.#string(major, info);
  }

  #bigint(): bigint {
    const bytes = this.#bytes();
    if (bytes.length > MAX_BIGINT_BYTES) throw broken(`has a BigInt of more than ${MAX_BIGINT_BYTES} bytes`);
    return bytes.length === 0 ? 0n : BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
  }

  #wtf8(): string {
    const bytes = this.#bytes();
    try {
      return decodeWtf8(bytes);
    } catch {
      throw broken("has text that is no UTF-8");
    }
  }

  #regExp(): RegExp {
    const length = this.#expect(MAJOR.array);
    if (length !== 1 && length !== 2) throw broken("has a regular expression that is none");
    const source = this.#text();
    return toRegExp(source, length === 2 ? this.#text() : "", broken);
  }

  #share(keep: Keep): unknown {
    if (keep !== KEPT_BY_NOBODY) throw broken("shares something twice");
    const number = this.#shared.push(ABSENT) - 1;
    const value = this.#item((value) => {
      this.#shared[number] = value;
    });
    this.#shared[number] = value;
    return value;
  }

  #refer(): unknown {
    const { major, info } = this.#reader.head();
    const number = major === MAJOR.unsigned ? Number(this.#reader.argument(info)) : -1;
    const value = number in this.#shared ? this.#shared[number] : ABSENT;
    if (value === ABSENT) throw broken("refers to something that is not there yet");
    return value;
  }

  #generic(keep: Keep): unknown {
    const length = this.#expect(MAJOR.array);
    if (length === undefined || length < 2) throw broken("has an object of a class that is none");
    const name = this.#text();
    if (name === GENERIC.sparse) return this.#sparse(length - 2, keep);
    if (length !== 2) throw broken(`has a ${JSON.stringify(name)} that is none`);
    if (isErrorName(name)) return this.#error(name, keep);
    switch (name) {
      case GENERIC.farDate:
        return toDate(this.#number(), broken);
      case GENERIC.buffer:
        return toTyped("Uint8Array", this.#bytes(), broken).buffer;
      case GENERIC.view:
        return new DataView(toTyped("Uint8Array", this.#bytes(), broken).buffer);
      default:
        throw broken(`has an object of a class that is unknown here: ${JSON.stringify(name.slice(0, 64))}`);
    }
  }

  #error(name: Parameters<typeof createError>[0], keep: Keep): Error {
    const error = createError(name);
    keep(error);
    const seen = new Set<string>();
    this.#fields(this.#expect(MAJOR.map), (key, value) => {
      if (seen.has(key)) throw broken("has a key twice");
      seen.add(key);
      setErrorField(error, [key, value], broken);
    });
    return error;
  }

  #sparse(length: number, keep: Keep): unknown[] {
    const holes = this.#item();
    const array: unknown[] = [];
    keep(array);
    this.#repeat(length, () => array.push(this.#item()));
    if (!Array.isArray(holes)) throw broken("has an array whose holes are no list");
    for (const hole of holes) {
      if (!Number.isInteger(hole) || !(hole in array) || array[hole] !== undefined)
        throw broken("has an array with a hole where none can be");
      delete array[hole];
    }
    return array;
  }
}

function setOnce(object: object, key: string, value: unknown): void {
  if (Object.hasOwn(object, key)) throw broken("has a key twice");
  setProperty(object, key, value);
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw broken("has text that is no UTF-8");
  }
}
