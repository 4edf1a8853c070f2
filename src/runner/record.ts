import { AppError } from "../protocol/error.ts";
import { parseForeignJson } from "../protocol/json.ts";
import { MAX_CONTROL_FRAME_BYTES, MAX_PAYLOAD_BYTES } from "../protocol/limits.ts";

/**
 * What a front and a runner say to each other. Of these `input`, `bytes` and `part` are bytes, `end` is nothing, what a custom
 * command says (`value`, `outcome`) is what `encodeValue` writes, and the others are JSON.
 */
const KINDS = [
  /** To a runner: do this; bytes for it; no more of them. */
  "call",
  "input",
  "end",
  /** From it, on the way: something said, or bytes; and in the end either of these. */
  "event",
  "bytes",
  "result",
  "failure",
  /** Either way: the beginning of what the next record is about, or is: a module, an input, or a value of more than 64 KiB. */
  "part",
  /** To a runner: the module whose commands it does; a call of one of them. */
  "module",
  "invoke",
  /** From it: a value said on the way; and in the end the result, which is empty where the parts are all of it. */
  "value",
  "outcome",
] as const;
export type RecordKind = (typeof KINDS)[number];

export interface RunnerRecord {
  readonly kind: RecordKind;
  readonly payload: Uint8Array;
}

const HEADER_BYTES = 5;
/** More than any call: its input and the environment of its workspace, every byte of which may be written as an escape. */
const MAX_BYTES = 16 * MAX_CONTROL_FRAME_BYTES;
const NO_BYTES = new Uint8Array(0);

/** A record as it is sent, big-endian: length of the payload u32 · kind u8 · payload. */
export function encodeRecord(kind: RecordKind, payload: Uint8Array = NO_BYTES): Uint8Array {
  const record = new Uint8Array(HEADER_BYTES + payload.length);
  new DataView(record.buffer).setUint32(0, payload.length);
  record[4] = KINDS.indexOf(kind);
  record.set(payload, HEADER_BYTES);
  return record;
}

/** Bytes of any number as records of this kind, at least one. */
export function* splitRecords(kind: RecordKind, payload: Uint8Array): Generator<Uint8Array, void, void> {
  let start = 0;
  do {
    yield encodeRecord(kind, payload.subarray(start, start + MAX_PAYLOAD_BYTES));
    start += MAX_PAYLOAD_BYTES;
  } while (start < payload.length);
}

export function encodeJson(kind: RecordKind, value: unknown): Uint8Array {
  return encodeRecord(kind, new TextEncoder().encode(JSON.stringify(value)));
}

/** What a record holds. Throws `protocol_error` where that is no JSON, or none that a caller could have sent or be sent. */
export function parseJson({ payload }: RunnerRecord): unknown {
  return parseForeignJson(new TextDecoder().decode(payload), () => broken("what should be JSON is none"));
}

/** Cuts what arrives into records, whoever asks for the next. */
export class RecordReader {
  readonly #read: () => Promise<Uint8Array | undefined>;
  readonly #maxBytes: number;
  /** What came last, as far as it is not cut. */
  #rest: Uint8Array = NO_BYTES;
  /** A record whose end has not come, with room for all of it; or for its header, where not even that has. */
  #begun: Uint8Array | undefined;
  /** Bytes of it that have come. */
  #filled = 0;
  /** The next, if it was looked at. */
  #seen: RunnerRecord | undefined;
  #reading: Promise<void> | undefined;
  #hasEnded = false;

  /** `read`: the next bytes, or undefined when there are no more. `maxBytes`: of the longest payload that there can be. */
  constructor(read: () => Promise<Uint8Array | undefined>, maxBytes: number = MAX_BYTES) {
    this.#read = read;
    this.#maxBytes = maxBytes;
  }

  /** The next record, or undefined at the end. Throws `protocol_error`. */
  async next(): Promise<RunnerRecord | undefined> {
    for (;;) {
      const record = this.take();
      if (record !== undefined || this.#hasEnded) return record;
      await this.#fetch();
    }
  }

  /** The next record if it is here already. Throws `protocol_error`. */
  take(): RunnerRecord | undefined {
    const record = this.#seen ?? this.#cut();
    this.#seen = undefined;
    return record;
  }

  /** The next record, which stays the next; or undefined at the end. Throws `protocol_error`. */
  async peek(): Promise<RunnerRecord | undefined> {
    for (;;) {
      this.#seen ??= this.#cut();
      if (this.#seen !== undefined || this.#hasEnded) return this.#seen;
      await this.#fetch();
    }
  }

  /** One read serves all who wait. */
  async #fetch(): Promise<void> {
    const read = async () => {
      const chunk = await this.#read();
      if (chunk === undefined) this.#hasEnded = true;
      else this.#rest = chunk;
    };
    this.#reading ??= read().finally(() => (this.#reading = undefined));
    await this.#reading;
  }

  /** What has come is all cut when there is no record any more: of one that has only begun, every byte is copied once. */
  #cut(): RunnerRecord | undefined {
    for (;;) {
      if (this.#begun === undefined) {
        if (this.#rest.length === 0) return undefined;
        const size = this.#rest.length < HEADER_BYTES ? HEADER_BYTES : this.#measure(this.#rest);
        if (size <= this.#rest.length) return toRecord(this.#splitOff(size));
        [this.#begun, this.#filled] = [new Uint8Array(size), 0];
      }
      const begun = this.#begun;
      const more = this.#splitOff(begun.length - this.#filled);
      begun.set(more, this.#filled);
      this.#filled += more.length;
      if (this.#filled < begun.length) return undefined;
      const size = this.#measure(begun);
      this.#begun = undefined;
      if (size === begun.length) return toRecord(begun);
      this.#begun = new Uint8Array(size);
      this.#begun.set(begun);
    }
  }

  #splitOff(bytes: number): Uint8Array {
    const before = this.#rest.subarray(0, bytes);
    this.#rest = this.#rest.subarray(bytes);
    return before;
  }

  /** Bytes of a whole record, by its header. */
  #measure(header: Uint8Array): number {
    const length = new DataView(header.buffer, header.byteOffset).getUint32(0);
    if (length > this.#maxBytes) throw broken("a record is longer than any");
    toKind(header);
    return HEADER_BYTES + length;
  }
}

function toRecord(record: Uint8Array): RunnerRecord {
  return { kind: toKind(record), payload: record.subarray(HEADER_BYTES) };
}

function toKind(header: Uint8Array): RecordKind {
  const kind = KINDS[header[4] ?? KINDS.length];
  if (kind === undefined) throw broken("a record is none");
  return kind;
}

function broken(why: string): AppError {
  return new AppError("protocol_error", `Cannot read what a runner says: ${why}`);
}
