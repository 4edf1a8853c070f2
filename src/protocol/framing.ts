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

/** Cuts what arrives into records; it never holds more than one and what came with it. */
export class Cutter<Kind extends string> {
  readonly #framing: Framing<Kind>;
  #pending: Uint8Array = new Uint8Array(0);

  constructor(framing: Framing<Kind>) {
    this.#framing = framing;
  }

  /** Whether the beginning of a record came, and its end did not. */
  get isWithin(): boolean {
    return this.#pending.length > 0;
  }

  /** The records that are whole now, which may be views of the chunk. Throws what `refuse` makes. */
  *push(chunk: Uint8Array): Generator<Framed<Kind>, void, void> {
    const { kinds, headerBytes, maxBytes, refuse } = this.#framing;
    this.#pending = this.isWithin ? Buffer.concat([this.#pending, chunk]) : chunk;
    while (this.#pending.length >= headerBytes) {
      const length = new DataView(this.#pending.buffer, this.#pending.byteOffset).getUint32(0);
      const kind = kinds[this.#pending[4] ?? kinds.length];
      if (kind === undefined || length > maxBytes) throw refuse();
      const end = headerBytes + length;
      if (this.#pending.length < end) return;
      const [header, payload] = [
        this.#pending.subarray(0, headerBytes),
        this.#pending.subarray(headerBytes, end),
      ];
      this.#pending = this.#pending.subarray(end);
      yield { kind, header, payload };
    }
  }

  /** The same of a chunk whose bytes may be others afterwards. */
  copy(chunk: Uint8Array): Generator<Framed<Kind>, void, void> {
    return this.push(this.isWithin ? chunk : new Uint8Array(chunk));
  }
}
