import { abortable } from "../../lib/abort.ts";
import { Bell } from "../../lib/bell.ts";
import { AppError } from "../../protocol/error.ts";
import { MAX_PAYLOAD_BYTES } from "../../protocol/limits.ts";
import { type PacketKind, RECORD_HEADER_BYTES, writeRecordHeader } from "../../protocol/packet.ts";

/** Bytes for which there is room at first. */
const FIRST_BYTES = 4 * 1024;

/** What a foreground call says on the way, in packets, until its caller has consumed them: at most a window of it. */
export class CallOutput {
  readonly #window: () => number;
  readonly #bell = new Bell();
  readonly #began = performance.now();
  /** Whole records one behind the other, from `#start` to `#end`: as objects of their own, small ones would take ten times as much. */
  #buffer: Uint8Array = new Uint8Array(0);
  #view = new DataView(this.#buffer.buffer);
  #start = 0;
  #end = 0;
  /** The numbers of the first of them, and of the next. */
  #first = 0;
  #next = 0;
  /** Where the record is with which whoever reads goes on. */
  #place = { number: 0, offset: 0 };
  #state: "open" | "ended" | "unread" = "open";
  #isAnnounced = false;
  /** Whether the last of a value that was said is a part, which what follows continues. */
  #isWithin = false;
  /** There is something to read. */
  onReady: () => void = () => {};

  /** `window`: bytes that may wait to be consumed, as things are. */
  constructor(window: () => number) {
    this.#window = window;
  }

  /** Whether all was said, or nobody reads it. */
  get isEnded(): boolean {
    return this.#state !== "open";
  }

  /** The number of the next packet. */
  get next(): number {
    return this.#next;
  }

  /**
   * Says an event of a built-in command, or bytes, and resolves when there is room for more; at once where nobody reads. Throws
   * `too_many` for an event that no packet has room for, and the signal's reason.
   */
  async put(said: unknown, signal: AbortSignal): Promise<void> {
    if (!(said instanceof Uint8Array)) return await this.append("value", toJson(said), signal);
    for (let start = 0; start < said.length; start += MAX_PAYLOAD_BYTES)
      await this.append("stdout", said.subarray(start, start + MAX_PAYLOAD_BYTES), signal);
  }

  /** All was said. */
  end(): void {
    if (this.#state === "open") this.#state = "ended";
    this.onReady();
  }

  /** Nobody will read it any more. */
  abandon(): void {
    this.#state = "unread";
    this.consumed(this.next);
    this.#buffer = new Uint8Array(0);
    this.#view = new DataView(this.#buffer.buffer);
    this.#start = this.#end = 0;
  }

  /** Packets before this one are consumed. */
  consumed(next: number): void {
    for (; this.#first < Math.min(next, this.#next); this.#first++) this.#start = this.#findEnd(this.#start);
    this.#bell.ring();
  }

  /** Copies whole records from packet `number` on into `target`. Throws `not_found` for a packet that was consumed. */
  read(number: number, target: Uint8Array): { readonly bytes: number; readonly next: number } {
    if (number < this.#first || number > this.#next)
      throw new AppError(
        "not_found",
        `Cannot read packet ${number} of a call: ${this.#first} is the first left`,
      );
    const start = this.#find(number);
    let end = start;
    let next = number;
    while (next < this.#next && this.#findEnd(end) - start <= target.length) {
      end = this.#findEnd(end);
      next++;
    }
    target.set(this.#buffer.subarray(start, end));
    this.#place = { number: next, offset: end };
    return { bytes: end - start, next };
  }

  /** Where a record begins. Nearly always it is the one with which its reader goes on. */
  #find(number: number): number {
    const isBehind = this.#place.number >= this.#first && this.#place.number <= number;
    let { number: at, offset } = isBehind ? this.#place : { number: this.#first, offset: this.#start };
    for (; at < number; at++) offset = this.#findEnd(offset);
    return offset;
  }

  #findEnd(start: number): number {
    return start + RECORD_HEADER_BYTES + this.#view.getUint32(start);
  }

  /** Makes room for so many bytes behind the last record: where what is consumed was, if that is half of all, and otherwise in twice as much. */
  #makeRoom(bytes: number): void {
    const kept = this.#end - this.#start;
    if (this.#end + bytes <= this.#buffer.length) return;
    const records = this.#buffer.subarray(this.#start, this.#end);
    if (2 * (kept + bytes) > this.#buffer.length) {
      this.#buffer = new Uint8Array(Math.max(FIRST_BYTES, 2 * (kept + bytes)));
      this.#view = new DataView(this.#buffer.buffer);
    }
    this.#buffer.set(records);
    this.#place = { ...this.#place, offset: this.#place.offset - this.#start };
    [this.#start, this.#end] = [0, kept];
  }

  /**
   * Says one packet of at most 64 KiB as it is: bytes, or a value as `encodeValue` writes one, in parts that a value ends. Resolves
   * as `put` does.
   */
  async append(
    kind: Extract<PacketKind, "stdout" | "part" | "value">,
    payload: Uint8Array,
    signal: AbortSignal,
  ): Promise<void> {
    if (this.#state === "unread") return;
    const at = Math.round((performance.now() - this.#began) * 1_000);
    const continues = kind !== "stdout" && this.#isWithin;
    if (kind !== "stdout") this.#isWithin = kind === "part";
    const bytes = RECORD_HEADER_BYTES + payload.length;
    this.#makeRoom(bytes);
    const view = new DataView(this.#buffer.buffer, this.#end, bytes);
    this.#buffer.set(payload, this.#end + RECORD_HEADER_BYTES);
    writeRecordHeader(view, kind, { number: this.#next, at, continues }, payload);
    this.#end += bytes;
    this.#next++;
    this.#announce();
    while (this.#end - this.#start >= this.#window()) await abortable(this.#bell.wait(), signal);
  }

  /** What is said in one turn goes in one frame: a frame for each of 200,000 events takes three times as long. */
  #announce(): void {
    if (this.#isAnnounced) return;
    this.#isAnnounced = true;
    setImmediate(() => {
      this.#isAnnounced = false;
      this.onReady();
    });
  }
}

function toJson(event: unknown): Uint8Array {
  const payload = new TextEncoder().encode(JSON.stringify(event));
  if (payload.length <= MAX_PAYLOAD_BYTES) return payload;
  throw new AppError(
    "too_many",
    `Cannot say an event of ${payload.length} bytes: the most is ${MAX_PAYLOAD_BYTES}`,
  );
}
