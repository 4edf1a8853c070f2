import { Bell } from "../lib/bell.ts";
import { formatDuration } from "../lib/duration.ts";
import type { JobId } from "../protocol/id.ts";
import type { Outcome } from "../protocol/outcome.ts";
import { ClientError, toClientError } from "./client-error.ts";
import type { Echo } from "./echo.ts";
import { Interval } from "./interval.ts";
import type { Limit } from "./limit.ts";
import type { Ending, Reading } from "./reading.ts";

export interface ReaderOptions {
  readonly maxInterval?: number | undefined;
  readonly echo?: Echo | undefined;
  /** What cuts reading short; disposed at the end. */
  readonly limit?: Limit | undefined;
}

/** A packet, as far as any reader must know it. */
export interface AnyPacket {
  readonly type: string;
  readonly bytes?: Uint8Array;
}

/** Reads a call for whoever asks, one packet after another. Who gives up on a packet loses nothing: the next one gets it. */
export class Reader<P extends AnyPacket, O extends Outcome, J extends JobId | undefined> {
  readonly #reading: Reading<P, O, J>;
  readonly #options: ReaderOptions;
  readonly interval: Interval;
  /** Rings when there is nothing left to read, whatever the reason. */
  readonly change = new Bell();
  /** The read that is under way; those that follow wait for it. */
  #last: Promise<unknown> = Promise.resolve();
  /** A packet that was asked for and has not come. */
  #step: Promise<IteratorResult<P, Ending<O>>> | undefined;
  #unconsumed: P | undefined;
  #ending: Ending<O> | undefined;
  /** Why nothing more can be read before the end. */
  #broken: { readonly reason: unknown } | undefined;

  constructor(reading: Reading<P, O, J>, options: ReaderOptions) {
    this.#reading = reading;
    this.#options = options;
    this.interval = new Interval(options.maxInterval, (ms) => this.#toSilence(ms));
    options.limit?.onReached((reason) => this.giveUp(reason));
  }

  /** How the call ended, once that was read. */
  get ending(): Ending<O> | undefined {
    return this.#ending;
  }

  get isBroken(): boolean {
    return this.#broken !== undefined;
  }

  /** The next packet; undefined at the end. Throws a `ClientError` when it cannot come, or did not come in time. */
  next(): Promise<P | undefined> {
    const reading = this.#last.then(() => this.#read());
    this.#last = reading.catch(() => {}); // whoever asked is told
    return reading;
  }

  /** Reads no more, for a reason that every reader is told. */
  giveUp(reason: unknown): void {
    if (this.#ending !== undefined || this.#broken !== undefined) return;
    this.#broken = { reason };
    this.#options.limit?.[Symbol.dispose]();
    this.interval.interrupt(reason);
    this.#reading.close();
    this.change.ring();
  }

  async #read(): Promise<P | undefined> {
    if (this.#ending !== undefined) return undefined;
    if (this.#broken !== undefined) throw this.#broken.reason;
    this.#consume();
    this.#step ??= this.#ask();
    const { done, value } = await this.interval.within(this.#step);
    this.#step = undefined;
    if (done) return this.#end(value);
    this.#unconsumed = value;
    await this.#copy(value);
    if (this.#reading.ending !== undefined) this.#end(this.#reading.ending);
    return value;
  }

  #ask(): Promise<IteratorResult<P, Ending<O>>> {
    const step = this.#reading.packets.next().catch((error: unknown): never => {
      const reason = toClientError(error);
      this.giveUp(reason);
      throw reason;
    });
    step.catch(() => {}); // nobody may wait for it any more
    return step;
  }

  #end(ending: Ending<O>): undefined {
    this.#ending = ending;
    this.#options.limit?.[Symbol.dispose]();
    this.change.ring();
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
      this.giveUp(error);
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
