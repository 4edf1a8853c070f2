import { turn } from "../lib/abort.ts";
import { Bell } from "../lib/bell.ts";
import { formatDuration } from "../lib/duration.ts";
import { Later } from "../lib/later.ts";
import type { JobId } from "../protocol/id.ts";
import type { Ended } from "../protocol/job.ts";
import type { Outcome } from "../protocol/outcome.ts";
import type { CallOutcome, CallPacket } from "./call-reading.ts";
import { ClientError, toClientError } from "./client-error.ts";
import type { Echo } from "./echo.ts";
import { Interval } from "./interval.ts";
import type { Limit } from "./limit.ts";
import type { Packet } from "../protocol/packet.ts";
import type { Ending, ErrorPacket, KillOptions, Reading } from "./reading.ts";

/** The handle on a job. */
export type JobListener = Listener<Packet, Outcome, JobId>;
/** The handle on a foreground call. */
export type CallListener<Event, Result> = Listener<CallPacket<Event, Result>, CallOutcome<Result>>;

export interface ListenerOptions {
  readonly maxInterval?: number | undefined;
  /** Whether reading ends by throwing when the call failed. */
  readonly raiseError?: boolean | undefined;
  readonly echo?: Echo | undefined;
  /** What cuts listening short; disposed at the end. */
  readonly limit?: Limit | undefined;
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
export class Listener<
  P extends { readonly type: string; readonly bytes?: Uint8Array },
  O extends Outcome,
  J extends JobId | undefined = undefined,
>
  implements AsyncIterable<P | ErrorPacket>, AsyncDisposable
{
  readonly #reading: Reading<P, O, J>;
  readonly #options: ListenerOptions;
  readonly #interval: Interval;
  /** The read that is under way; those that follow wait for it. */
  #last: Promise<unknown> = Promise.resolve();
  /** A packet that was asked for and has not come: whoever gave up on it has left it to the next. */
  #step: Promise<IteratorResult<P, Ending<O>>> | undefined;
  #unconsumed: P | undefined;
  #ending: Ending<O> | undefined;
  #isConcluded = false;
  /** Why nothing more can be read before the end. */
  #broken: { readonly reason: unknown } | undefined;
  #loops = 0;
  /** Rings when a loop is left, and at the end. */
  readonly #change = new Bell();

  constructor(reading: Reading<P, O, J>, options: ListenerOptions = {}) {
    this.#reading = reading;
    this.#options = options;
    this.#interval = new Interval(options.maxInterval, (ms) => this.#toSilence(ms));
    options.limit?.onReached((reason) => this.#giveUp(reason));
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

  /** Whether everything was read. */
  get done(): boolean {
    return this.#isConcluded;
  }

  /** Milliseconds for which a read waits at most; then it throws `listener_timeout`, and another may be tried. */
  get maxInterval(): number | undefined {
    return this.#interval.ms;
  }

  set maxInterval(ms: number | undefined) {
    this.#interval.ms = ms;
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
    return this.#queue(async () => (await this.#advance()) ?? this.#conclude());
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
      while (this.#ending === undefined) await this.#queue(() => this.#advance());
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
    this.#giveUp(new ClientError("cancelled", `Nobody listens to ${this.#reading.name} any more`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.detach();
  }

  async *#iterate(): AsyncGenerator<P | ErrorPacket, void, void> {
    try {
      for (let packet = await this.next(); packet !== null; packet = await this.next()) yield packet;
    } finally {
      this.#loops--;
      this.#change.ring();
    }
  }

  /** Reads to the end unless a loop does. */
  async #readOn(): Promise<O> {
    await turn(); // a loop that is about to begin is not robbed
    while (this.#ending === undefined) {
      if (this.#loops > 0 && this.#broken === undefined) await this.#change.wait();
      else await this.#queue(() => this.#advance());
    }
    const { outcome, failure } = this.#ending;
    if (outcome === undefined) throw failure;
    return outcome;
  }

  /** One read after another. */
  #queue<T>(read: () => Promise<T>): Promise<T> {
    const reading = this.#last.then(read);
    this.#last = reading.catch(() => {}); // whoever asked is told
    return reading;
  }

  /** The next packet; undefined at the end. */
  async #advance(): Promise<P | undefined> {
    if (this.#ending !== undefined) return undefined;
    if (this.#broken !== undefined) throw this.#broken.reason;
    this.#consume();
    this.#step ??= this.#ask();
    const { done, value } = await this.#interval.within(this.#step);
    this.#step = undefined;
    if (done) return this.#end(value);
    this.#unconsumed = value;
    await this.#copy(value);
    return value;
  }

  #ask(): Promise<IteratorResult<P, Ending<O>>> {
    const step = this.#reading.packets.next().catch((error: unknown): never => {
      const reason = toClientError(error);
      this.#giveUp(reason);
      throw reason;
    });
    step.catch(() => {}); // nobody may wait for it any more
    return step;
  }

  #end(ending: Ending<O>): undefined {
    this.#ending = ending;
    this.#options.limit?.[Symbol.dispose]();
    this.#change.ring();
  }

  /** Listens no more, for a reason that every reader is told. */
  #giveUp(reason: unknown): void {
    if (this.#ending !== undefined || this.#broken !== undefined) return;
    this.#broken = { reason };
    this.#options.limit?.[Symbol.dispose]();
    this.#interval.interrupt(reason);
    this.#reading.close();
    this.#change.ring();
  }

  /** What reading ends with, the first time. */
  #conclude(): ErrorPacket | null {
    if (this.#isConcluded || this.#ending === undefined) return null;
    this.#isConcluded = true;
    const { error, failure } = this.#ending;
    if (failure !== undefined && this.#options.raiseError === true) throw failure;
    return error === undefined ? null : { type: "error", error };
  }

  #consume(): void {
    const packet = this.#unconsumed;
    this.#unconsumed = undefined;
    if (packet !== undefined) this.#reading.consumed(packet);
  }

  async #copy(packet: P): Promise<void> {
    try {
      await this.#options.echo?.write(packet);
    } catch (error) {
      this.#giveUp(error);
      throw error;
    }
  }

  #toSilence(ms: number): ClientError {
    const { name, job, number } = this.#reading;
    return new ClientError("listener_timeout", `Nothing came from ${name} for ${formatDuration(ms)}`, {
      ...(job !== undefined && { details: { job, number } }),
    });
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
