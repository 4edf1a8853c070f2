import { AppError } from "../protocol/error.ts";
import type { WriterId } from "../protocol/id.ts";
import {
  INPUT_WINDOW_BYTES,
  JOB_INPUT_BYTES,
  MAX_WRITERS,
  MIN_INPUT_WINDOW_BYTES,
} from "../protocol/limits.ts";
import type { InputPipe } from "../process/pipe.ts";

interface Writer {
  /** It has said that it writes no more, where that is typed. */
  hasEnded: boolean;
  /** Bytes accepted. */
  held: number;
  /** Bytes that the program's pipe has taken. */
  drained: number;
  /** Bytes that it may have sent; never falls. */
  limit: number;
}

/** What the program finds before anything that writers send. */
export interface Preamble {
  readonly bytes: Uint8Array;
  /** Whether nobody may write anything after it. */
  readonly isAll: boolean;
}

export interface JobInputOptions {
  /** Input up to `held` is accepted from this writer, which may send up to `limit`. */
  readonly onTaken: (writer: WriterId, held: number, limit: number) => void;
  /** Nothing more is taken from this writer. */
  readonly onClosed: (writer: WriterId) => void;
}

/** What waits to be written; what was typed for the end of input is nobody's. */
interface Entry {
  readonly from: { readonly id: WriterId; readonly writer: Writer } | undefined;
  readonly bytes: Uint8Array;
}

/**
 * A program's stdin, written by any number of writers, each addressing its own bytes by offset, so that what is sent
 * again is dropped. The end of input of one closes it for all; on a terminal it is typed, and the others go on.
 */
export class JobInput {
  readonly #options: JobInputOptions;
  readonly #writers = new Map<WriterId, Writer>();
  readonly #queue: Entry[] = [];
  /** Bytes in the queue and in the write under way. */
  #queued = 0;
  #pipe: InputPipe | undefined;
  #ending = false;
  #draining = false;
  /** Whether what was written last does not end a line. */
  #isMidLine = false;

  constructor(pipe: InputPipe | undefined, options: JobInputOptions, preamble?: Preamble) {
    this.#pipe = pipe;
    this.#options = options;
    if (pipe === undefined || preamble === undefined) return;
    this.#enqueue({ from: undefined, bytes: preamble.bytes });
    this.#ending = preamble.isAll;
  }

  /** Tells the writer where it stands. */
  open(id: WriterId): void {
    if (this.#pipe === undefined || this.#ending) return this.#options.onClosed(id);
    const writer = this.#writer(id);
    if (writer.hasEnded) this.#options.onClosed(id);
    else this.#grant(id, writer);
  }

  /**
   * Takes bytes at `offset` of the writer's stream. Throws `protocol_error` for a gap before them, or beyond its limit. What
   * is to come as a whole may go beyond; without room it is left, and the writer told when there is some.
   */
  write(id: WriterId, offset: number, bytes: Uint8Array, isWhole = false): void {
    if (this.#pipe === undefined || this.#ending) return this.#options.onClosed(id);
    const writer = this.#writer(id);
    if (offset > writer.held) throw missing(offset, writer.held);
    if (offset + bytes.length > writer.limit) {
      if (!isWhole) throw exceeding(offset + bytes.length, writer.limit);
      if (this.#queued >= JOB_INPUT_BYTES) {
        writer.limit = writer.held;
        return;
      }
    }
    const fresh = bytes.subarray(writer.held - offset);
    if (fresh.length === 0) return;
    writer.held += fresh.length;
    this.#enqueue({ from: { id, writer }, bytes: new Uint8Array(fresh) });
    this.#grant(id, writer);
  }

  /** Ends the input once everything accepted has been written. */
  end(id: WriterId, offset: number): void {
    if (this.#pipe === undefined || this.#ending) return;
    const writer = this.#writer(id);
    if (offset > writer.held) throw missing(offset, writer.held);
    if (this.#pipe.endOfFile !== undefined) return this.#typeEnd(id, writer, this.#pipe.endOfFile());
    this.#ending = true;
    this.#startDraining();
  }

  /** Closes the input at once: the program has gone, or closed its end. */
  close(): void {
    this.#queue.length = 0;
    this.#ending = true;
    if (this.#pipe === undefined) return;
    this.#pipe.end();
    this.#pipe = undefined;
    for (const id of this.#writers.keys()) this.#options.onClosed(id);
  }

  /** In the middle of a line the first only sends that line on. */
  #typeEnd(id: WriterId, writer: Writer, endOfFile: Uint8Array): void {
    if (writer.hasEnded) return;
    writer.hasEnded = true;
    if (this.#isMidLine) this.#enqueue({ from: undefined, bytes: endOfFile });
    this.#enqueue({ from: undefined, bytes: endOfFile });
    this.#options.onClosed(id);
  }

  #enqueue(entry: Entry): void {
    this.#queued += entry.bytes.length;
    this.#queue.push(entry);
    this.#isMidLine = entry.from !== undefined && !LINE_ENDS.includes(entry.bytes.at(-1));
    this.#startDraining();
  }

  #writer(id: WriterId): Writer {
    const known = this.#writers.get(id);
    if (known !== undefined) return known;
    const [oldest] = this.#writers.keys();
    if (oldest !== undefined && this.#writers.size >= MAX_WRITERS) this.#writers.delete(oldest);
    const writer = { hasEnded: false, held: 0, drained: 0, limit: 0 };
    this.#writers.set(id, writer);
    this.#raise(writer);
    return writer;
  }

  #grant(id: WriterId, writer: Writer): void {
    this.#raise(writer);
    this.#options.onTaken(id, writer.held, writer.limit);
  }

  /** Writers share what a job may hold; while that is used up nobody may send more. */
  #raise(writer: Writer): void {
    if (this.#queued >= JOB_INPUT_BYTES) return;
    const share = Math.floor(JOB_INPUT_BYTES / this.#writers.size);
    const window = Math.max(MIN_INPUT_WINDOW_BYTES, Math.min(INPUT_WINDOW_BYTES, share));
    writer.limit = Math.max(writer.limit, writer.drained + window);
  }

  #grantStarved(): void {
    for (const [id, writer] of this.#writers) if (writer.limit <= writer.held) this.#grant(id, writer);
  }

  /** Runs by itself until the queue is empty; a failed write is the program's closing of its end. */
  #startDraining(): void {
    if (this.#draining) return;
    this.#draining = true;
    this.#drain().then(
      () => (this.#draining = false),
      () => this.close(),
    );
  }

  async #drain(): Promise<void> {
    for (let entry = this.#queue.shift(); entry !== undefined; entry = this.#queue.shift()) {
      const { from, bytes } = entry;
      await this.#pipe?.write(bytes);
      const wasFull = this.#queued >= JOB_INPUT_BYTES;
      this.#queued -= bytes.length;
      if (from !== undefined) {
        from.writer.drained += bytes.length;
        this.#grant(from.id, from.writer);
      }
      if (wasFull && this.#queued < JOB_INPUT_BYTES) this.#grantStarved();
    }
    if (this.#ending) this.close();
  }
}

/** Enter, as a terminal sends it, and the end of a line of a file. */
const LINE_ENDS: readonly (number | undefined)[] = [0x0d, 0x0a];

function exceeding(end: number, limit: number): AppError {
  return new AppError("protocol_error", `Cannot take input up to ${end}: its writer may send up to ${limit}`);
}

function missing(offset: number, held: number): AppError {
  return new AppError("protocol_error", `Cannot take input at ${offset}: only ${held} bytes came before it`);
}
