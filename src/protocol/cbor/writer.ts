import { MAX_VALUE_BYTES } from "../limits.ts";
import { refused } from "./visit.ts";

/** RFC 8949's major types. */
export const MAJOR = {
  unsigned: 0,
  negative: 1,
  bytes: 2,
  text: 3,
  array: 4,
  map: 5,
  tag: 6,
  simple: 7,
} as const;
export const SIMPLE = {
  false: 20,
  true: 21,
  null: 22,
  undefined: 23,
  half: 25,
  single: 26,
  double: 27,
} as const;

const FIRST_BYTES = 1_024;
/** Bytes from which on a piece is not copied twice. */
const LARGE = 4_096;
const MAX_HEAD = 9;

/** Writes the parts of CBOR, each of which begins with a head, and so many at most. Large bytes are taken as they are until the end, when all is put together once. */
export class Writer {
  readonly #chunks: Uint8Array[] = [];
  #buffer = new Uint8Array(FIRST_BYTES);
  #view = new DataView(this.#buffer.buffer);
  #used = 0;
  /** Bytes in `#chunks`. */
  #before = 0;
  readonly #maxItems: number;
  #items = 0;

  constructor(maxItems: number) {
    this.#maxItems = maxItems;
  }

  /** So many items more. */
  count(items: number): void {
    this.#items += items;
    if (this.#items > this.#maxItems) throw refused(`has more than ${this.#maxItems} items`);
  }

  /** A major type with its argument: a number, a length, a count or a tag. */
  head(major: number, argument: number): void {
    this.#begin();
    const first = major << 5;
    if (argument < 24) return this.#put(first | argument);
    if (argument < 0x100) {
      this.#put(first | 24);
      return this.#put(argument);
    }
    const bytes = argument < 0x1_0000 ? 2 : argument < 0x1_0000_0000 ? 4 : 8;
    this.#put(first | (bytes === 2 ? 25 : bytes === 4 ? 26 : 27));
    if (bytes === 2) this.#view.setUint16(this.#used, argument);
    else if (bytes === 4) this.#view.setUint32(this.#used, argument);
    else this.#view.setBigUint64(this.#used, BigInt(argument));
    this.#used += bytes;
  }

  /** In as few bytes as say it exactly. */
  float(value: number): void {
    this.#begin();
    const first = MAJOR.simple << 5;
    if (Number.isNaN(value) || Math.f16round(value) === value) {
      this.#put(first | SIMPLE.half);
      this.#view.setFloat16(this.#used, value);
      this.#used += 2;
    } else if (Math.fround(value) === value) {
      this.#put(first | SIMPLE.single);
      this.#view.setFloat32(this.#used, value);
      this.#used += 4;
    } else {
      this.#put(first | SIMPLE.double);
      this.#view.setFloat64(this.#used, value);
      this.#used += 8;
    }
  }

  text(value: string): void {
    const length = Buffer.byteLength(value);
    this.head(MAJOR.text, length);
    this.#reserve(length);
    new TextEncoder().encodeInto(value, this.#buffer.subarray(this.#used));
    this.#used += length;
  }

  bytes(value: Uint8Array): void {
    this.head(MAJOR.bytes, value.length);
    if (value.length >= LARGE) return this.#take(value);
    this.#reserve(value.length);
    this.#buffer.set(value, this.#used);
    this.#used += value.length;
  }

  /** All that was written. */
  finish(): Uint8Array {
    this.#flush();
    const all = new Uint8Array(this.#before);
    let start = 0;
    for (const chunk of this.#chunks) {
      all.set(chunk, start);
      start += chunk.length;
    }
    return all;
  }

  #begin(): void {
    this.count(1);
    this.#reserve(MAX_HEAD);
  }

  #put(byte: number): void {
    this.#buffer[this.#used++] = byte;
  }

  #take(chunk: Uint8Array): void {
    this.#flush();
    this.#chunks.push(chunk);
    this.#count(chunk.length);
  }

  #flush(): void {
    const chunk = this.#buffer.subarray(0, this.#used);
    this.#buffer = this.#buffer.subarray(this.#used);
    this.#view = new DataView(this.#buffer.buffer, this.#buffer.byteOffset);
    this.#used = 0;
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#count(chunk.length);
  }

  #reserve(bytes: number): void {
    if (this.#buffer.length - this.#used >= bytes) return;
    if (bytes > MAX_VALUE_BYTES) throw tooLarge();
    const size = Math.max(bytes, Math.min(this.#before + this.#used, 1 << 20), FIRST_BYTES);
    this.#flush();
    this.#buffer = new Uint8Array(size);
    this.#view = new DataView(this.#buffer.buffer);
  }

  #count(bytes: number): void {
    this.#before += bytes;
    if (this.#before > MAX_VALUE_BYTES) throw tooLarge();
  }
}

function tooLarge() {
  return refused(`takes more than ${MAX_VALUE_BYTES} bytes`);
}
