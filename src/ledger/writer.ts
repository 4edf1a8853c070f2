import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  rmSync,
  unlinkSync,
  writeSync,
  writevSync,
} from "node:fs";
import type { JobId } from "../protocol/id.ts";
import { MAX_RECORD_BYTES, MAX_SEGMENT_BYTES, MIN_SEGMENT_BYTES } from "../protocol/limits.ts";
import {
  type Closed,
  type Exit,
  encodeRecord,
  NO_TOTALS,
  RECORD_HEADER_BYTES,
  type Totals,
  writeRecordHeader,
} from "../protocol/packet.ts";
import type { SaidValue } from "../protocol/said.ts";
import type { TerminalSize } from "../protocol/terminal.ts";
import {
  encodeSegmentHeader,
  listSegments,
  readSegmentHeader,
  SEGMENT_HEADER_BYTES,
  scanSegment,
  segmentPath,
  type SegmentStart,
} from "./segment.ts";

export interface LedgerWriterOptions {
  /** Bytes of output to keep; undefined for all. */
  readonly keepBytes: number | undefined;
  /** Microseconds since the job's start. */
  readonly clock: () => number;
  /** The position below which no holder needs anything any more; segments above it are never unlinked. */
  readonly released: () => number;
}

/**
 * Appends a job's packets to segments that are never rewritten, and unlinks the oldest when the budget is reached.
 * Each append throws the system's error (ENOSPC) with nothing counted, so that it can be tried again.
 */
export class LedgerWriter implements Disposable {
  readonly #directory: string;
  readonly #job: JobId;
  readonly #options: LedgerWriterOptions;
  #segmentBytes: number;
  readonly #header = new Uint8Array(RECORD_HEADER_BYTES);
  readonly #headerView = new DataView(this.#header.buffer);
  /** Whether the last that was said is a part, which what follows continues. */
  #isWithin = false;
  /** Where values are put together that are written at once; most jobs say none. */
  #batch: Uint8Array | undefined;
  /** Segments on disk, oldest first; the last one is open. */
  readonly #segments: SegmentStart[];
  #fd: number;
  #totals: Totals;
  #position: number;
  /** What was said before the first packet that could not be written and is not yet marked as missing. */
  #missing: Totals | undefined;

  private constructor(
    directory: string,
    job: JobId,
    options: LedgerWriterOptions,
    state: { fd: number; segments: SegmentStart[]; totals: Totals; position: number },
  ) {
    this.#directory = directory;
    this.#job = job;
    this.#options = options;
    this.#segmentBytes = segmentBytes(options.keepBytes);
    this.#fd = state.fd;
    this.#segments = state.segments;
    this.#totals = state.totals;
    this.#position = state.position;
  }

  /** Opens an empty ledger in a directory that was just claimed. */
  static create(directory: string, job: JobId, options: LedgerWriterOptions): LedgerWriter {
    return LedgerWriter.#begin(directory, job, options, { totals: NO_TOTALS, position: 0 });
  }

