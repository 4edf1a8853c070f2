import { FIRST_FLIGHT_BYTES, FLIGHT_SECONDS, MAX_DATA_BYTES, MAX_RECORD_BYTES } from "./limits.ts";

/** Milliseconds over which delivery is measured at least; shorter spans say more about scheduling than about the link. */
const SPAN = 20;

/**
 * How many bytes a session may have in flight over all channels: 256 KiB, until the measured rate of delivery allows
 * half a second's worth, so that on a slow link a signal never waits behind megabytes of output.
 */
export class Flight {
  #bytes = 0;
  #rate = 0;
  #delivered = 0;
  #since = 0;
  /** When the last byte in flight landed. */
  #emptySince = 0;
  /** Whether the link, and not whoever writes or reads, set the pace since the last measurement. */
  #wasFull = false;

  /** Bytes that may be sent now. */
  get room(): number {
    return Math.max(FIRST_FLIGHT_BYTES, this.#rate * FLIGHT_SECONDS) - this.#bytes;
  }

  /**
   * Bytes that one frame may have: several records only where the link is known to carry them in a fraction of the time in
   * flight. A frame arrives as a whole or not at all, and until then its receiver hears nothing of the sender.
   */
  get frameBytes(): number {
    return this.#rate * FLIGHT_SECONDS >= 4 * MAX_DATA_BYTES ? MAX_DATA_BYTES : MAX_RECORD_BYTES;
  }

  /** `now`: milliseconds of a monotonic clock. */
  send(bytes: number, now: number): void {
    // Time without anything in flight says nothing about the link.
    if (this.#bytes === 0) this.#since += now - this.#emptySince;
    this.#bytes += bytes;
    this.#wasFull ||= this.room <= 0;
  }

  /** Bytes were received, or will never be because their channel is gone (`lost`). */
  land(bytes: number, now: number, lost = false): void {
    this.#bytes -= bytes;
    if (this.#bytes === 0) this.#emptySince = now;
    if (lost) return;
    this.#delivered += bytes;
    const span = now - this.#since;
    if (span < SPAN) return;
    const measured = (this.#delivered / span) * 1_000;
    if (this.#rate === 0) this.#rate = measured;
    else if (this.#wasFull || measured > this.#rate) this.#rate += (measured - this.#rate) * 0.25;
    this.#since = now;
    this.#delivered = 0;
    this.#wasFull = false;
  }
}
