import { AppError } from "./error.ts";

/** What a receiver tells a sender about one direction of a channel: byte counts that never fall. */
export interface CreditCounts {
  /** Bytes that came, which may wait for the consumer; an older peer does not tell. */
  readonly arrived?: number | undefined;
  /** Bytes handed to the consumer. */
  readonly received: number;
  /** Bytes that may have been sent in all. */
  readonly limit: number;
}

/** The sending half of one direction: how much was sent, and how much more may be. */
export class SendCredit {
  #sent = 0;
  #landed = 0;
  #limit = 0;

  get sent(): number {
    return this.#sent;
  }

  get available(): number {
    return this.#limit - this.#sent;
  }

  /** Bytes sent that have not come, as far as that was said. */
  get inFlight(): number {
    return this.#sent - this.#landed;
  }

  /** Takes a credit and answers how many more bytes have come; an older one changes nothing. Throws `protocol_error`. */
  grant({ received, arrived = received, limit }: CreditCounts): number {
    const landed = Math.max(arrived, received);
    if (landed > this.#sent) {
      throw new AppError(
        "protocol_error",
        `Cannot accept credit: ${landed} bytes received, only ${this.#sent} were sent`,
      );
    }
    const progress = Math.max(0, landed - this.#landed);
    this.#landed += progress;
    this.#limit = Math.max(this.#limit, limit);
    return progress;
  }

  /** Counts bytes as sent and answers their position. */
  send(bytes: number): number {
    const position = this.#sent;
    this.#sent += bytes;
    return position;
  }
}

/** The receiving half of one direction: accepts what was granted, and says when to grant more. */
export class ReceiveCredit {
  readonly #window: number;
  #arrived = 0;
  #consumed = 0;
  #granted = 0;
  /** Bytes of which the sender was told that they came. */
  #told = 0;

  /** `window`: bytes granted beyond what was consumed. */
  constructor(window: number) {
    this.#window = window;
  }

  /** Bytes that arrived in all. */
  get arrived(): number {
    return this.#arrived;
  }

  /**
   * Takes bytes at `position`; false when they came before. Throws `sequence_gap` when some are missing before them,
   * `protocol_error` when they exceed the credit.
   */
  arrive(position: number, bytes: number): boolean {
    if (position + bytes <= this.#arrived) return false;
    if (position !== this.#arrived) {
      throw new AppError(
        position > this.#arrived ? "sequence_gap" : "protocol_error",
        `Cannot accept data at ${position}: expected position ${this.#arrived}`,
      );
    }
    if (position + bytes > this.#granted) {
      throw new AppError(
        "protocol_error",
        `Cannot accept data up to ${position + bytes}: credit ends at ${this.#granted}`,
      );
    }
    this.#arrived += bytes;
    return true;
  }

  /** Notes how much was sent in all. Throws `sequence_gap` when that should have come before. */
  expect(position: number): void {
    if (position > this.#arrived)
      throw new AppError("sequence_gap", `Data up to ${position} never came: ${this.#arrived} bytes did`);
  }

  /** Begins again on another channel; what arrived on the last one and is not consumed takes its share of the window. */
  restart(): void {
    this.#consumed -= this.#arrived;
    this.#arrived = 0;
    this.#granted = 0;
    this.#told = 0;
  }

  consume(bytes: number): void {
    this.#consumed += bytes;
  }

  /** Counts to send now. */
  take(): CreditCounts {
    this.#granted = this.#consumed + this.#window;
    this.#told = this.#arrived;
    return {
      arrived: this.#arrived,
      received: Math.max(0, this.#consumed),
      limit: Math.max(0, this.#granted),
    };
  }

  /** Bytes that came or were consumed, whichever is more, of which the sender does not know. */
  get untold(): number {
    return Math.max(this.#arrived - this.#told, this.#ungranted);
  }

  /** Whether enough was consumed that a new grant is worth a frame of its own: an eighth of the window. */
  get isDue(): boolean {
    return this.#ungranted > 0 && this.#ungranted >= this.#window / 8;
  }

  get #ungranted(): number {
    return this.#consumed + this.#window - this.#granted;
  }
}
