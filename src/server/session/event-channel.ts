import type { CreditCounts } from "../../protocol/credit.ts";
import type { Flight } from "../../protocol/flight.ts";
import type { CallOutput } from "./call-output.ts";
import { Sending } from "./sending.ts";

export interface EventChannelOptions {
  readonly output: CallOutput;
  /** The first packet wanted. */
  readonly since: number;
  readonly flight: Flight;
  /** There may be something to send. */
  readonly onReady: () => void;
  /** The client has it all, or reads no more. */
  readonly onDone: () => void;
}

/** The server's half of what a foreground call says: whole records, as far as credit goes. */
export class EventChannel {
  readonly #options: EventChannelOptions;
  readonly #sending: Sending;
  #next: number;
  #isOver = false;
  #isLost = false;
  /** It stays known when its connection is lost, so that a client that reads no more can say so. */
  readonly isHeld = true;

  constructor(options: EventChannelOptions) {
    this.#options = options;
    this.#next = options.since;
    this.#sending = new Sending(options.flight);
    options.output.consumed(options.since);
    options.output.onReady = options.onReady;
  }

  get position(): number {
    return this.#sending.position;
  }

  get inFlight(): number {
    return this.#isLost ? 0 : this.#sending.inFlight;
  }

  /** Whether its connection is gone, and with it what was under way. */
  get isLost(): boolean {
    return this.#isLost;
  }

  get isAtEnd(): boolean {
    const { output } = this.#options;
    return !this.#isOver && output.isEnded && this.#next >= output.next;
  }

  /** Reads the next whole records that credit allows into `target`; answers their bytes. */
  read(target: Uint8Array, now: number): number {
    if (this.#isOver) return 0;
    const { bytes, next } = this.#options.output.read(this.#next, this.#sending.fit(target));
    this.#next = next;
    if (bytes > 0) this.#sending.sent(bytes, now);
    return bytes;
  }

  /** Throws `protocol_error`. */
  grant({ next, ...counts }: CreditCounts & { readonly next?: number | undefined }, now: number): void {
    this.#sending.grant(counts, now);
    if (next !== undefined) this.#options.output.consumed(Math.min(next, this.#next));
  }

  discard(): void {}

  /** Everything was sent. */
  finish(): void {
    this.#isOver = true;
  }

  close(onPurpose: boolean, now: number): void {
    this.#isOver = true;
    if (!this.#isLost) this.#sending.stop(now);
    this.#isLost = true;
    const { output, onReady, onDone } = this.#options;
    // Unless the client has come for it again over another channel.
    if (onPurpose && output.onReady === onReady) onDone();
  }
}
