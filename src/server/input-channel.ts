import { AppError } from "../protocol/error.ts";
import type { WriterId } from "../protocol/id.ts";
import type { Job } from "./job.ts";

export interface InputChannelOptions {
  readonly writer: WriterId;
  /** More may be sent. */
  readonly onCredit: (counts: { received: number; limit: number }) => void;
  /** Nobody reads what is sent any more. */
  readonly onDiscard: () => void;
}

/** The server's half of a stream of input to a job: bytes go on to the keeper, whose credit comes back. */
export class InputChannel {
  readonly #options: InputChannelOptions;
  #job: Job | undefined;
  #listening: Disposable | undefined;
  #arrived = 0;
  #limit = 0;
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
        if (!this.#started) this.#arrived = held;
        this.#started = true;
        this.#limit = limit;
        this.#options.onCredit({ received: held, limit });
      },
      closed: () => this.#discard(),
    });
  }

  /** Throws `protocol_error` for bytes that do not follow the last ones, or for which there was no credit. */
  receive(position: number, bytes: Uint8Array): void {
    if (this.#discarded) return; // they were under way when the input closed
    if (position !== this.#arrived || position + bytes.length > this.#limit) {
      throw new AppError(
        "protocol_error",
        `Cannot accept input at ${position}: expected ${this.#arrived}, credit to ${this.#limit}`,
      );
    }
    this.#arrived += bytes.length;
    this.#forward((job, keeper) =>
      keeper.send({ type: "input", job, writer: this.#options.writer, offset: position }, bytes),
    );
  }

  end(position: number): void {
    if (this.#discarded) return;
    if (position !== this.#arrived && this.#started) {
      throw new AppError("protocol_error", `Cannot end input at ${position}: ${this.#arrived} bytes arrived`);
    }
    this.#forward((job, keeper) =>
      keeper.send({ type: "end_input", job, writer: this.#options.writer, offset: position }),
    );
  }

  close(_onPurpose: boolean): void {
    this.#listening?.[Symbol.dispose]();
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
