import { AppError } from "../../protocol/error.ts";
import type { WriterId } from "../../protocol/id.ts";
import type { Job } from "../jobs/job.ts";
import type { InputListener } from "../keepers/keeper-link.ts";

/** Who takes a stream of input; offsets are bytes from its beginning. */
export interface InputSink {
  /** Says at once, or soon, what is held. */
  listen(listener: InputListener): Disposable;
  write(offset: number, bytes: Uint8Array): void;
  end(offset: number): void;
}

/** A job's keeper as one; undefined for a job that takes no input any more. */
export function toJobSink(job: Job, writer: WriterId): InputSink | undefined {
  const { keeper } = job;
  const { job: id } = job.start;
  return (
    keeper && {
      listen: (listener) => keeper.listen(id, writer, listener),
      write: (offset, bytes) => job.keeper?.send({ type: "input", job: id, writer, offset }, bytes),
      end: (offset) => job.keeper?.send({ type: "end_input", job: id, writer, offset }),
    }
  );
}

export interface InputChannelOptions {
  /** More may be sent. */
  readonly onCredit: (counts: { received: number; limit: number }) => void;
  /** Nobody reads what is sent any more. */
  readonly onDiscard: () => void;
  /** The channel cannot go on. */
  readonly onBroken: (error: AppError) => void;
}

/** The server's half of a stream of input: bytes go on to whoever takes them, whose credit comes back. */
export class InputChannel {
  readonly #options: InputChannelOptions;
  #sink: InputSink | undefined;
  #listening: Disposable | undefined;
  #arrived = 0;
  #limit = 0;
  /** What the sink holds, as it said last. */
  #held = 0;
  /** Where the input ends, once that is known; it takes effect when so much has arrived. */
  #end: number | undefined;
  #started = false;
  #discarded = false;

  constructor(options: InputChannelOptions) {
    this.#options = options;
  }

  /** Undefined where nobody takes input any more. */
  attach(sink: InputSink | undefined): void {
    if (sink === undefined) return this.#discard();
    this.#sink = sink;
    this.#listening = sink.listen({
      taken: (held, limit) => {
        this.#held = held;
        this.#limit = limit;
        this.#options.onCredit({ received: held, limit });
        if (!this.#started) this.#begin(held);
      },
      closed: () => this.#discard(),
    });
  }

  /** Throws `sequence_gap` when bytes are missing before these, `protocol_error` beyond the credit or the end. */
  receive(position: number, bytes: Uint8Array): void {
    if (this.#discarded) return; // they were under way when the input closed
    if (position + bytes.length <= this.#arrived) return; // it came before
    const limit = Math.min(this.#limit, this.#end ?? Number.POSITIVE_INFINITY);
    if (position !== this.#arrived || position + bytes.length > limit) {
      throw new AppError(
        position > this.#arrived ? "sequence_gap" : "protocol_error",
        `Cannot accept input at ${position}: expected ${this.#arrived}, at most to ${limit}`,
      );
    }
    this.#arrived += bytes.length;
    this.#sink?.write(position, bytes);
    this.#endWhenReached();
  }

  /** Throws `protocol_error` for an end before what has arrived, or a second one elsewhere. */
  end(position: number): void {
    if (this.#discarded) return;
    if ((this.#started && position < this.#arrived) || (this.#end ?? position) !== position) {
      throw new AppError("protocol_error", `Cannot end input at ${position}: ${this.#arrived} bytes arrived`);
    }
    this.#end = position;
    this.#endWhenReached();
  }

  /** Throws `sequence_gap` when so much was sent, and did not come. */
  expect(position: number): void {
    if (this.#started && !this.#discarded && position > this.#arrived)
      throw new AppError("sequence_gap", `Input up to ${position} never came: ${this.#arrived} bytes did`);
  }

  /** Says again what was said last, in case that was lost. */
  repeatCredit(): void {
    if (this.#started && !this.#discarded)
      this.#options.onCredit({ received: this.#held, limit: this.#limit });
  }

  close(_onPurpose: boolean): void {
    this.#listening?.[Symbol.dispose]();
  }

  /** The sink has said what it holds of this stream already. */
  #begin(held: number): void {
    this.#started = true;
    this.#arrived = held;
    if (this.#end === undefined || this.#end >= held) return this.#endWhenReached();
    this.#options.onBroken(
      new AppError("protocol_error", `Cannot end input at ${this.#end}: ${held} bytes arrived`),
    );
  }

  #endWhenReached(): void {
    if (this.#started && this.#end === this.#arrived) this.#sink?.end(this.#arrived);
  }

  #discard(): void {
    if (this.#discarded) return;
    this.#discarded = true;
    this.#options.onDiscard();
  }
}
