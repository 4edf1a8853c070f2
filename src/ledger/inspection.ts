import { closeSync, fstatSync, openSync } from "node:fs";
import type { JobId } from "../protocol/id.ts";
import { MAX_RECORD_BYTES } from "../protocol/limits.ts";
import {
  listSegments,
  readSegmentHeader,
  SEGMENT_HEADER_BYTES,
  scanSegment,
  segmentPath,
} from "./segment.ts";

/** Packets that a ledger has lost: from `packet` on up to `behind`, or to its end. */
export interface LedgerFault {
  readonly packet: number;
  readonly behind?: number;
}

/**
 * Reads a whole ledger and says what is missing in it, in order. That its oldest segments are gone is no fault, nor is a
 * torn tail of one that is not complete.
 */
export function inspectLedger(directory: string, job: JobId, isComplete: boolean): LedgerFault[] {
  const firsts = listSegments(directory);
  const faults: LedgerFault[] = [];
  let next: number | undefined;
  for (const [index, first] of firsts.entries()) {
    if (next !== undefined && next < first) faults.push({ packet: next, behind: first });
    const isNewest = index === firsts.length - 1;
    const found = inspectSegment(segmentPath(directory, first), job, isNewest && !isComplete);
    if (found === undefined) faults.push({ packet: first, ...behind(firsts[index + 1]) });
    else if (found.damagedAt !== undefined) faults.push({ packet: found.damagedAt });
    next = found === undefined ? firsts[index + 1] : found.next;
  }
  if (firsts.length === 0) faults.push({ packet: 0 });
  return faults;
}

const behind = (packet: number | undefined) => packet !== undefined && { behind: packet };

/** The packet after a segment's last, and its first damage; undefined if nothing of it can be read. */
function inspectSegment(
  path: string,
  job: JobId,
  mayBeTorn: boolean,
): { readonly next: number; readonly damagedAt: number | undefined } | undefined {
  const fd = openSync(path, "r");
  try {
    const start = readSegmentHeader(fd, job);
    if (start === undefined) return undefined;
    const { totals, bytes, damagedAt } = scanSegment(fd, start);
    const rest = fstatSync(fd).size - SEGMENT_HEADER_BYTES - bytes;
    const isTorn = rest > 0 && !(mayBeTorn && rest < MAX_RECORD_BYTES);
    return { next: totals.packets, damagedAt: damagedAt ?? (isTorn ? totals.packets : undefined) };
  } finally {
    closeSync(fd);
  }
}
