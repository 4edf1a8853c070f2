import type { AppError } from "./error.ts";

/**
 * How records stand one after the other on a pipe, big-endian: length of the payload u32 · kind u8 · what else the header has ·
 * payload.
 */
export interface Framing<Kind extends string> {
  /** By their numbers. */
  readonly kinds: readonly Kind[];
  readonly headerBytes: number;
  /** Bytes of a payload at most. */
  readonly maxBytes: number;
  /** What is thrown of a record that is none. */
  readonly refuse: () => AppError;
}

/** What the header has before what else it has. */
export const FRAMING_BYTES = 5;

export interface Framed<Kind extends string> {
  readonly kind: Kind;
  readonly header: Uint8Array;
  readonly payload: Uint8Array;
}

/** The header of a record with so much payload, but for what else it has; behind it there is room for that payload, or for less. */
export function encodeHeader<Kind extends string>(
  { kinds, headerBytes }: Framing<Kind>,
  kind: Kind,
  length: number,
  room = length,
): Uint8Array<ArrayBuffer> {
  const record = new Uint8Array(headerBytes + room);
  new DataView(record.buffer).setUint32(0, length);
  record[4] = kinds.indexOf(kind);
  return record;
}

/** Cuts what arrives into records; it never holds more than one. */
export class Cutter<Kind extends string> {
  readonly #framing: Framing<Kind>;
  /** A record whose end has not come, with room for all of it; or for its header, where not even that has. */
  #begun: Uint8Array | undefined;
  /** Bytes of it that have come. */
  #filled = 0;

  constructor(framing: Framing<Kind>) {
    this.#framing = framing;
  }

  /** Whether the beginning of a record came, and its end did not. */
  get isWithin(): boolean {
    return this.#begun !== undefined;
  }

  /**
   * The records that are whole now, which may be views of the chunk; all are to be taken before the next chunk. Throws what `refuse`
   * makes.
   */
  *push(chunk: Uint8Array): Generator<Framed<Kind>, void, void> {
    for (let rest = chunk; rest.length > 0;) {
      const size = this.#begun === undefined ? this.#measure(rest) : Number.POSITIVE_INFINITY;
      if (size <= rest.length) {
        yield this.#toFramed(rest.subarray(0, size));
        rest = rest.subarray(size);
        continue;
      }
      const begun = this.#begun ?? this.#begin(size);
      const more = rest.subarray(0, begun.length - this.#filled);
      rest = rest.subarray(more.length);
      const whole = this.#fill(begun, more);
      if (whole !== undefined) yield this.#toFramed(whole);
    }
  }

  /** The same of a chunk whose bytes may be others afterwards. */
  copy(chunk: Uint8Array): Generator<Framed<Kind>, void, void> {
    return this.push(new Uint8Array(chunk));
  }

  #begin(size: number): Uint8Array {
    this.#filled = 0;
    return (this.#begun = new Uint8Array(size));
  }

  /** Adds to a record that has begun, and answers it once it is whole. Every byte is copied once, in however many pieces it comes. */
  #fill(begun: Uint8Array, more: Uint8Array): Uint8Array | undefined {
    begun.set(more, this.#filled);
    this.#filled += more.length;
    if (this.#filled < begun.length) return undefined;
    const size = this.#measure(begun);
    this.#begun = undefined;
    if (size === begun.length) return begun;
    this.#begun = new Uint8Array(size); // it was the header
    this.#begun.set(begun);
    return undefined;
  }

  /** Bytes of a record by its header; of that, where not all of it is there. */
  #measure(bytes: Uint8Array): number {
    const { kinds, headerBytes, maxBytes, refuse } = this.#framing;
    if (bytes.length < headerBytes) return headerBytes;
    const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
    if (kinds[bytes[4] ?? kinds.length] === undefined || length > maxBytes) throw refuse();
    return headerBytes + length;
  }

  #toFramed(record: Uint8Array): Framed<Kind> {
    const { kinds, headerBytes, refuse } = this.#framing;
    const kind = kinds[record[4] ?? kinds.length];
    if (kind === undefined) throw refuse();
    return { kind, header: record.subarray(0, headerBytes), payload: record.subarray(headerBytes) };
  }
}
