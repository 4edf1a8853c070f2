import { abortable } from "../../lib/abort.ts";
import { Bell } from "../../lib/bell.ts";
import { AppError } from "../../protocol/error.ts";
import { MAX_PAYLOAD_BYTES } from "../../protocol/limits.ts";
import { encodePayload, type PacketKind } from "../../protocol/packet.ts";

/** Records that are consumed and still have a place among the others. */
const MAX_CONSUMED = 4_096;
const NOTHING = new Uint8Array(0);

/** What a foreground call says on the way, in packets, until its caller has consumed them: at most a window of it. */
export class CallOutput {
  readonly #window: () => number;
  readonly #bell = new Bell();
  readonly #start = performance.now();
  /** Whole records, oldest first. Those before `#head` are consumed, and empty; that one has number `#first`. */
  #records: Uint8Array[] = [];
  #head = 0;
  #first = 0;
  /** Bytes of all of them. */
  #bytes = 0;
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
    return this.#first + this.#records.length - this.#head;
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
  }

  /** Packets before this one are consumed. */
  consumed(next: number): void {
    for (; this.#first < next && this.#head < this.#records.length; this.#first++) {
      this.#bytes -= this.#records[this.#head]?.length ?? 0;
      this.#records[this.#head++] = NOTHING;
    }
    if (this.#head >= MAX_CONSUMED || this.#head === this.#records.length) this.#forget();
    this.#bell.ring();
  }

  /** Taking each from the front by itself would move all others each time. */
  #forget(): void {
    this.#records = this.#records.slice(this.#head);
    this.#head = 0;
  }

  /** Copies whole records from packet `number` on into `target`. Throws `not_found` for a packet that was consumed. */
  read(number: number, target: Uint8Array): { readonly bytes: number; readonly next: number } {
    if (number < this.#first || number > this.next)
      throw new AppError(
        "not_found",
        `Cannot read packet ${number} of a call: ${this.#first} is the first left`,
      );
    let bytes = 0;
    let next = number;
    for (let index = this.#head + number - this.#first; index < this.#records.length; index++) {
      const record = this.#records[index] ?? NOTHING;
      if (bytes + record.length > target.length) break;
      target.set(record, bytes);
      bytes += record.length;
      next++;
    }
    return { bytes, next };
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
    const at = Math.round((performance.now() - this.#start) * 1_000);
    const continues = kind !== "stdout" && this.#isWithin;
    const record = encodePayload(kind, { number: this.next, at, continues }, payload);
    if (kind !== "stdout") this.#isWithin = kind === "part";
    this.#records.push(record);
    this.#bytes += record.length;
    this.#announce();
    while (this.#bytes >= this.#window()) await abortable(this.#bell.wait(), signal);
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