  static #begin(
    directory: string,
    job: JobId,
    options: LedgerWriterOptions,
    start: SegmentStart,
  ): LedgerWriter {
    const fd = openSegment(directory, job, start);
    return new LedgerWriter(directory, job, options, { fd, segments: [start], ...start });
  }

  /**
   * Opens the ledger of a dead keeper's job behind its last whole packet. A torn tail is cut, and a segment that was never
   * begun properly removed; what is longer than that is damage: it stays as it is, and the ledger goes on in a new segment.
   */
  static recover(directory: string, job: JobId, options: LedgerWriterOptions): LedgerWriter {
    /** What newer segments take that cannot be read: packets up to here at least, and bytes. */
    const unread = { packets: 0, bytes: 0 };
    for (const first of listSegments(directory).reverse()) {
      const path = segmentPath(directory, first);
      const fd = openSync(path, "r+");
      const { size } = fstatSync(fd);
      const start = readSegmentHeader(fd, job);
      if (start !== undefined) {
        const { totals, bytes } = scanSegment(fd, start);
        const position = start.position + bytes;
        const rest = size - SEGMENT_HEADER_BYTES - bytes;
        if (rest >= MAX_RECORD_BYTES || unread.packets > 0) {
          closeSync(fd);
          const next = { totals: { ...totals, packets: totals.packets + 1 }, position: position + rest };
          return LedgerWriter.#begin(directory, job, options, toBehind(next, unread));
        }
        ftruncateSync(fd, size - rest);
        return new LedgerWriter(directory, job, options, { fd, segments: [start], totals, position });
      }
      closeSync(fd);
      if (size <= SEGMENT_HEADER_BYTES) unlinkSync(path);
      else {
        unread.packets = Math.max(unread.packets, first + 1);
        unread.bytes += size;
      }
    }
    return LedgerWriter.#begin(directory, job, options, toBehind({ totals: NO_TOTALS, position: 0 }, unread));
  }

  /** What was said so far. */
  get totals(): Totals {
    return this.#totals;
  }

  /** Bytes of records in all segments there ever were: where the next record begins. */
  get position(): number {
    return this.#position;
  }

  /** Appends one packet of output, at most 64 KiB. */
  append(stream: "stdout" | "stderr", bytes: Uint8Array): void {
    this.#markGap();
    this.#makeRoom(RECORD_HEADER_BYTES + bytes.length);
    writeRecordHeader(this.#headerView, stream, this.#stamp(), bytes);
    this.#write([this.#header, bytes]);
    this.#totals = said(this.#totals, stream, bytes.length);
  }

  /** Appends values, or parts of them, one packet each: all, or where that throws none. They are at most 64 KiB of records. */
  say(pieces: readonly SaidValue[]): void {
    this.#markGap();
    const length = pieces.reduce((sum, { payload }) => sum + RECORD_HEADER_BYTES + payload.length, 0);
    this.#makeRoom(length);
    const batch = (this.#batch ??= new Uint8Array(MAX_RECORD_BYTES));
    let [start, { number, at }] = [0, this.#stamp()];
    let continues = this.#isWithin;
    for (const { kind, payload } of pieces) {
      writeRecordHeader(this.#headerView, kind, { number: number++, at, continues }, payload);
      continues = kind === "part";
      batch.set(this.#header, start);
      batch.set(payload, start + RECORD_HEADER_BYTES);
      start += RECORD_HEADER_BYTES + payload.length;
    }
    this.#write([batch.subarray(0, length)]);
    this.#count(pieces);
  }

  /** Counts values that the disk had no room for; a gap will stand in their place. */
  skipSaid(pieces: readonly SaidValue[]): void {
    this.#missing ??= this.#totals;
    this.#count(pieces);
  }

  /** Counts a packet of output that the disk had no room for; a gap will stand in its place. */
  skip(stream: "stdout" | "stderr", bytes: Uint8Array): void {
    this.#missing ??= this.#totals;
    this.#totals = said(this.#totals, stream, bytes.length);
  }

  /** Appends that the program's terminal has another size from here on. */
  resize(size: TerminalSize): void {
    this.#record("resize", () => size);
  }

  /** Appends the exit, and answers it with what was said before it. */
  exit(body: Omit<Exit, "totals">): Exit {
    return this.#record("exit", (totals) => ({ ...body, totals }));
  }

  /** Appends the close, after which nothing may follow. */
  close(exit: Exit): void {
    this.#record("closed", (totals) => ({ exit, totals }));
  }

  #count(pieces: readonly SaidValue[]): void {
    this.#totals = afterSaying(this.#totals, pieces);
    this.#isWithin = pieces.at(-1)?.kind === "part";
  }

  #record<B extends TerminalSize | Exit | Closed>(
    kind: "resize" | "exit" | "closed",
    toBody: (totals: Totals) => B,
  ): B {
    this.#markGap();
    const body = toBody(this.#totals);
    const record = encodeRecord(kind, this.#stamp(), body);
    this.#makeRoom(record.length);
    this.#write([record]);
    this.#totals = { ...this.#totals, packets: this.#totals.packets + 1 };
    return body;
  }

  /**
   * Drops the oldest output until at most `bytes` are left, as far as no holder needs it: if it must be, all that was said
   * so far. From then on segments are small enough to lose less the next time. Throws the system's error when there is no
   * room to go on in a new one.
   */
  trim(bytes: number): void {
    this.#segmentBytes = Math.min(this.#segmentBytes, segmentBytes(bytes));
    this.#dropOldest(bytes);
    const { position } = this.#segments.at(-1) as SegmentStart;
    if (this.#position - position <= bytes) return;
    this.#rotate();
    this.#dropOldest(bytes);
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  #stamp() {
    return { number: this.#totals.packets, at: this.#options.clock() };
  }

  #markGap(): void {
    if (this.#missing === undefined) return;
    const body = { next: this.#totals.packets, totals: this.#totals };
    const record = encodeRecord("gap", { number: this.#missing.packets, at: this.#options.clock() }, body);
    this.#makeRoom(record.length);
    this.#write([record]);
    this.#missing = undefined;
  }

  #write(parts: Uint8Array[]): void {
    const { position: start } = this.#segments.at(-1) as SegmentStart;
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    const offset = SEGMENT_HEADER_BYTES + this.#position - start;
    let written = writevSync(this.#fd, parts, offset);
    // A short write means that the disk is nearly full: the rest then says so by throwing.
    if (written < length) {
      const whole = Buffer.concat(parts);
      try {
        while (written < length)
          written += writeSync(this.#fd, whole, written, length - written, offset + written);
      } catch (error) {
        // The next try may begin a new segment, and a torn record before that would stop every reader.
        ftruncateSync(this.#fd, offset);
        throw error;
      }
    }
    this.#position += length;
  }

  #makeRoom(length: number): void {
    const { position: start } = this.#segments.at(-1) as SegmentStart;
    if (this.#position === start || this.#position + length - start <= this.#segmentBytes) return;
    this.#rotate();
    this.#dropOldest(this.#options.keepBytes);
  }

  #rotate(): void {
    const segment = { totals: this.#missing ?? this.#totals, position: this.#position };
    const fd = openSegment(this.#directory, this.#job, segment);
    closeSync(this.#fd);
    this.#fd = fd;
    this.#segments.push(segment);
  }

  #dropOldest(keepBytes = Number.POSITIVE_INFINITY): void {
    const { released } = this.#options;
    for (;;) {
      const [oldest, second] = this.#segments;
      if (oldest === undefined || second === undefined) return;
      if (this.#position - oldest.position <= keepBytes || second.position > released()) return;
      // One that somebody else removed is as gone as it should be; an error here would end the budget for good.
      rmSync(segmentPath(this.#directory, oldest.totals.packets), { force: true });
      this.#segments.shift();
    }
  }
}

function said(totals: Totals, stream: "stdout" | "stderr", bytes: number): Totals {
  return {
    packets: totals.packets + 1,
    values: totals.values,
    stdoutBytes: totals.stdoutBytes + (stream === "stdout" ? bytes : 0),
    stderrBytes: totals.stderrBytes + (stream === "stderr" ? bytes : 0),
  };
}

function afterSaying(totals: Totals, pieces: readonly SaidValue[]): Totals {
  return {
    ...totals,
    packets: totals.packets + pieces.length,
    values: totals.values + pieces.filter(({ kind }) => kind === "value").length,
  };
}

/** Where a segment begins whose number no other has, behind what cannot be read. */
function toBehind(
  { totals, position }: SegmentStart,
  unread: { packets: number; bytes: number },
): SegmentStart {
  const packets = Math.max(totals.packets, unread.packets);
  return { totals: { ...totals, packets }, position: position + unread.bytes };
}

function segmentBytes(keepBytes: number | undefined): number {
  if (keepBytes === undefined) return MAX_SEGMENT_BYTES;
  return Math.min(MAX_SEGMENT_BYTES, Math.max(MIN_SEGMENT_BYTES, Math.floor(keepBytes / 8)));
}

function openSegment(directory: string, job: JobId, start: SegmentStart): number {
  const path = segmentPath(directory, start.totals.packets);
  const fd = openSync(path, "w", 0o600);
  try {
    if (writeSync(fd, encodeSegmentHeader(job, start)) < SEGMENT_HEADER_BYTES)
      throw Object.assign(new Error("No space left"), { code: "ENOSPC" });
    return fd;
  } catch (error) {
    closeSync(fd);
    unlinkSync(path);
    throw error;
  }
}
