import { AppError } from "../../protocol/error.ts";
import type { WriterId } from "../../protocol/id.ts";
import type { Job } from "../jobs/job.ts";

export interface InputChannelOptions {
  readonly writer: WriterId;
  /** More may be sent. */
  readonly onCredit: (counts: { received: number; limit: number }) => void;
  /** Nobody reads what is sent any more. */
  readonly onDiscard: () => void;
  /** The channel cannot go on. */
  readonly onBroken: (error: AppError) => void;
}

/** The server's half of a stream of input to a job: bytes go on to the keeper, whose credit comes back. */
export class InputChannel {
  readonly #options: InputChannelOptions;
  #job: Job | undefined;
  #listening: Disposable | undefined;
  #arrived = 0;
  #limit = 0;
  /** What the keeper holds, as it said last. */
  #held = 0;
  /** Where the input ends, once that is known; it takes effect when so much has arrived. */
  #end: number | undefined;
  #started = false;
  #discarded = false;

  constructor(options: InputChannelOptions) {
    this.#options = options;
  }

  attach(job: Job): void {
    if (job.keeper === undefined) return this.#discard();
    this.#job = job;
    this.#listening = job.keeper.listen(job.start.job, this.#options.writer, {
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
    this.#forward((job, keeper) =>
      keeper.send({ type: "input", job, writer: this.#options.writer, offset: position }, bytes),
    );
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

  /** The keeper has said what it holds of this writer's input already. */
  #begin(held: number): void {
    this.#started = true;
    this.#arrived = held;
    if (this.#end === undefined || this.#end >= held) return this.#endWhenReached();
    this.#options.onBroken(
      new AppError("protocol_error", `Cannot end input at ${this.#end}: ${held} bytes arrived`),
    );
  }

  #endWhenReached(): void {
    const { writer } = this.#options;
    if (!this.#started || this.#end !== this.#arrived) return;
    const offset = this.#arrived;
    this.#forward((job, keeper) => keeper.send({ type: "end_input", job, writer, offset }));
  }

  #forward(send: (job: Job["start"]["job"], keeper: NonNullable<Job["keeper"]>) => void): void {
    if (this.#job?.keeper !== undefined) send(this.#job.start.job, this.#job.keeper);
  }

  #discard(): void {
    if (this.#discarded) return;
    this.#discarded = true;
    this.#options.onDiscard();
  }
}
