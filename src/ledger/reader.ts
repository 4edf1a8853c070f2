import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { AppError } from "../protocol/error.ts";
import type { JobId } from "../protocol/id.ts";
import { MAX_DATA_BYTES } from "../protocol/limits.ts";
import { decodeRecords, encodeRecord, peekRecord, toPacket } from "../protocol/packet.ts";
import { findBehind, findRun, type IntactRun } from "./intact.ts";
import {
  listSegments,
  readSegmentHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentStart,
  segmentPath,
} from "./segment.ts";
import { toErrorCode } from "../lib/error-code.ts";

interface OpenSegment extends SegmentStart {
  readonly fd: number;
}

/** What was read, and what of it can be used. */
interface Look extends IntactRun {
  readonly bytes: Uint8Array;
  /** Whether more was asked for than the segment has. */
  readonly isShort: boolean;
}

/**
 * Reads whole records of a ledger from some packet on, while it grows. Where the oldest segments are gone it gives one
 * gap instead; it gives nothing that it has not checked. It never holds more than the segment it reads; that one stays
 * readable after it is unlinked.
 */
export class LedgerReader implements Disposable {
  readonly #directory: string;
  readonly #job: JobId;
  /** The next packet wanted. */
  #next: number;
  #segment: OpenSegment | undefined;
  #position = 0;
  /** The packet that begins there. */
  #number = 0;
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
   * yet, or when `target` is smaller than the next one. Throws `incomplete_output` when the ledger is damaged, after
   * everything before the damage was read.
   */
  read(target: Uint8Array, limit: number): number {
    for (;;) {
      if (this.#seeking) this.seek(limit);
      if (this.#gap !== undefined) return this.#takeGap(target, this.#gap);
      if (this.#seeking) return 0;
      const look = this.#look(target, limit);
      if (look.end > 0) return this.#pass(look);
      const state = this.#judge(look, limit);
      if (state === "damaged") throw this.#damaged();
      if (state === "waiting") return 0;
      if (state === "ended") this.#leave();
    }
  }

  /** Moves to the first record wanted, so that `position` says where that is; less far if it is not written yet. */
  seek(limit: number): void {
    let buffer: Uint8Array | undefined;
    while (this.#seeking) {
      if (this.#segment === undefined) {
        if (!this.#enter()) return;
        continue;
      }
      if (limit <= this.#position) return;
      buffer ??= new Uint8Array(Math.min(MAX_DATA_BYTES, limit - this.#position));
      const look = this.#look(buffer, limit);
      if (look.end > 0) {
        this.#passUnwanted(look.bytes.subarray(0, look.end));
        continue;
      }
      if (look.isBroken && this.#passBroken(look.bytes)) continue;
      const state = this.#judge(look, limit);
      if (state === "damaged") this.#seeking = false; // reading then says so
      if (state === "waiting") return;
      if (state === "ended") this.#leave();
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
    const isBegun = () => fstatSync(fd).size >= SEGMENT_HEADER_BYTES;
    const wasBegun = isBegun(); // its keeper may write it in between
    const start = this.#attempt(() => readSegmentHeader(fd, this.#job), fd);
    if (start === undefined || start.totals.packets !== first) {
      using stack = new DisposableStack();
      stack.defer(() => closeSync(fd));
      // The newest may be one that is just being begun, or whose keeper died over it.
      if (!wasBegun && this.#findLater(first) === undefined) return false;
      if (wasBegun || !isBegun()) throw this.#damaged();
      return this.#search(); // it was the newest until just now
    }
    this.#segment = { ...start, fd };
    this.#position = start.position;
    this.#number = first;
    this.#seeking = first < this.#next;
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

  /** The next packet is in the segment that begins where this one ended. */
  #leave(): void {
    if (this.#segment === undefined) return;
    closeSync(this.#segment.fd);
    this.#left = this.#segment.totals.packets;
    this.#segment = undefined;
    this.#seeking = true;
  }

  #findLater(first: number): number | undefined {
    return listSegments(this.#directory).find((later) => later > first);
  }

  #look(target: Uint8Array, limit: number): Look {
    const room = Math.max(0, Math.min(target.length, limit - this.#position));
    const bytes = target.subarray(
      0,
      this.#attempt(() => this.#readSegment(target, room)),
    );
    return { bytes, isShort: bytes.length < room, ...findRun(bytes, this.#number) };
  }

  #readSegment(target: Uint8Array, room: number): number {
    if (this.#segment === undefined || room === 0) return 0;
    const { fd, position } = this.#segment;
    const offset = SEGMENT_HEADER_BYTES + this.#position - position;
    return readSync(fd, target, 0, room, offset);
  }

  #pass({ end, next }: IntactRun): number {
    this.#position += end;
    this.#number = this.#next = next;
    return end;
  }

  /** What is to be done about a segment in which no whole record comes next: only of the newest may one be written yet. */
  #judge({ bytes, isBroken, isShort }: Look, limit: number): "damaged" | "waiting" | "changed" | "ended" {
    if (isBroken) return "damaged";
    if (!isShort || this.#segment === undefined) return "waiting";
    const { fd, totals, position } = this.#segment;
    // What was told of is there, or it is gone.
    if (this.#findLater(totals.packets) === undefined) return Number.isFinite(limit) ? "damaged" : "waiting";
    // From here on nothing comes to it, but something may have until just now. Read, since its size says nothing of what can be.
    const seen = SEGMENT_HEADER_BYTES + this.#position - position + bytes.length;
    if (this.#attempt(() => readSync(fd, new Uint8Array(1), 0, 1, seen)) > 0) return "changed";
    if (bytes.length === 0) return "ended";
    // Or what was torn, on a full disk, was taken back.
    return this.#attempt(() => fstatSync(fd).size) < seen ? "changed" : "damaged";
  }

  /** Goes over intact records to the one wanted; what is left of a gap that it lies in is given as a gap of its own. */
  #passUnwanted(records: Uint8Array): void {
    for (let start = 0; start < records.length;) {
      const { end, next } = peekRecord(records, start);
      if (next > this.#next) {
        this.#seeking = false;
        if (this.#number < this.#next) this.#shorten(records.subarray(start, end));
        return;
      }
      this.#position += end - start;
      this.#number = next;
      start = end;
    }
  }

  #shorten(record: Uint8Array): void {
    for (const packet of [...decodeRecords(record)].map(toPacket)) {
      if (packet?.type !== "gap") continue;
      const { at, next, totals } = packet;
      this.#gap = encodeRecord("gap", { number: this.#next, at }, { next, totals });
      this.#position += record.length;
      this.#number = this.#next = next;
    }
  }

  /** Goes over a broken record that nobody asks for. False when it cannot, or that is what is wanted. */
  #passBroken(bytes: Uint8Array): boolean {
    const behind = findBehind(bytes, this.#number);
    if (behind === undefined || behind.number > this.#next) return false;
    this.#position += behind.start;
    this.#number = behind.number;
    return true;
  }

  #open(first: number): number | undefined {
    try {
      return openSync(segmentPath(this.#directory, first), "r");
    } catch (error) {
      if (toErrorCode(error) === "ENOENT") return undefined;
      throw this.#damaged(error);
    }
  }

  /** A disk that cannot be read is damage too. `fd` is closed then. */
  #attempt<T>(read: () => T, fd?: number): T {
    try {
      return read();
    } catch (error) {
      if (fd !== undefined) closeSync(fd);
      throw this.#damaged(error);
    }
  }

  #damaged(cause?: unknown): AppError {
    const behind = this.#findReadable();
    const advice = behind === undefined ? "" : `; it can be read again from packet ${behind} on`;
    return new AppError(
      "incomplete_output",
      `Cannot read on: the ledger of job ${this.#job} is damaged at packet ${this.#next}${advice}`,
      { cause, details: { packet: this.#next, ...(behind !== undefined && { behind }) } },
    );
  }

  /** The first packet behind the damage, if there is one. */
  #findReadable(): number | undefined {
    try {
      const buffer = new Uint8Array(MAX_DATA_BYTES);
      const bytes = buffer.subarray(0, this.#readSegment(buffer, buffer.length));
      return findBehind(bytes, this.#number)?.number ?? this.#findLater(this.#next);
    } catch {
      return undefined; // nothing is
    }
  }
}
