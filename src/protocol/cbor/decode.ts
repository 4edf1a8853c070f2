import { MAX_VALUE_BYTES, MAX_VALUE_DEPTH, MAX_VALUE_ITEMS } from "../limits.ts";
import { toDate, toUrl } from "./build.ts";
import { createError, isErrorName, setErrorField } from "./exception.ts";
import { setProperty } from "./property.ts";
import { BREAK, broken, Reader } from "./reader.ts";
import { Scalars } from "./scalars.ts";
import { GENERIC, SELF_DESCRIBED, TAG } from "./tags.ts";
import { findTyped, toTyped } from "./typed.ts";
import { MAJOR } from "./writer.ts";

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
  readonly #scalars: Scalars;
  /** What is shared, by its number. */
  readonly #shared: unknown[] = [];
  #depth = 0;

  constructor(reader: Reader) {
    this.#reader = reader;
    this.#scalars = new Scalars(reader);
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
      case MAJOR.array:
        this.#enter();
        return this.#leave(this.#array(this.#reader.length(info), keep));
      case MAJOR.map:
        this.#enter();
        return this.#leave(this.#objectOrMap(this.#reader.length(info), keep));
      default:
        return this.#scalars.read(major, info);
    }
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
    return length === 0 || this.#isOfObject(this.#reader.peek())
      ? this.#object(length, keep)
      : this.#map(length, keep);
  }

  /** Whether an object can go on with this byte: a key, its end, or the tag of text that is no UTF-8, which takes two bytes. */
  #isOfObject(byte: number): boolean {
    return byte >> 5 === MAJOR.text || byte === BREAK || byte === 0xd9;
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
        return this.#scalars.dateText();
      case TAG.date:
        return toDate(Math.round(this.#scalars.number() * 1_000), broken);
      case TAG.bigUnsigned:
        return this.#scalars.bigint();
      case TAG.bigNegative:
        return -1n - this.#scalars.bigint();
      case TAG.url:
        return toUrl(this.#scalars.text(), broken);
      case TAG.wtf8:
        return this.#scalars.wtf8();
      case TAG.regExp:
        return this.#scalars.regExp();
      case TAG.shared:
        return this.#share(keep);
      case TAG.reference:
        return this.#refer();
      case TAG.set:
        this.#enter();
        return this.#leave(this.#set(this.#scalars.expect(MAJOR.array), keep));
      case TAG.map:
        this.#enter();
        return this.#leave(this.#map(this.#scalars.expect(MAJOR.map), keep));
      case TAG.generic:
        this.#enter();
        return this.#leave(this.#generic(keep));
      default:
        return this.#rare(Number(tag));
    }
  }

  #rare(tag: number): unknown {
    const typed = findTyped(tag);
    if (typed !== undefined) return toTyped(typed.name, this.#scalars.bytes(), broken, typed.isBig);
    if (TAG.hints.every((hint) => hint !== tag)) throw broken(`has a tag that is unknown here: ${tag}`);
    this.#enter();
    return this.#leave(this.#item());
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
    const length = this.#scalars.expect(MAJOR.array);
    if (length === undefined || length < 2) throw broken("has an object of a class that is none");
    const name = this.#scalars.text();
    if (name === GENERIC.sparse) return this.#sparse(length - 2, keep);
    if (length !== 2) throw broken(`has a ${JSON.stringify(name)} that is none`);
    if (isErrorName(name)) return this.#error(name, keep);
    switch (name) {
      case GENERIC.farDate:
        return toDate(this.#scalars.number(), broken);
      case GENERIC.buffer:
        return toTyped("Uint8Array", this.#scalars.bytes(), broken).buffer;
      case GENERIC.view:
        return new DataView(toTyped("Uint8Array", this.#scalars.bytes(), broken).buffer);
      default:
        throw broken(`has an object of a class that is unknown here: ${JSON.stringify(name.slice(0, 64))}`);
    }
  }

  #error(name: Parameters<typeof createError>[0], keep: Keep): Error {
    const error = createError(name);
    keep(error);
    const seen = new Set<string>();
    this.#fields(this.#scalars.expect(MAJOR.map), (key, value) => {
      if (seen.has(key)) throw broken("has a key twice");
      seen.add(key);
      setErrorField(error, [key, value], broken);
    });
    return error;
  }

  #sparse(length: number, keep: Keep): unknown[] {
    const holes = this.#array(this.#scalars.expect(MAJOR.array), KEPT_BY_NOBODY);
    const array: unknown[] = [];
    keep(array);
    this.#repeat(length, () => array.push(this.#item()));
    for (const hole of holes) {
      if (typeof hole !== "number" || !(hole in array) || array[hole] !== undefined)
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
