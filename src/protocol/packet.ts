import * as v from "valibot";
import { decodeValue } from "./cbor/payload.ts";
import { AppError } from "./error.ts";
import { parseForeignJson } from "./json.ts";
import { MAX_PAYLOAD_BYTES } from "./limits.ts";
import { type Outcome, RecordedOutcome } from "./outcome.ts";
import { TerminalSize } from "./terminal.ts";

/**
 * A record, in a ledger and in a data frame alike, all integers big-endian:
 * length of payload u32 · CRC-32 (IEEE 802.3) of all that follows u32 · kind u8 · continues u8 (0 or 1) · zero u16 ·
 * packet number u64 · microseconds since the job's start u64 · payload.
 */
export const RECORD_HEADER_BYTES = 28;
const CRC_START = 8;

const KINDS = { stdout: 1, stderr: 2, value: 3, resize: 4, part: 5, gap: 7, exit: 8, closed: 9 } as const;
export type PacketKind = keyof typeof KINDS;
const KIND_NAMES = new Map<number, PacketKind>(
  Object.entries(KINDS).map(([name, kind]) => [kind, name as PacketKind]),
);

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** What a job has said before some packet: packets, streamed values, and bytes of each stream. */
export const Totals = v.object({ packets: count, values: count, stdoutBytes: count, stderrBytes: count });
export type Totals = v.InferOutput<typeof Totals>;
export const NO_TOTALS: Totals = { packets: 0, values: 0, stdoutBytes: 0, stderrBytes: 0 };

/** Packets are missing: reading goes on at `next`, before which the job had said `totals`. */
export const Gap = v.object({ next: count, totals: Totals });
export type Gap = v.InferOutput<typeof Gap>;

/** What a process took, and those that it waited for. */
export const Usage = v.object({
  userMs: v.number(),
  systemMs: v.number(),
  /** Of the largest process; absent where it is less than the keeper itself takes, as it cannot be told then. */
  maxRssBytes: v.optional(v.number()),
});

/** The process is reaped. `totals` counts everything before this packet; usage is of the process and what it reaped. */
export const Exit = v.object({
  outcome: RecordedOutcome,
  totals: Totals,
  usage: v.optional(Usage),
  endedAt: v.string(),
});
export type Exit = v.InferOutput<typeof Exit>;

/** Nobody holds the job's pipes any more; the last packet. It repeats the exit, which later output may have pushed out. */
export const Closed = v.object({ totals: Totals, exit: Exit });
export type Closed = v.InferOutput<typeof Closed>;

interface Stamp {
  readonly number: number;
  /** Microseconds since the job's start, monotonic. */
  readonly at: number;
}

/** What the header of a record tells besides its kind. */
interface Heading extends Stamp {
  /** A value, or a part of one, whose beginning is in parts before it (default: it has none). */
  readonly continues?: boolean;
}

/** What all see alike. */
type Common =
  | { readonly type: "stdout" | "stderr"; readonly bytes: Uint8Array }
  /** `index`: how many values the job had said before it, where the reader knows that. */
  | { readonly type: "value"; readonly value: unknown; readonly index?: number }
  | ({ readonly type: "resize" } & TerminalSize)
  | ({ readonly type: "gap" } & Gap);

/** One entry of a ledger. */
export type RecordedPacket = Stamp &
  (
    | Common
    /** The beginning of a value that takes more than one packet. */
    | { readonly type: "part"; readonly bytes: Uint8Array }
    | ({ readonly type: "exit" } & Exit)
    | ({ readonly type: "closed" } & Closed)
  );

/** An exit as whoever reads the job sees it. */
export type SeenExit = Omit<Exit, "outcome"> & { readonly outcome: Outcome };

/** The same as whoever reads a job sees it: a value in several packets is one, which has the number of the last. */
export type Packet = Stamp &
  (
    | Common
    | ({ readonly type: "exit" } & SeenExit)
    | ({ readonly type: "closed" } & Omit<Closed, "exit"> & { readonly exit: SeenExit })
  );

/** Writes a record's header for `payload` at the beginning of `target`, which has room for it. */
export function writeRecordHeader(
  target: DataView,
  kind: PacketKind,
  { number, at, continues = false }: Heading,
  payload: Uint8Array,
): void {
  target.setUint32(0, payload.length);
  target.setUint32(8, (KINDS[kind] << 24) | (continues ? 1 << 16 : 0));
  setUint64(target, 12, number);
  setUint64(target, 20, at);
  const header = new Uint8Array(target.buffer, target.byteOffset, RECORD_HEADER_BYTES);
  target.setUint32(4, Bun.hash.crc32(payload, Bun.hash.crc32(header.subarray(CRC_START))));
}

/** One whole record with a JSON payload: a value, a new size of the terminal, a gap, the exit or the close. */
export function encodeRecord(
  kind: "value" | "resize" | "gap" | "exit" | "closed",
  stamp: Stamp,
  body: unknown,
): Uint8Array {
  return encodePayload(kind, stamp, new TextEncoder().encode(JSON.stringify(body)));
}

/** One whole record. */
export function encodePayload(kind: PacketKind, heading: Heading, payload: Uint8Array): Uint8Array {
  const record = new Uint8Array(RECORD_HEADER_BYTES + payload.length);
  record.set(payload, RECORD_HEADER_BYTES);
  writeRecordHeader(new DataView(record.buffer), kind, heading, payload);
  return record;
}

