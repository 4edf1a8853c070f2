import { AppError } from "../protocol/error.ts";
import { MAX_VALUE_BYTES } from "../protocol/limits.ts";
import type { RawRecord } from "../protocol/packet.ts";

/** Puts values together that take more than one packet: it holds one, of 24 MiB at most. */
export class Assembly {
  /** Parts since the last value, the first of which is packet `#first`. */
  #parts: Uint8Array[] = [];
  #first: number | undefined;
  #bytes = 0;

  /**
   * Takes the next record. A `value` comes back with all of its bytes; nothing comes back of a part, nor of a value whose
   * beginning was before what is read. Throws `protocol_error` for a value that is too large.
   */
  take(record: RawRecord): RawRecord | undefined {
    switch (record.kind) {
      case "part":
        if (record.continues !== true) this.#begin(record.number);
        return this.#first === undefined ? undefined : this.#keep(record.payload);
      case "value": {
        const whole = this.#join(record);
        this.#forget();
        return whole;
      }
      case "gap":
        this.#forget();
    }
    return record;
  }

  /** The parts from packet `first` on, which are all that came since the last value; undefined if they are not. */
  find(first: number): Uint8Array | undefined {
    return this.#first === first ? Buffer.concat(this.#parts) : undefined;
  }

  #keep(part: Uint8Array): undefined {
    this.#parts.push(part);
    this.#bytes += part.length;
    if (this.#bytes <= MAX_VALUE_BYTES) return;
    this.#forget();
    throw new AppError("protocol_error", `Cannot read a value: it takes more than ${MAX_VALUE_BYTES} bytes`);
  }

  #join(record: RawRecord): RawRecord | undefined {
    if (record.continues !== true) return record;
    if (this.#first === undefined) return undefined;
    this.#keep(record.payload);
    return { ...record, payload: Buffer.concat(this.#parts) };
  }

  #begin(number: number): void {
    this.#forget();
    this.#first = number;
  }

  #forget(): void {
    this.#parts = [];
    this.#first = undefined;
    this.#bytes = 0;
  }
}
