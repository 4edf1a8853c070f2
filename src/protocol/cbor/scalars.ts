import { MAX_BIGINT_BYTES, REGEXP_ITEMS } from "../limits.ts";
import { toRegExp } from "./build.ts";
import { broken, type Reader } from "./reader.ts";
import { TAG } from "./tags.ts";
import { MAJOR, SIMPLE } from "./writer.ts";
import { decodeWtf8 } from "./wtf8.ts";

/**
 * Reads what has nothing within it. What a tag stands on is demanded by its type here: tags on tags would be as deep as there are
 * bytes. Each throws `protocol_error` for something else.
 */
export class Scalars {
  readonly #reader: Reader;

  constructor(reader: Reader) {
    this.#reader = reader;
  }

  /** The number, bytes, text or simple value behind a head; undefined also for a head of anything else. */
  read(major: number, info: number): unknown {
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
      case MAJOR.simple:
        return this.#simple(info);
      default:
        return undefined;
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

  /** The head of something that must be of this type, and its length. */
  expect(major: number): number | undefined {
    const head = this.#reader.head();
    if (head.major !== major) throw broken("has a tag on what it does not fit");
    return this.#reader.length(head.info);
  }

  /** A date as RFC 3339 writes it. */
  dateText(): Date {
    const text = this.text();
    const ms = /^\d{4}-\d\d-\d\dT/.test(text) ? Date.parse(text) : Number.NaN;
    if (Number.isNaN(ms)) throw broken("has a date that is none");
    return new Date(ms);
  }

  text(): string {
    const { major, info } = this.#reader.head();
    if (major === MAJOR.text) return decodeUtf8(this.#string(major, info));
    if (major === MAJOR.tag && this.#reader.argument(info) === TAG.wtf8) return this.wtf8();
    throw broken("has something else where text must be");
  }

  number(): number {
    const { major, info } = this.#reader.head();
    const value = this.read(major, info);
    if (typeof value !== "number") throw broken("has something else where a number must be");
    return value;
  }

  /** Bytes, not copied if they are in one piece. */
  bytes(): Uint8Array {
    const { major, info } = this.#reader.head();
    if (major !== MAJOR.bytes) throw broken("has something else where bytes must be");
    return this.#string(major, info);
  }

  /** A whole number of any size, from its bytes. */
  bigint(): bigint {
    const bytes = this.bytes();
    if (bytes.length > MAX_BIGINT_BYTES) throw broken(`has a BigInt of more than ${MAX_BIGINT_BYTES} bytes`);
    return bytes.length === 0 ? 0n : BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
  }

  /** Text that is no UTF-8, from its bytes. */
  wtf8(): string {
    const bytes = this.bytes();
    try {
      return decodeWtf8(bytes);
    } catch {
      throw broken("has text that is no UTF-8");
    }
  }

  /** A regular expression, from its source and flags. */
  regExp(): RegExp {
    this.#reader.count(REGEXP_ITEMS);
    const length = this.expect(MAJOR.array);
    if (length !== 1 && length !== 2) throw broken("has a regular expression that is none");
    const source = this.text();
    return toRegExp(source, length === 2 ? this.text() : "", broken);
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw broken("has text that is no UTF-8");
  }
}
