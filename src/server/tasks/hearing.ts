import { type Exit, decodeRecords, type RawRecord, toPacket } from "../../protocol/packet.ts";
import { readTold, TAG, type Told } from "../../protocol/told.ts";
import type { Place } from "./place.ts";

/** What a task's job has said: something of an execution or of itself, how it has ended, or that some of it is gone. */
export type Heard =
  | { readonly type: "told"; readonly told: Told; readonly place: Place }
  | { readonly type: "exit"; readonly exit: Exit }
  | { readonly type: "gap" }
  /** A value that no runner of a task says. */
  | { readonly type: "noise" };

/** A value of which not all packets were read. */
interface Open {
  readonly told: Told | undefined;
  readonly first: number;
  readonly bytes: number;
}

/** Makes sense of the records of a task's job, in order. What takes several is told once, without its payload. */
export class Hearing {
  #open: Open | undefined;

  /** All at once: the bytes may be something else afterwards. */
  hear(records: Uint8Array): readonly Heard[] {
    return [...decodeRecords(records)].flatMap((record) => this.#take(record) ?? []);
  }

  #take(record: RawRecord): Heard | undefined {
    // The rest of a value whose beginning is gone.
    if (record.continues && this.#open === undefined) return undefined;
    switch (record.kind) {
      case "part": {
        const { number, payload } = record;
        const open = this.#open ?? { told: readTold(payload), first: number, bytes: 0 };
        this.#open = { ...open, bytes: open.bytes + payload.length };
        return undefined;
      }
      case "value":
        return this.#end(record);
      case "gap":
        this.#open = undefined;
        return { type: "gap" };
      case "exit":
      case "closed":
        return toEnd(record);
      default:
        return undefined;
    }
  }

  #end({ number, payload }: RawRecord): Heard {
    const open = this.#open;
    this.#open = undefined;
    const told = open === undefined ? readTold(payload) : open.told;
    if (told === undefined) return { type: "noise" };
    const bytes = (open?.bytes ?? 0) + payload.length - told.start + TAG.length;
    const place = { first: open?.first ?? number, last: number, bytes };
    return { type: "told", told: open === undefined ? told : { ...told, payload: undefined }, place };
  }
}

function toEnd(record: RawRecord): Heard | undefined {
  const packet = toPacket(record);
  if (packet?.type === "closed") return { type: "exit", exit: packet.exit };
  return packet?.type === "exit" ? { type: "exit", exit: packet } : undefined;
}
