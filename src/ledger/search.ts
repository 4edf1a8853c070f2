import type { JobId } from "../protocol/id.ts";
import { MAX_DATA_BYTES } from "../protocol/limits.ts";
import { addRecord, decodeRecords, NO_TOTALS, type Totals } from "../protocol/packet.ts";
import { LedgerReader } from "./reader.ts";
import { findSegmentStart, listSegments, type SegmentStart } from "./segment.ts";

/** Which value is looked for: the one of this number, or the first of the last so many that there are. */
export type WantedValue =
  { readonly type: "since"; readonly number: number } | { readonly type: "recent"; readonly count: number };

export interface SearchOptions {
  readonly directory: string;
  readonly job: JobId;
  /** The position up to which the ledger may be read; it may grow. */
  readonly limit: () => number;
  /** Whether it grows no more. */
  readonly isComplete: () => boolean;
}

/** How far a search has come: nothing below `position` is wanted, and there may be nothing more to look at yet. */
export interface SearchProgress {
  readonly position: number;
  readonly isWaiting: boolean;
}

/**
 * Looks for the packet in which a value begins, a piece at a time: a ledger may be long, and the value be yet to come. Answers what
 * the job had said before that packet, whose number is the count of packets in it. For a value that is gone it is the first packet
 * behind it that is still there, and for one that never comes the exit. Throws `incomplete_output` where the ledger is damaged.
 */
export function* searchValue(
  options: SearchOptions,
  wanted: WantedValue,
): Generator<SearchProgress, Totals, void> {
  const { directory, job, limit, isComplete } = options;
  const number =
    wanted.type === "since" ? wanted.number : Math.max(0, (yield* countValues(options)) - wanted.count);
  let totals = findSegment(options, (start) => start.totals.values < number)?.totals ?? NO_TOTALS;
  using reader = new LedgerReader(directory, job, totals.packets);
  const buffer = new Uint8Array(MAX_DATA_BYTES);
  while (totals.values < number) {
    const isLast = isComplete();
    const bytes = reader.read(buffer, limit());
    if (bytes === 0 && isLast) return totals;
    for (const record of decodeRecords(buffer.subarray(0, bytes))) {
      if (record.kind === "exit" || record.kind === "closed") return totals;
      totals = addRecord(totals, record);
      if (totals.values >= number) return totals;
    }
    yield { position: reader.position, isWaiting: bytes === 0 };
  }
  return totals;
}

/** How many there are below the limit that there is now. */
function* countValues(options: SearchOptions): Generator<SearchProgress, number, void> {
  const { directory, job, limit } = options;
  const end = limit();
  const start = findSegment(options, ({ position }) => position < end);
  if (start === undefined) return 0;
  let { totals } = start;
  using reader = new LedgerReader(directory, job, totals.packets);
  const buffer = new Uint8Array(MAX_DATA_BYTES);
  for (let bytes = reader.read(buffer, end); bytes > 0; bytes = reader.read(buffer, end)) {
    for (const record of decodeRecords(buffer.subarray(0, bytes))) totals = addRecord(totals, record);
    yield { position: 0, isWaiting: false };
  }
  return totals.values;
}

/** The last segment that fits, or else the oldest that is still there; undefined while there is none. */
function findSegment(
  { directory, job }: SearchOptions,
  fits: (start: SegmentStart) => boolean,
): SegmentStart | undefined {
  let found: SegmentStart | undefined;
  for (const first of listSegments(directory).reverse()) {
    const start = findSegmentStart(directory, job, first);
    if (start === undefined) continue;
    found = start;
    if (fits(start)) break;
  }
  return found;
}
