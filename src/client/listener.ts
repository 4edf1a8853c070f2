import { after, abortable } from "../lib/abort.ts";
import { AppError } from "../protocol/error.ts";
import type { JobId } from "../protocol/id.ts";
import type { Outcome } from "../protocol/outcome.ts";
import type { Packet } from "../protocol/packet.ts";
import type { Output } from "./output.ts";

export interface ListenerOptions {
  readonly job: JobId;
  /** The job's short number on its server. */
  readonly number: number;
  readonly output: Output;
  /** Where iteration ends: at the exit, or when nobody holds the job's pipes any more. */
  readonly until: "exit" | "closed";
  /** Milliseconds without a packet after which iteration throws `timed_out`. The job goes on. */
  readonly maxInterval?: number | undefined;
}

/**
 * The client's handle on a job: its packets, to be iterated once, and how it ended. The job waits for whoever iterates;
 * stopping early, or disposing, lets it run on alone.
 */
export class Listener implements AsyncIterable<Packet>, AsyncDisposable {
  readonly job: JobId;
  readonly number: number;
  readonly #options: ListenerOptions;
  readonly #outcome = Promise.withResolvers<Outcome>();

  constructor(options: ListenerOptions) {
    this.job = options.job;
    this.number = options.number;
    this.#options = options;
    this.#outcome.promise.catch(() => {}); // whoever asks for it is told
  }

  /** How the job ended. Settles once iteration has come to the exit, or fails. */
  get outcome(): Promise<Outcome> {
    return this.#outcome.promise;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Packet, void, void> {
    const { output, until } = this.#options;
    try {
      for await (const packet of this.#paced()) {
        if (packet.type === "exit") this.#outcome.resolve(packet.outcome);
        if (packet.type === "closed") this.#outcome.resolve(packet.exit.outcome);
        yield packet;
        output.consumed(packet);
        if (packet.type === until) return;
      }
      throw new AppError("incomplete_output", `Output of job ${this.number} ended without its exit`);
    } catch (error) {
      this.#outcome.reject(error);
      throw error;
    } finally {
      await this[Symbol.asyncDispose]();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#options.output.close();
    this.#outcome.reject(new AppError("cancelled", `Nobody listens to job ${this.number} any more`));
  }

  async *#paced(): AsyncGenerator<Packet, void, void> {
    const packets = this.#options.output[Symbol.asyncIterator]();
    for (;;) {
      const { done, value } = await this.#within(packets.next());
      if (done) return;
      yield value;
    }
  }

  async #within<T>(next: Promise<T>): Promise<T> {
    const { maxInterval } = this.#options;
    if (maxInterval === undefined) return next;
    const late = new AbortController();
    const silent = () =>
      late.abort(new AppError("timed_out", `Job ${this.number} wrote nothing for ${maxInterval} ms`));
    using _alarm = after(maxInterval, silent);
    return await abortable(next, late.signal);
  }
}
