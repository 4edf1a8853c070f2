import { decodeValue } from "../protocol/cbor/payload.ts";
import { AppError } from "../protocol/error.ts";
import type { Outcome, RecordedOutcome } from "../protocol/outcome.ts";
import { type Packet, type RawRecord, toPacket } from "../protocol/packet.ts";
import { fromValue } from "../protocol/value.ts";
import { Assembly } from "./assembly.ts";

/** Makes of records what whoever reads sees of them: values that are whole, and outcomes with what was returned. */
export class PacketReader {
  readonly #assembly = new Assembly();
  readonly #countValues: () => number | undefined;
  #unread: number | undefined;

  /** `countValues`: how many came before, if that is known. */
  constructor(countValues: () => number | undefined) {
    this.#countValues = countValues;
  }

  /** Where the parts begin of what the job returned, if it has exited and they were before what was read. */
  get unread(): number | undefined {
    return this.#unread;
  }

  /** The value whose parts begin at packet `first`, as bytes, if they are all that came since the last value. */
  find(first: number): Uint8Array | undefined {
    return this.#assembly.find(first);
  }

  /**
   * What a record says, if that is for whoever reads: a part is not, and is kept until the rest comes. What the job itself said
   * may be no value, which is an answer: it is no reason to give up the connection, on which it would come again.
   */
  read(record: RawRecord): Packet | AppError | undefined {
    try {
      return this.#read(record);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      const { code, message } = error;
      return new AppError(code, `${message} (packet ${record.number})`, { cause: error });
    }
  }

  #read(record: RawRecord): Packet | undefined {
    const whole = this.#assembly.take(record);
    const packet = whole && toPacket(whole);
    switch (packet?.type) {
      case undefined:
      case "part":
        return undefined;
      case "exit":
        return { ...packet, outcome: this.#toSeen(packet.outcome) };
      case "closed":
        return { ...packet, exit: { ...packet.exit, outcome: this.#toSeen(packet.exit.outcome) } };
      case "value": {
        const index = this.#countValues();
        return index === undefined ? packet : { ...packet, index };
      }
      default:
        return packet;
    }
  }

  #toSeen(outcome: RecordedOutcome): Outcome {
    if (outcome.type !== "returned") return outcome;
    if (outcome.value.encoding !== "parts") return { type: "returned", value: fromValue(outcome.value) };
    const bytes = this.#assembly.find(outcome.value.first);
    this.#unread = bytes === undefined ? outcome.value.first : undefined;
    return { type: "returned", value: bytes && decodeValue(bytes) };
  }
}
