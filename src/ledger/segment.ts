import { closeSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { AppError } from "../protocol/error.ts";
import type { JobId } from "../protocol/id.ts";
import { MAX_DATA_BYTES } from "../protocol/limits.ts";
import {
  addRecord,
  decodeRecords,
  getUint64,
  type RawRecord,
  setUint64,
  type Totals,
} from "../protocol/packet.ts";

import { findBehind, findRun } from "./intact.ts";
import { toErrorCode } from "../lib/error-code.ts";

/**
 * A segment's header, big-endian: "FHLEDGER" · format u16 · zero u16 u32 · job id (16 bytes) · first packet u64 ·
 * position u64 · values u64 · stdout bytes u64 · stderr bytes u64 · CRC-32 of the above u32 · zero u32.
 */
export const SEGMENT_HEADER_BYTES = 80;
const MAGIC = "FHLEDGER";
const FORMAT = 1;
const CRC_OFFSET = 72;
/** Whatever else lies in the directory is none. */
const SEGMENT_NAME = /^\d{16}\.seg$/;

/** Where a segment begins: what its ledger said before it, and at which position (bytes of records before it). */
export interface SegmentStart {
  readonly totals: Totals;
  readonly position: number;
}

export function encodeSegmentHeader(job: JobId, { totals, position }: SegmentStart): Uint8Array {
  const header = new Uint8Array(SEGMENT_HEADER_BYTES);
  const view = new DataView(header.buffer);
  header.set(new TextEncoder().encode(MAGIC));
  view.setUint16(8, FORMAT);
  header.set(Buffer.from(job.replaceAll("-", ""), "hex"), 16);
  setUint64(view, 32, totals.packets);
  setUint64(view, 40, position);
  setUint64(view, 48, totals.values);
  setUint64(view, 56, totals.stdoutBytes);
  setUint64(view, 64, totals.stderrBytes);
  view.setUint32(CRC_OFFSET, Bun.hash.crc32(header.subarray(0, CRC_OFFSET)));
  return header;
}

/** Reads the header of an open segment, or answers undefined when it is cut off, damaged or of another job. */
export function readSegmentHeader(fd: number, job: JobId): SegmentStart | undefined {
  const header = new Uint8Array(SEGMENT_HEADER_BYTES);
  if (readSync(fd, header, 0, SEGMENT_HEADER_BYTES, 0) < SEGMENT_HEADER_BYTES) return undefined;
  const view = new DataView(header.buffer);
  const intact =
    new TextDecoder().decode(header.subarray(0, 8)) === MAGIC &&
    view.getUint16(8) === FORMAT &&
    Buffer.from(header.subarray(16, 32)).toString("hex") === job.replaceAll("-", "") &&
    view.getUint32(CRC_OFFSET) === Bun.hash.crc32(header.subarray(0, CRC_OFFSET));
  if (!intact) return undefined;
  return {
    totals: {
      packets: getUint64(view, 32),
      values: getUint64(view, 48),
      stdoutBytes: getUint64(view, 56),
      stderrBytes: getUint64(view, 64),
    },
    position: getUint64(view, 40),
  };
}

/** The same of one that is not open; undefined also for one that is gone. */
export function findSegmentStart(directory: string, job: JobId, first: number): SegmentStart | undefined {
  let fd: number;
  try {
    fd = openSync(segmentPath(directory, first), "r");
  } catch {
    return undefined; // unlinked since the listing
  }
  try {
    return readSegmentHeader(fd, job);
  } finally {
    closeSync(fd);
  }
}

/** What a segment says, as far as it can be read. */
export interface SegmentScan {
  /** What the job had said after the last intact record. */
  readonly totals: Totals;
  /** Bytes of records up to the end of that. */
  readonly bytes: number;
  /** The first packet that cannot be read though others behind it can; undefined if nothing but a tail is missing. */
  readonly damagedAt: number | undefined;
}

/** Reads a segment up to its last whole and intact record, passing over broken ones. */
export function scanSegment(
  fd: number,
  start: SegmentStart,
  look: (record: RawRecord) => void = () => {},
): SegmentScan {
  const buffer = new Uint8Array(MAX_DATA_BYTES);
  let { totals } = start;
  let number = totals.packets;
  let damagedAt: number | undefined;
  for (let bytes = 0; ;) {
    const read = buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, SEGMENT_HEADER_BYTES + bytes));
    const { end, next } = findRun(read, number);
    for (const record of decodeRecords(read.subarray(0, end))) {
      look(record);
      totals = addRecord(totals, record);
    }
    const behind = end === 0 ? findBehind(read, number) : undefined;
    if (end === 0 && behind === undefined) return { totals, bytes, damagedAt };
    if (behind !== undefined) damagedAt ??= number;
    bytes += behind?.start ?? end;
    number = behind?.number ?? next;
  }
}

/** A segment's file: named by its first packet, so that a listing is the ledger's table of contents. */
export function segmentPath(directory: string, firstPacket: number): string {
  return join(directory, `${String(firstPacket).padStart(16, "0")}.seg`);
}

/** First packets of the segments that exist, in order. Throws `not_found` when the whole ledger was removed. */
export function listSegments(directory: string): number[] {
  return list(directory)
    .filter((name) => SEGMENT_NAME.test(name))
    .map((name) => Number.parseInt(name, 10))
    .sort((a, b) => a - b);
}

/** Bytes that a ledger takes with everything in its directory, and in how many segments. */
export function measureLedger(directory: string): { readonly bytes: number; readonly segments: number } {
  const names = list(directory);
  const sizes = names.map((name) => statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0);
  return {
    bytes: sizes.reduce((sum, size) => sum + size, 0),
    segments: names.filter((name) => name.endsWith(".seg")).length,
  };
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (cause) {
    if (toErrorCode(cause) !== "ENOENT") throw cause;
    throw new AppError("not_found", `Cannot read job ${basename(directory)}: its record was removed`, {
      cause,
    });
  }
}