/** What can be told of the record at `start` without checking it: where it ends, and which packet follows it. */
export function peekRecord(
  bytes: Uint8Array,
  start: number,
): { readonly end: number; readonly next: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const payload = start + RECORD_HEADER_BYTES;
  const end = payload + view.getUint32(start);
  const isGap = view.getUint8(start + CRC_START) === KINDS.gap;
  return {
    end,
    next: isGap ? parseBody(Gap, bytes.subarray(payload, end)).next : getUint64(view, start + 12) + 1,
  };
}

/**
 * The record at `start`: where it ends, its number, and which packet follows it. "cut" when it is not all there, "broken"
 * when what is there can be no record.
 */
export function checkRecord(
  view: DataView,
  start: number,
): { readonly end: number; readonly number: number; readonly next: number } | "cut" | "broken" {
  if (view.byteLength - start < RECORD_HEADER_BYTES) return "cut";
  const length = view.getUint32(start);
  if (length > MAX_PAYLOAD_BYTES) return "broken";
  const end = start + RECORD_HEADER_BYTES + length;
  if (end > view.byteLength) return "cut";
  const checked = new Uint8Array(view.buffer, view.byteOffset + start + CRC_START, end - start - CRC_START);
  if (Bun.hash.crc32(checked) !== view.getUint32(start + 4)) return "broken";
  const number = getUint64(view, start + 12);
  if (view.getUint8(start + CRC_START) !== KINDS.gap) return { end, number, next: number + 1 };
  const next = findNext(checked.subarray(RECORD_HEADER_BYTES - CRC_START));
  return next !== undefined && next > number ? { end, number, next } : "broken";
}

function findNext(payload: Uint8Array): number | undefined {
  try {
    return parseBody(Gap, payload).next;
  } catch {
    return undefined; // no gap that any version wrote
  }
}

/** A record whose checksum holds, its payload not yet read. `kind` is undefined for one that a newer version wrote. */
export interface RawRecord extends Heading {
  readonly kind: PacketKind | undefined;
  readonly payload: Uint8Array;
}

/** Reads whole records. Throws `protocol_error` on one that is cut off, too long or whose checksum is wrong. */
export function* decodeRecords(bytes: Uint8Array): Generator<RawRecord, void, void> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let start = 0; start < bytes.length;) {
    const length = bytes.length - start < RECORD_HEADER_BYTES ? Number.NaN : view.getUint32(start);
    const end = start + RECORD_HEADER_BYTES + length;
    if (!(length <= MAX_PAYLOAD_BYTES && end <= bytes.length)) throw broken("has a wrong length");
    const checked = bytes.subarray(start + CRC_START, end);
    if (Bun.hash.crc32(checked) !== view.getUint32(start + 4)) throw broken("has a wrong checksum");
    yield {
      kind: KIND_NAMES.get(view.getUint8(start + 8)),
      continues: view.getUint8(start + 9) === 1,
      number: getUint64(view, start + 12),
      at: getUint64(view, start + 20),
      payload: bytes.subarray(start + RECORD_HEADER_BYTES, end),
    };
    start = end;
  }
}

/** What a record says, or undefined for a kind that this version does not know. */
export function toPacket({ kind, number, at, payload }: RawRecord): RecordedPacket | undefined {
  switch (kind) {
    case undefined:
      return undefined;
    case "stdout":
    case "stderr":
    case "part":
      return { type: kind, number, at, bytes: payload };
    case "value":
      return { type: kind, number, at, value: decodeValue(payload) };
    case "resize":
      return { type: kind, number, at, ...parseBody(TerminalSize, payload) };
    case "gap":
      return { type: kind, number, at, ...parseBody(Gap, payload) };
    case "exit":
      return { type: kind, number, at, ...parseBody(Exit, payload) };
    case "closed":
      return { type: kind, number, at, ...parseBody(Closed, payload) };
  }
}

/** The totals after a record, given those before it. */
export function addRecord(totals: Totals, { kind, number, payload }: RawRecord): Totals {
  if (kind === "gap") return parseBody(Gap, payload).totals;
  return {
    packets: number + 1,
    values: totals.values + (kind === "value" ? 1 : 0),
    stdoutBytes: totals.stdoutBytes + (kind === "stdout" ? payload.length : 0),
    stderrBytes: totals.stderrBytes + (kind === "stderr" ? payload.length : 0),
  };
}

/** Numbers stay below 2^53, so two halves are exact; a BigInt for each would be garbage on the hot path. */
export function setUint64(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, Math.floor(value / 2 ** 32));
  view.setUint32(offset + 4, value >>> 0);
}

export function getUint64(view: DataView, offset: number): number {
  return view.getUint32(offset) * 2 ** 32 + view.getUint32(offset + 4);
}

function parseBody<T extends v.GenericSchema>(schema: T, payload: Uint8Array): v.InferOutput<T> {
  const parsed = v.safeParse(schema, parseJson(payload));
  if (!parsed.success) throw broken(`cannot be read (${parsed.issues[0].message})`);
  return parsed.output;
}

function parseJson(payload: Uint8Array): unknown {
  return parseForeignJson(new TextDecoder().decode(payload), broken);
}

function broken(what: string): AppError {
  return new AppError("protocol_error", `Cannot read a job's output: a record ${what}`);
}
