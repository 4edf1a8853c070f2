import { MAX_PAYLOAD_BYTES } from "../protocol/limits.ts";
import { checkRecord, RECORD_HEADER_BYTES } from "../protocol/packet.ts";

/** Records that are whole and intact and whose numbers follow each other, at the beginning of some bytes. */
export interface IntactRun {
  /** Bytes of the run. */
  readonly end: number;
  /** The packet that follows it. */
  readonly next: number;
  /** Whether what follows can be no record of the ledger; otherwise it is cut off, or nothing follows. */
  readonly isBroken: boolean;
}

/** The longest run at the beginning of `bytes`, whose first packet must be `number`. */
export function findRun(bytes: Uint8Array, number: number): IntactRun {
  const view = toView(bytes);
  for (let end = 0, next = number; ;) {
    const record = checkRecord(view, end);
    if (record === "cut") return { end, next, isBroken: false };
    if (record === "broken" || record.number !== next) return { end, next, isBroken: true };
    ({ end, next } = record);
  }
}

/**
 * Where a run begins again behind a record that is broken, and with which packet. Only the lengths of broken records are
 * trusted, and only if they lead to an intact one: what merely looks like a record may be what the job itself wrote.
 */
export function findBehind(
  bytes: Uint8Array,
  number: number,
): { readonly start: number; readonly number: number } | undefined {
  const view = toView(bytes);
  for (let start = 0, least = number; ; least++) {
    const record = checkRecord(view, start);
    if (record === "cut") return undefined;
    if (record !== "broken" && start > 0)
      return record.number >= least ? { start, number: record.number } : undefined;
    const end = toEnd(view, start);
    if (end === undefined) return undefined;
    start = end;
  }
}

function toView({ buffer, byteOffset, length }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, length);
}

/** Where a broken record ends, if its length can be right. */
function toEnd(view: DataView, start: number): number | undefined {
  const length = view.getUint32(start);
  return length <= MAX_PAYLOAD_BYTES ? start + RECORD_HEADER_BYTES + length : undefined;
}
