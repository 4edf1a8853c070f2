import type { JobId } from "../protocol/id.ts";
import { MAX_DATA_BYTES } from "../protocol/limits.ts";
import { LedgerReader } from "./reader.ts";
import { findSegmentStart, listSegments } from "./segment.ts";

/** The first packet that begins at or behind a position of a ledger, of those that are still there. */
export function locatePacket(directory: string, job: JobId, position: number): number {
  const firsts = listSegments(directory);
  const first = firsts.findLast(
    (first) => (findSegmentStart(directory, job, first)?.position ?? position) < position,
  );
  if (first === undefined) return firsts[0] ?? 0;
  using reader = new LedgerReader(directory, job, first);
  const buffer = new Uint8Array(MAX_DATA_BYTES);
  while (reader.read(buffer, position) > 0);
  return reader.position < position ? reader.next + 1 : reader.next;
}
