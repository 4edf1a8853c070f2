import { closeSync, openSync, readSync } from "node:fs";
import { AppError } from "../protocol/error.ts";
import type { JobId } from "../protocol/id.ts";
import { MAX_DATA_BYTES, MAX_RECORD_BYTES } from "../protocol/limits.ts";
import { encodeRecord, peekRecord, wholeRecords } from "../protocol/packet.ts";
import {
  listSegments,
  readSegmentHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentStart,
  segmentPath,
} from "./segment.ts";

interface OpenSegment extends SegmentStart {
  readonly fd: number;
}

/**
 * Reads whole records of a ledger from some packet on, while it grows. Where the oldest segments are gone it gives one
 * gap instead. It never holds more than the segment it reads; that one stays readable after it is unlinked.
 */
export class LedgerReader implements Disposable {
  readonly #directory: string;
  readonly #job: JobId;
  /** The next packet wanted. */
  #next: number;
  #segment: OpenSegment | undefined;
  #position = 0;
  /** The first packet of the segment that was left last: reading never goes back. */
  #left = -1;
  /** Until the next packet wanted is found. */
  #seeking = true;
  /** What stands in the place of packets that are gone, until it is read. */
  #gap: Uint8Array | undefined;

  constructor(directory: string, job: JobId, since: number) {
    this.#directory = directory;
    this.#job = job;
    this.#next = since;
  }

  /** The next packet that a read gives. */
  get next(): number {
    return this.#next;
  }

  /** Where in the ledger the next read begins. */
  get position(): number {
    return this.#position;
  }

  /**
   * Reads records that end at or below `limit` (a position) into `target`. Answers their bytes; 0 when there are none
   * yet, or when `target` is smaller than the next one. Throws `incomplete_output` when the ledger is damaged.
   */
  read(target: Uint8Array, limit: number): number {
    if (this.#seeking) this.seek(limit);
    if (this.#gap !== undefined) return this.#takeGap(target, this.#gap);
    if (this.#seeking) return 0;
    for (;;) {
      const { bytes, end, last } = this.#readWhole(target, limit);
      if (end > 0) {
        this.#position += end;
        this.#next = this.#peek(bytes, last).next;
        return end;
      }
      if (bytes.length > 0 || limit <= this.#position || !this.#leave()) return 0;
      if (!this.#enter()) return 0;
      if (this.#gap !== undefined) return this.#takeGap(target, this.#gap);
    }
  }

  /** Moves to the first record wanted, so that `position` says where that is; less far if it is not written yet. */
  seek(limit: number): void {
    let buffer: Uint8Array | undefined;
    while (this.#seeking) {
      if (this.#segment === undefined && !this.#enter()) return;
      if (limit <= this.#position) return;
      buffer ??= new Uint8Array(Math.min(MAX_DATA_BYTES, limit - this.#position));
      const { bytes, end } = this.#readWhole(buffer, limit);
      const skipped = this.#countBefore(bytes.subarray(0, end));
      this.#position += skipped;
      this.#seeking = skipped === end;
      if (end === 0 && (bytes.length > 0 || limit <= this.#position || !this.#leave())) return;
    }
  }

  [Symbol.dispose](): void {
    if (this.#segment !== undefined) closeSync(this.#segment.fd);
    this.#segment = undefined;
  }

  /** Opens the segment that holds the next packet, noting a gap if that one is gone. False if there is none. */
  #enter(): boolean {
    // Mostly it begins with that packet, and then there is no need to list them.
    const first = this.#next;
    const fd = this.#left < first ? this.#open(first) : undefined;
    return fd === undefined ? this.#search() : this.#begin(fd, first);
  }

  #search(): boolean {
    const firsts = listSegments(this.#directory).filter((first) => first > this.#left);
    const first = firsts.findLast((first) => first <= this.#next) ?? firsts[0];
    if (first === undefined) return false;
    const fd = this.#open(first);
    if (fd === undefined) return this.#search(); // unlinked since the listing
    return this.#begin(fd, first);
  }

  #begin(fd: number, first: number): boolean {
    const start = readSegmentHeader(fd, this.#job);
    if (start === undefined) {
      closeSync(fd);
      return false;
    }
    this.#segment = { ...start, fd };
    this.#position = start.position;
    if (first <= this.#next) return true;
    this.#gap = encodeRecord("gap", { number: this.#next, at: 0 }, { next: first, totals: start.totals });
    this.#next = first;
    return true;
  }

  #takeGap(target: Uint8Array, gap: Uint8Array): number {
    if (gap.length > target.length) return 0;
    this.#gap = undefined;
    target.set(gap);
    return gap.length;
  }

  /** Goes on to the segment that begins where this one ended; false when there is none. */
  #leave(): boolean {
    const { fd, totals } = this.#segment as OpenSegment;
    if (!this.#hasLater()) return false;
    closeSync(fd);
    this.#segment = undefined;
    this.#left = totals.packets;
    return true;
  }

  #hasLater(): boolean {
    const { totals } = this.#segment as OpenSegment;
    return listSegments(this.#directory).some((first) => first > totals.packets);
  }

  /** Reads what fits, and finds the whole records in it. Throws where there can never be a whole one. */
  #readWhole(target: Uint8Array, limit: number): { bytes: Uint8Array; end: number; last: number } {
    const bytes = this.#readSegment(target, limit);
    const whole = wholeRecords(bytes);
    const endsShort = bytes.length < Math.min(target.length, limit - this.#position);
    if (whole.end === 0 && bytes.length > 0) {
      // Only the newest segment may end in the middle of a record.
      if (bytes.length >= MAX_RECORD_BYTES || (endsShort && this.#hasLater())) throw this.#damaged();
    }
    return { bytes, ...whole };
  }

  #readSegment(target: Uint8Array, limit: number): Uint8Array {
    if (this.#segment === undefined) return target.subarray(0, 0);
    const room = Math.min(target.length, limit - this.#position);
    if (room <= 0) return target.subarray(0, 0);
    const offset = SEGMENT_HEADER_BYTES + this.#position - this.#segment.position;
    return target.subarray(0, readSync(this.#segment.fd, target, 0, room, offset));
  }

  /** The bytes of the records before the next packet wanted. */
  #countBefore(records: Uint8Array): number {
    let bytes = 0;
    while (bytes < records.length) {
      const { end, next } = this.#peek(records, bytes);
      if (next > this.#next) break;
      bytes = end;
    }
    return bytes;
  }

  #peek(records: Uint8Array, start: number): ReturnType<typeof peekRecord> {
    try {
      return peekRecord(records, start);
    } catch (cause) {
      throw this.#damaged(cause);
    }
  }

  #open(first: number): number | undefined {
    try {
      return openSync(segmentPath(this.#directory, first), "r");
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
      throw error;
    }
  }

  #damaged(cause?: unknown): AppError {
    return new AppError(
      "incomplete_output",
      `Cannot read on: the ledger of job ${this.#job} is damaged at packet ${this.#next}`,
      { cause },
    );
  }
}
