import { AppError } from "../error.ts";

/** A length that is told at the end, by a `BREAK`. */
const INDEFINITE = 31;
/** The whole byte. */
export const BREAK = 0xff;

/** What an item begins with: its major type and what stands in the lower bits; `BREAK` is `{7, 31}`. */
export interface Head {
  readonly major: number;
  readonly info: number;
}

/** Reads the parts of CBOR. It believes no length that the bytes left cannot hold. */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #offset = 0;
  readonly #maxItems: number;
  #items = 0;

  constructor(bytes: Uint8Array, maxItems: number) {
    this.#bytes = bytes;
    this.#maxItems = maxItems;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get left(): number {
    return this.#bytes.length - this.#offset;
  }

  /** The byte that comes next, which is not taken. */
  peek(): number {
    const byte = this.#bytes[this.#offset];
    if (byte === undefined) throw broken("is cut off");
    return byte;
  }

  /** So many items more. */
  count(items: number): void {
    this.#items += items;
    if (this.#items > this.#maxItems) throw broken(`has more than ${this.#maxItems} items`);
  }

  head(): Head {
    this.count(1);
    const byte = this.peek();
    this.#offset++;
    return { major: byte >> 5, info: byte & 0x1f };
  }

  /** Whether `BREAK` comes next, which is taken. */
  takesBreak(): boolean {
    if (this.peek() !== BREAK) return false;
    this.#offset++;
    return true;
  }

  /** The argument behind a head; a BigInt where no number has it exactly. */
  argument(info: number): number | bigint {
    if (info < 24) return info;
    switch (info) {
      case 24:
        return this.#view.getUint8(this.#advance(1));
      case 25:
        return this.#view.getUint16(this.#advance(2));
      case 26:
        return this.#view.getUint32(this.#advance(4));
      case 27: {
        const value = this.#view.getBigUint64(this.#advance(8));
        return value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
      }
      default:
        throw broken("has a length that there is not");
    }
  }

  /** How many bytes or items follow; undefined if a `BREAK` will tell. */
  length(info: number): number | undefined {
    if (info === INDEFINITE) return undefined;
    const length = this.argument(info);
    if (length > this.left) throw broken("is cut off");
    return Number(length);
  }

  half(): number {
    return this.#view.getFloat16(this.#advance(2));
  }

  single(): number {
    return this.#view.getFloat32(this.#advance(4));
  }

  double(): number {
    return this.#view.getFloat64(this.#advance(8));
  }

  /** So many bytes, not copied. */
  take(length: number): Uint8Array {
    const start = this.#advance(length);
    return this.#bytes.subarray(start, start + length);
  }

  #advance(length: number): number {
    if (length > this.left) throw broken("is cut off");
    const start = this.#offset;
    this.#offset += length;
    return start;
  }
}

/** What cannot be read, at the end of a sentence. */
export function broken(what: string): AppError {
  return new AppError("protocol_error", `Cannot read a value: it ${what}`);
}
