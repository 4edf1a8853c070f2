import { Bell } from "../lib/bell.ts";
import { type CreditCounts, SendCredit } from "../protocol/credit.ts";
import { DATA_HEADER_BYTES, writeDataHeader } from "../protocol/data.ts";
import { MAX_PAYLOAD_BYTES } from "../protocol/limits.ts";
import type { Link } from "./link.ts";

/** The sending half of a channel: bytes on their way to a job's stdin, never more than the server granted. */
export class Input {
  readonly #link: Link;
  readonly #channel: number;
  readonly #credit = new SendCredit();
  readonly #bell = new Bell();
  readonly #closed = new AbortController();
  readonly #forget: () => void;
  #ended = false;

  /** `forget`: takes the channel off its session's list. */
  constructor(link: Link, channel: number, forget: () => void) {
    this.#link = link;
    this.#channel = channel;
    this.#forget = forget;
  }

  /** Aborted when nobody takes input any more, whatever the reason. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** Waits until something may be sent. False: nobody takes input any more. */
  async ready(): Promise<boolean> {
    while (this.#credit.available <= 0 && !this.closed.aborted) await this.#bell.wait();
    return !this.closed.aborted;
  }

  /** Sends all of `bytes`, at the pace at which they are taken. False: nobody takes input any more. */
  async write(bytes: Uint8Array): Promise<boolean> {
    for (let rest = bytes; rest.length > 0;) {
      if (!(await this.ready())) return false;
      const part = rest.subarray(0, Math.min(this.#credit.available, MAX_PAYLOAD_BYTES));
      this.#send(part);
      rest = rest.subarray(part.length);
    }
    return !this.closed.aborted;
  }

  /** No more will come: takes effect at the far end once it has everything before. */
  end(): void {
    if (this.closed.aborted || this.#ended) return;
    this.#ended = true;
    this.#link.send({ type: "end", channel: this.#channel, position: this.#credit.sent });
  }

  /** Credit came. Throws `protocol_error`. */
  granted(counts: CreditCounts): void {
    this.#credit.grant(counts);
    this.#bell.ring();
    if (this.#ended && this.#credit.inFlight === 0) this.close();
  }

  /** The other side takes no more, or is gone. */
  close(): void {
    this.#forget();
    this.#closed.abort();
    this.#bell.ring();
  }

  #send(bytes: Uint8Array): void {
    const frame = new Uint8Array(DATA_HEADER_BYTES + bytes.length);
    writeDataHeader(frame, this.#channel, this.#credit.send(bytes.length));
    frame.set(bytes, DATA_HEADER_BYTES);
    this.#link.sendData(frame);
  }
}
