import { closeSync, openSync } from "node:fs";
import type { JobId } from "../protocol/id.ts";
import { type Exit, type RawRecord, toPacket } from "../protocol/packet.ts";
import { listSegments, readSegmentHeader, scanSegment, segmentPath } from "./segment.ts";

/** What a ledger says of how its job ended. */
export interface Ending {
  readonly exit: Exit | undefined;
  readonly closed: boolean;
  /** The number after the last packet. */
  readonly next: number;
  /** Where that packet begins, or will: bytes of records before it. */
  readonly position: number;
}

/**
 * Looks for the exit and the close, from the newest segment back, and in so many of them at most: output may follow the
 * exit, which the close repeats.
 */
export function findEnding(
  directory: string,
  job: JobId,
  segments: number = Number.POSITIVE_INFINITY,
): Ending {
  let closed = false;
  let next = 0;
  let position = 0;
  let scanned = 0;
  for (const first of listSegments(directory).reverse()) {
    let exit: Exit | undefined;
    const look = (record: RawRecord) => {
      if (record.kind !== "exit" && record.kind !== "closed") return;
      const packet = toPacket(record);
      if (packet?.type === "closed") [closed, exit] = [true, packet.exit];
      if (packet?.type === "exit") {
        const { outcome, totals, usage, endedAt } = packet;
        exit = { outcome, totals, ...(usage && { usage }), endedAt };
      }
    };
    const fd = openSync(segmentPath(directory, first), "r");
    try {
      const start = readSegmentHeader(fd, job);
      if (start !== undefined) {
        const { totals, bytes } = scanSegment(fd, start, look);
        next = Math.max(next, totals.packets);
        position = Math.max(position, start.position + bytes);
        scanned++;
      }
    } finally {
      closeSync(fd);
    }
    if (exit !== undefined || scanned >= segments) return { exit, closed, next, position };
  }
  return { exit: undefined, closed, next, position };
}
