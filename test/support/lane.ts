import { abortable, delay } from "../../src/lib/abort.ts";
import { Bell } from "../../src/lib/bell.ts";

export type Direction = "toServer" | "toClient";

/** What the way in one direction is like. */
export interface Way {
  /** Nothing passes, not even an end; what was sent arrives when the way is clear again, as after a partition. */
  readonly isBlack: boolean;
  /** Milliseconds that every byte takes. */
  readonly delay: number;
  /** Milliseconds, at most, that it may take longer. The order stays. */
  readonly jitter: number;
  readonly bytesPerSecond: number;
}

export const CLEAR: Way = { isBlack: false, delay: 0, jitter: 0, bytesPerSecond: Number.POSITIVE_INFINITY };

/** What happens at a certain byte of one direction of one connection. */
export interface Mishap {
  /** Bytes after which the connection is cut; the last one is still forwarded. */
  readonly cutAfter?: number | undefined;
  /** Inverts these bits of the byte that so many others precede. */
  readonly flip?: { readonly offset: number; readonly bits: number } | undefined;
}

/** Turns what comes into what goes on. */
export type Transform = (chunk: Uint8Array) => readonly Uint8Array[];

export interface LaneOptions {
  readonly way: Way;
  readonly mishap: Mishap;
  readonly transform: Transform;
  /** Called once the last byte before a cut is forwarded. */
  readonly onCut: () => void;
  /** Aborted when the connection is over. */
  readonly signal: AbortSignal;
}

/** Bytes held at most before the source is not read any more. */
const MAX_HELD = 256 * 1024;
/** Milliseconds of a throttled way that are forwarded at once. */
const SLICE = 20;

/** One direction of one connection through a proxy: a bounded queue between two sockets. */
export class Lane {
  /** Bytes forwarded so far. */
  forwarded = 0;
  #way: Way;
  readonly #source: Bun.Socket<unknown>;
  readonly #options: LaneOptions;
  readonly #bell = new Bell();
  readonly #queue: { bytes: Uint8Array; readonly due: number }[] = [];
  #held = 0;
  /** How the source ended, and how much of that the target was told. */
  #end: "open" | "fin" | "reset" = "open";
  #told: "open" | "fin" | "reset" = "open";
  /** When a throttled way is free again. */
  #freeAt = 0;

  constructor(source: Bun.Socket<unknown>, options: LaneOptions) {
    this.#source = source;
    this.#options = options;
    this.#way = options.way;
  }

  /** Changes the way from now on; what is held already keeps its delay. */
  change(changes: Partial<Way>): void {
    this.#way = { ...this.#way, ...changes };
    this.ring();
  }

  /** What the source sent. */
  take(chunk: Uint8Array): void {
    if (this.#end !== "open") return;
    for (const bytes of this.#options.transform(chunk)) this.push(bytes);
    if (this.#held > MAX_HELD) this.#source.pause();
  }

  /** Puts bytes behind those that the source has sent, as if it had sent them. */
  push(bytes: Uint8Array): void {
    const due = performance.now() + this.#way.delay + Math.random() * this.#way.jitter;
    this.#queue.push({ bytes, due: Math.max(due, this.#queue.at(-1)?.due ?? 0) });
    this.#held += bytes.length;
    this.ring();
  }

  /** The source has ended: behind its last byte, so does what the target gets. */
  end(how: "fin" | "reset"): void {
    if (this.#end !== "reset") this.#end = how;
    this.ring();
  }

  /** Ends what the target gets here and now, and forwards nothing more. */
  halfClose(): void {
    this.#queue.length = 0;
    this.#held = 0;
    this.end("fin");
  }

  /** Something has changed: the target takes more again, for example. */
  ring(): void {
    this.#bell.ring();
  }

  /** Forwards until the connection is over. */
  async run(target: Bun.Socket<unknown>): Promise<void> {
    for (;;) {
      await this.#until(() => !this.#way.isBlack && (this.#queue.length > 0 || this.#end !== this.#told));
      const [first] = this.#queue;
      if (first === undefined) this.#tell(target);
      else await this.#forward(first, target);
    }
  }

  async #forward(
    first: { bytes: Uint8Array; readonly due: number },
    target: Bun.Socket<unknown>,
  ): Promise<void> {
    const wait = Math.max(first.due, this.#freeAt) - performance.now();
    if (wait > 0) return await abortable(this.#rung(wait), this.#options.signal);
    const part = this.#damage(first.bytes.subarray(0, this.#allowance(first.bytes.length)));
    const rung = this.#bell.wait();
    const taken = target.write(part);
    if (taken < 0) return this.#refuse();
    this.#settle(first, taken);
    if (this.forwarded === this.#options.mishap.cutAfter) this.#options.onCut();
    else if (taken < part.length) await abortable(rung, this.#options.signal);
  }

  /** Resolves after so long, or when something changes. */
  #rung(ms: number): Promise<void> {
    return Promise.race([this.#bell.wait(), delay(ms, this.#options.signal)]);
  }

  #allowance(length: number): number {
    const { bytesPerSecond } = this.#way;
    const slice = Math.max(1, Math.floor((bytesPerSecond * SLICE) / 1_000));
    const left = (this.#options.mishap.cutAfter ?? Number.POSITIVE_INFINITY) - this.forwarded;
    return Math.min(length, slice, left);
  }

  #damage(part: Uint8Array): Uint8Array {
    const { flip } = this.#options.mishap;
    const index = flip === undefined ? -1 : flip.offset - this.forwarded;
    if (flip === undefined || index < 0 || index >= part.length) return part;
    return part.map((byte, at) => (at === index ? byte ^ flip.bits : byte));
  }

  #settle(first: { bytes: Uint8Array }, taken: number): void {
    this.forwarded += taken;
    this.#held -= taken;
    const now = performance.now();
    this.#freeAt = Math.max(now, this.#freeAt) + (taken * 1_000) / this.#way.bytesPerSecond;
    first.bytes = first.bytes.subarray(taken);
    if (first.bytes.length === 0) this.#queue.shift();
    if (this.#held <= MAX_HELD) this.#source.resume();
  }

  /** Nobody takes it any more: whoever sends is told as a kernel would. */
  #refuse(): void {
    this.#queue.length = 0;
    this.#held = 0;
    this.#told = this.#end;
    this.#source.terminate();
  }

  #tell(target: Bun.Socket<unknown>): void {
    this.#told = this.#end;
    if (this.#end === "fin") target.shutdown();
    else target.terminate();
  }

  async #until(condition: () => boolean): Promise<void> {
    for (;;) {
      const rung = this.#bell.wait();
      this.#options.signal.throwIfAborted();
      if (condition()) return;
      await abortable(rung, this.#options.signal);
    }
  }
}
