import { MAX_PAYLOAD_BYTES } from "../protocol/limits.ts";
import type { RecordedOutcome } from "../protocol/outcome.ts";
import { RECORD_HEADER_BYTES } from "../protocol/packet.ts";
import { MAX_END_BYTES, parseEnd, SaidDecoder, type SaidEnd, type SaidValue } from "../protocol/said.ts";

/** What a runner says on its own descriptor: values for the ledger, a turn's worth at a time, and how it ends. */
export class Speech {
  readonly #onBadEnd: (error: unknown) => void;
  readonly #decoder = new SaidDecoder();
  /** Whether it said what is no record. */
  #isNone = false;
  #end: SaidEnd | undefined;
  /** The packet in which a value begins that is not ended yet. */
  #firstPart: number | undefined;
  /** Whether it said an end that is none, which is told once. */
  #isTold = false;

  constructor(onBadEnd: (error: unknown) => void) {
    this.#onBadEnd = onBadEnd;
  }

  /** Whether what came last is no record, or not all of one: then its end, if it said one, may be among it. */
  get isBroken(): boolean {
    return this.#isNone || this.#decoder.isWithin;
  }

  /** What is whole now, in pieces of at most 64 KiB of records each. Throws `protocol_error` for what is no record. */
  *hear(chunk: Uint8Array): Generator<readonly SaidValue[], void, void> {
    let pieces: SaidValue[] = [];
    let bytes = 0;
    try {
      for (const { kind, payload } of this.#decoder.push(chunk)) {
        if (kind === "end") {
          this.#takeEnd(payload);
          continue;
        }
        const size = RECORD_HEADER_BYTES + payload.length;
        if (bytes > 0 && bytes + size > MAX_PAYLOAD_BYTES) {
          yield pieces;
          [pieces, bytes] = [[], 0];
        }
        pieces.push({ kind, payload });
        bytes += size;
      }
    } catch (error) {
      this.#isNone = true;
      throw error;
    } finally {
      if (bytes > 0) yield pieces; // also what came before what is no record
    }
  }

  /** These become packets, of which this is the number of the first. */
  note(pieces: readonly SaidValue[], number: number): void {
    for (const [index, { kind }] of pieces.entries()) {
      if (kind === "value") this.#firstPart = undefined;
      else this.#firstPart ??= number + index;
    }
  }

  /** How it ended by its own account, if it said so. */
  get outcome(): RecordedOutcome | undefined {
    const end = this.#end;
    if (end?.type !== "returned") return end;
    const { value } = end;
    if (value.encoding !== "parts") return { type: "returned", value };
    // Without any there is nothing that it could mean.
    if (this.#firstPart === undefined) return undefined;
    return { type: "returned", value: { encoding: "parts", first: this.#firstPart } };
  }

  #takeEnd(payload: Uint8Array): void {
    try {
      const end = parseEnd(payload);
      // Written anew it may take more than what was read.
      if (Buffer.byteLength(JSON.stringify(end)) > MAX_END_BYTES)
        throw new RangeError(`It takes more than ${MAX_END_BYTES} bytes`);
      this.#end = end;
    } catch (error) {
      if (!this.#isTold) this.#onBadEnd(error);
      this.#isTold = true;
    }
  }
}
