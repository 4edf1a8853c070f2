import { AppError } from "../protocol/error.ts";
import { Cutter, encodeHeader, type Framing, FRAMING_BYTES } from "../protocol/framing.ts";
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

/** More than any call: its input and the environment of its workspace, every byte of which may be written as an escape. */
const MAX_BYTES = 16 * MAX_CONTROL_FRAME_BYTES;
const NO_BYTES = new Uint8Array(0);

const FRAMING: Framing<RecordKind> = {
  kinds: KINDS,
  headerBytes: FRAMING_BYTES,
  maxBytes: MAX_BYTES,
  refuse: () => broken("a record is none"),
};

/** A record as it is sent, big-endian: length of the payload u32 · kind u8 · payload. */
export function encodeRecord(kind: RecordKind, payload: Uint8Array = NO_BYTES): Uint8Array {
  const record = encodeHeader(FRAMING, kind, payload.length);
  record.set(payload, FRAMING_BYTES);
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
  readonly #cutter: Cutter<RecordKind>;
  /** Those of what came last, each cut when it is asked for: together, small ones would take much more than what came. */
  #records: Iterator<RunnerRecord> = [].values();
  /** The next, if it was looked at. */
  #seen: RunnerRecord | undefined;
  /** Why nothing that comes is understood any more. */
  #failure: AppError | undefined;
  #reading: Promise<void> | undefined;
  #hasEnded = false;

  /** `read`: the next bytes, or undefined when there are no more. `maxBytes`: what one record holds at most. */
  constructor(read: () => Promise<Uint8Array | undefined>, maxBytes: number = MAX_BYTES) {
    this.#read = read;
    const refuse = () => (this.#failure = FRAMING.refuse());
    this.#cutter = new Cutter({ ...FRAMING, maxBytes, refuse });
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

  #cut(): RunnerRecord | undefined {
    if (this.#failure !== undefined) throw this.#failure;
    const { done, value } = this.#records.next();
    return done ? undefined : value;
  }

  /** One read serves all who wait. */
  async #fetch(): Promise<void> {
    const read = async () => {
      const chunk = await this.#read();
      if (chunk === undefined) this.#hasEnded = true;
      else this.#records = this.#cutter.push(chunk);
    };
    this.#reading ??= read().finally(() => (this.#reading = undefined));
    await this.#reading;
  }
}

function broken(why: string): AppError {
  return new AppError("protocol_error", `Cannot read what a runner says: ${why}`);
}
