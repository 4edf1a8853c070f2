import { turn } from "../lib/abort.ts";
import { Later } from "../lib/later.ts";
import type { JobId } from "../protocol/id.ts";
import type { Ended } from "../protocol/job.ts";
import type { Outcome } from "../protocol/outcome.ts";
import type { CallOutcome, CallPacket } from "./call-reading.ts";
import { ClientError } from "./client-error.ts";
import type { Packet } from "../protocol/packet.ts";
import { type AnyPacket, Reader, type ReaderOptions } from "./reader.ts";
import type { ErrorPacket, KillOptions, Reading } from "./reading.ts";

/** The handle on a job. */
export type JobListener = Listener<Packet, Outcome, JobId>;
/** The handle on a foreground call. */
export type CallListener<Event, Result> = Listener<CallPacket<Event, Result>, CallOutcome<Result>>;

export interface ListenerOptions extends ReaderOptions {
  /** Whether reading ends by throwing when the call failed. */
  readonly raiseError?: boolean | undefined;
}

export interface SendInputOptions {
  /** Add a newline. */
  readonly newline?: boolean;
  /** No more input will come. */
  readonly eof?: boolean;
}

/**
 * The client's handle on a call: its packets, each to be read once, and how it ended. A job waits for whoever reads it, some
 * MiB ahead. Leaving a loop ends nothing: another goes on where that one stopped. Who reads no more says so by `detach`, by
 * disposing, or by waiting for the outcome.
 */
export class Listener<P extends AnyPacket, O extends Outcome, J extends JobId | undefined = undefined>
  implements AsyncIterable<P | ErrorPacket>, AsyncDisposable
{
  readonly #reading: Reading<P, O, J>;
  readonly #reader: Reader<P, O, J>;
  readonly #raiseError: boolean;
  #isConcluded = false;
  #loops = 0;

  constructor(reading: Reading<P, O, J>, { raiseError = false, ...options }: ListenerOptions = {}) {
    this.#reading = reading;
    this.#reader = new Reader(reading, options);
    this.#raiseError = raiseError;
  }

  /** Names the call. A job's is its id, which every command takes that is about a job. */
  get id(): string {
    return this.#reading.id;
  }

  get job(): J {
    return this.#reading.job;
  }

  /** The job's short number on its server; undefined for a foreground call, and for a job that was refused. */
  get number(): number | undefined {
    return this.#reading.number;
  }

  /** Whether everything was read: nothing more will come, and nothing be thrown. */
  get done(): boolean {
    const { ending } = this.#reader;
    if (ending === undefined || this.#isConcluded) return this.#isConcluded;
    return ending.error === undefined && !(this.#raiseError && ending.failure !== undefined);
  }

  /** Milliseconds for which a read waits at most; then it throws `listener_timeout`, and another may be tried. */
  get maxInterval(): number | undefined {
    return this.#reader.interval.ms;
  }

  set maxInterval(ms: number | undefined) {
    this.#reader.interval.ms = ms;
  }

  /** How the call ended. Whoever waits for it, while no loop is open, reads to the end and drops what is read. */
  get outcome(): Promise<O> {
    return new Later(() => this.#readOn());
  }

  /** The program's own exit code, undefined if it had none; of a foreground call 0, or 1 if it failed. Reads on as `outcome` does. */
  get exitCode(): Promise<number | undefined> {
    return new Later(async () => toOwnCode(await this.#readOn()));
  }

  /** The next packet, and null after the last. Throws a `ClientError` when it cannot come, or did not come in time. */
  next(): Promise<P | ErrorPacket | null> {
    return this.#reader.next().then((packet) => packet ?? this.#conclude());
  }

  [Symbol.asyncIterator](): AsyncGenerator<P | ErrorPacket, void, void> {
    this.#loops++;
    return this.#iterate();
  }

  /** Reads everything that is left and drops it, however long that takes. */
  async clear(): Promise<void> {
    const interval = this.maxInterval;
    this.maxInterval = undefined;
    try {
      while (this.#reader.ending === undefined) await this.#reader.next();
      this.#conclude();
    } finally {
      this.maxInterval = interval;
    }
  }

  /** Sends exactly these bytes (a string as UTF-8) to the stdin that the call was given. Throws `input_closed`. */
  async sendInput(
    input: string | Uint8Array,
    { newline = false, eof = false }: SendInputOptions = {},
  ): Promise<void> {
    const bytes = typeof input === "string" ? new TextEncoder().encode(input) : input;
    await this.#reading.send(newline ? Buffer.concat([bytes, Buffer.from("\n")]) : bytes, eof);
  }

  /**
   * Ends a job with all that came of it, and tells what that took; with `signal` alone only sends it. A foreground call is
   * cancelled. What was said until then, and the outcome, can be read on.
   */
  kill(options: KillOptions = {}): Promise<Ended | undefined> {
    return this.#reading.kill(options);
  }

  /** Listens no more: a job goes on alone, a foreground call is cancelled. */
  detach(): void {
    this.#reader.giveUp(new ClientError("cancelled", `Nobody listens to ${this.#reading.name} any more`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.detach();
  }

  async *#iterate(): AsyncGenerator<P | ErrorPacket, void, void> {
    try {
      for (let packet = await this.next(); packet !== null; packet = await this.next()) yield packet;
    } finally {
      this.#loops--;
      this.#reader.change.ring();
    }
  }

  /** Reads to the end unless a loop does. */
  async #readOn(): Promise<O> {
    await turn(); // a loop that is about to begin is not robbed
    while (this.#reader.ending === undefined) {
      if (this.#loops > 0 && !this.#reader.isBroken) await this.#reader.change.wait();
      else await this.#reader.next();
    }
    const { outcome, failure } = this.#reader.ending;
    if (outcome === undefined) throw failure;
    return outcome;
  }

  /** What reading ends with, the first time. */
  #conclude(): ErrorPacket | null {
    const { ending } = this.#reader;
    if (this.#isConcluded || ending === undefined) return null;
    this.#isConcluded = true;
    const { error, failure } = ending;
    if (failure !== undefined && this.#raiseError) throw failure;
    return error === undefined ? null : { type: "error", error };
  }
}

/** The code with which a program, or a call, ended by itself. */
export function toOwnCode(outcome: Outcome): number | undefined {
  switch (outcome.type) {
    case "returned":
      return 0;
    case "threw":
      return 1;
    case "exited":
      return outcome.code;
    case "timed_out":
    case "idle_timed_out":
    case "output_limited":
    case "cancelled":
      return outcome.end?.type === "exited" ? outcome.end.code : undefined;
    case "signaled":
    case "not_started":
    case "lost":
      return undefined;
  }
}
