import { closeSync, openSync } from "node:fs";
import type { JobId } from "../protocol/id.ts";
import { MAX_DATA_BYTES } from "../protocol/limits.ts";
import { LedgerReader } from "./reader.ts";
import { listSegments, readSegmentHeader, segmentPath } from "./segment.ts";

/** The first packet that begins at or behind a position of a ledger, of those that are still there. */
export function locatePacket(directory: string, job: JobId, position: number): number {
  const firsts = listSegments(directory);
  const first = firsts.findLast((first) => (findPosition(directory, job, first) ?? position) < position);
  if (first === undefined) return firsts[0] ?? 0;
  using reader = new LedgerReader(directory, job, first);
  const buffer = new Uint8Array(MAX_DATA_BYTES);
  while (reader.read(buffer, position) > 0);
  return reader.position < position ? reader.next + 1 : reader.next;
}

/** Where a segment begins; undefined for one that is gone or damaged. */
function findPosition(directory: string, job: JobId, first: number): number | undefined {
  let fd: number;
  try {
    fd = openSync(segmentPath(directory, first), "r");
  } catch {
    return undefined; // unlinked since the listing
  }
  try {
    return readSegmentHeader(fd, job)?.position;
  } finally {
    closeSync(fd);
  }
}
