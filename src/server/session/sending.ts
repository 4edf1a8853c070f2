import { type CreditCounts, SendCredit } from "../../protocol/credit.ts";
import type { Flight } from "../../protocol/flight.ts";
import { MAX_RECORD_BYTES } from "../../protocol/limits.ts";

/** How far one channel may send: as far as its credit goes, and what all of its session have in flight. */
export class Sending {
  readonly #flight: Flight;
  readonly #credit = new SendCredit();

  constructor(flight: Flight) {
    this.#flight = flight;
  }

  /** Bytes sent so far. */
  get position(): number {
    return this.#credit.sent;
  }

  /** Bytes sent that have not come, as far as the client has said. */
  get inFlight(): number {
    return this.#credit.inFlight;
  }

  /** Whether there is credit for any record. */
  get hasRoomForAny(): boolean {
    return this.#credit.available >= MAX_RECORD_BYTES;
  }

  /** The part of `target` that the next frame may fill. */
  fit(target: Uint8Array): Uint8Array {
    const { room, frameBytes } = this.#flight;
    const flight = Math.min(frameBytes, Math.max(MAX_RECORD_BYTES, room));
    return target.subarray(0, Math.max(0, Math.min(target.length, this.#credit.available, flight)));
  }

  sent(bytes: number, now: number): void {
    this.#credit.send(bytes);
    this.#flight.send(bytes, now);
  }

  /** Throws `protocol_error`. */
  grant(counts: CreditCounts, now: number): void {
    this.#flight.land(this.#credit.grant(counts), now);
  }

  /** What is in flight counts no more. */
  stop(now: number): void {
    this.#flight.land(this.#credit.inFlight, now, true);
  }
}
