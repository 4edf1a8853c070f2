import { turn } from "../lib/abort.ts";
import type { Bell } from "../lib/bell.ts";
import { isDiskFull } from "../lib/disk.ts";
import { describeError, type Log } from "../lib/log.ts";
import type { LedgerWriter } from "../ledger/writer.ts";
import type { OutputPipe } from "../process/pipe.ts";
import { AppError } from "../protocol/error.ts";
import type { JobId } from "../protocol/id.ts";
import { MAX_PAYLOAD_BYTES } from "../protocol/limits.ts";
import type { SaidValue } from "../protocol/said.ts";
import { retryDelay } from "./full-disk.ts";
import type { Holds } from "./holds.ts";
import type { Limits } from "./limits.ts";
import { Speech } from "./speech.ts";

type Stream = "stdout" | "stderr";

/** Bytes after which readers are told of more, though the program's next output is there already. */
const PROGRESS_BYTES = 256 * 1024;

export interface IntakeOptions {
  readonly job: JobId;
  readonly ledger: LedgerWriter;
  readonly holds: Pick<Holds, "released" | "isEmpty">;
  readonly limits: Pick<Limits, "admit" | "admitWhole" | "resume">;
  /** Bytes that the job may be ahead of its slowest holder. */
  readonly runAhead: number;
  /** Rings when the job may have become free to read on. */
  readonly bell: Bell;
  readonly log: Log;
  /** More of the ledger may be read. */
  readonly onProgress: () => void;
  readonly signal: AbortSignal;
}

/**
 * What a program says, on its way into the ledger: as fast as readers, limits and the disk allow. In pieces of at most 64 KiB
 * with a turn of the event loop after each, so that no job starves another.
 */
export class Intake {
  readonly #options: IntakeOptions;
  readonly #speech: Speech;
  /** Streams of which nothing is read because readers are too slow, or the disk is full. */
  #heldBack = 0;
  /** Between the exit and its record nothing holds output back. */
  #draining = false;
  #hasExited = false;
  /** The position up to which readers were told of. */
  #told = 0;
  /** Whether the last output could not be written, which is logged once. */
  #failing = false;

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.#speech = new Speech((error) => this.#noteSpeech("end of a runner not understood", error));
  }

  /** What a runner says, as far as it was understood. */
  get speech(): Pick<Speech, "isBroken" | "outcome"> {
    return this.#speech;
  }

  /** Whether the job waits for readers, or for room on a disk. */
  get isHeldBack(): boolean {
    return this.#heldBack > 0;
  }

  /** Takes all that comes from a pipe, to its end. */
  async pump(stream: Stream, pipe: OutputPipe): Promise<void> {
    for (;;) {
      await this.#mayRunOn();
      const chunk = await pipe.read();
      if (chunk === undefined) return this.tell();
      for (let start = 0; start < chunk.length; start += MAX_PAYLOAD_BYTES) {
        await this.#mayRunOn();
        await this.#admit(stream, chunk.subarray(start, start + MAX_PAYLOAD_BYTES));
        await this.#giveWay(pipe);
      }
    }
  }

  /** The same of what a runner says. One that says what is no record is not listened to any more: its next write fails. */
  async pumpSaid(pipe: OutputPipe): Promise<void> {
    try {
      await this.#hear(pipe);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      this.#noteSpeech("runner not understood", error);
      await pipe.close();
    }
  }

  /** Until disposed, nothing holds output back: the program has ended, and what it wrote is still to come. */
  drain(): Disposable {
    this.#draining = true;
    this.#options.bell.ring();
    return { [Symbol.dispose]: () => void (this.#draining = false) };
  }

  /** The exit is recorded: what is not taken from now on leaves a gap. */
  finish(): void {
    this.#hasExited = true;
  }

  tell(): void {
    this.#told = this.#options.ledger.position;
    this.#options.onProgress();
  }

  /** Logs that something could not be written, until something could. */
  noteFailure(error: unknown): void {
    const { log, job } = this.#options;
    if (this.#failing) return;
    this.#failing = true;
    log.warn("output not written", { job, error: describeError(error) });
  }

  async #hear(pipe: OutputPipe): Promise<void> {
    for (;;) {
      await this.#mayRunOn();
      const chunk = await pipe.read();
      if (chunk === undefined) return this.tell();
      for (const pieces of this.#speech.hear(chunk)) {
        await this.#mayRunOn();
        await this.#admitSaid(pieces);
        await this.#giveWay(pipe);
      }
      await turn(); // there may have been nothing for the ledger
    }
  }

  async #giveWay(pipe: OutputPipe): Promise<void> {
    if (pipe.pending() === 0 || this.#options.ledger.position - this.#told >= PROGRESS_BYTES) this.tell();
    await turn();
  }

  #noteSpeech(what: string, error: unknown): void {
    this.#options.log.warn(what, { job: this.#options.job, error: describeError(error) });
  }

  /** Waits while the slowest holder is too far behind. */
  async #mayRunOn(): Promise<void> {
    const { ledger, holds, runAhead, bell } = this.#options;
    const mustWait = () => !this.#draining && ledger.position - holds.released >= runAhead;
    if (!mustWait()) return;
    using _held = this.#holdBack();
    while (mustWait()) {
      this.tell();
      await bell.wait();
    }
  }

  /** Until disposed, the job says nothing because it cannot. */
  #holdBack(): Disposable {
    this.#heldBack++;
    return {
      [Symbol.dispose]: () => {
        this.#heldBack--;
        this.#options.limits.resume();
      },
    };
  }

  /** Takes what the program wrote, as far as its limit allows. What it left behind may exceed that only visibly. */
  async #admit(stream: Stream, bytes: Uint8Array): Promise<void> {
    const { ledger, limits } = this.#options;
    const admitted = limits.admit(bytes.length);
    if (admitted > 0) await this.#append(stream, bytes.subarray(0, admitted));
    if (admitted < bytes.length && this.#hasExited) ledger.skip(stream, bytes.subarray(admitted));
  }

  /** The same of values, each of which is taken whole or not at all. */
  async #admitSaid(pieces: readonly SaidValue[]): Promise<void> {
    const { ledger, limits } = this.#options;
    const isOver = (piece: SaidValue) => !limits.admitWhole(piece.payload.length);
    const end = pieces.findIndex(isOver);
    const admitted = end < 0 ? pieces : pieces.slice(0, end);
    const noting = (append: (pieces: readonly SaidValue[]) => void) => () => {
      const { packets } = ledger.totals;
      append(admitted);
      this.#speech.note(admitted, packets);
    };
    if (admitted.length > 0)
      await this.#insert(
        noting((pieces) => ledger.say(pieces)),
        noting((pieces) => ledger.skipSaid(pieces)),
      );
    if (end >= 0 && this.#hasExited) ledger.skipSaid(pieces.slice(end));
  }

  #append(stream: Stream, bytes: Uint8Array): Promise<void> {
    const { ledger } = this.#options;
    return this.#insert(
      () => ledger.append(stream, bytes),
      () => ledger.skip(stream, bytes),
    );
  }

  /** Appends, or waits for room on a full disk while somebody holds the job, or leaves a gap when nobody does. */
  async #insert(append: () => void, skip: () => void): Promise<void> {
    for (;;) {
      try {
        append();
        this.#failing = false;
        return;
      } catch (error) {
        this.noteFailure(error);
        if (this.#options.holds.isEmpty || !isDiskFull(error)) return skip();
        this.tell();
        using _held = this.#holdBack();
        await retryDelay(this.#options.signal);
      }
    }
  }
}
