import { abortable } from "../../lib/abort.ts";
import { Bell } from "../../lib/bell.ts";
import { CALL_WINDOW_BYTES } from "../../protocol/limits.ts";
import type { InputListener } from "../keepers/keeper-link.ts";
import type { InputSink } from "./input-channel.ts";

/** The bytes that a caller sends to a foreground call, until that takes them: at most a window. To be iterated once. */
export class CallInput implements InputSink, AsyncIterable<Uint8Array> {
  readonly #signal: AbortSignal;
  readonly #bell = new Bell();
  readonly #chunks: Uint8Array[] = [];
  #arrived = 0;
  #taken = 0;
  #state: "open" | "ended" | "closed" = "open";
  #listener: InputListener | undefined;

  /** `signal`: nobody sends, or takes, any more. */
  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  listen(listener: InputListener): Disposable {
    this.#listener = listener;
    if (this.#state === "open") this.#tell();
    else listener.closed();
    return {
      [Symbol.dispose]: () => {
        if (this.#listener === listener) this.#listener = undefined;
      },
    };
  }

  write(offset: number, bytes: Uint8Array): void {
    // What came before over another channel is not taken again.
    if (this.#state !== "open" || offset + bytes.length <= this.#arrived) return;
    // The frame's memory is not ours to keep.
    this.#chunks.push(new Uint8Array(bytes.subarray(this.#arrived - offset)));
    this.#arrived = offset + bytes.length;
    this.#bell.ring();
  }

  end(): void {
    if (this.#state !== "open") return;
    this.#state = "ended";
    this.#bell.ring();
    this.#listener?.closed();
  }

  /** Nobody takes it any more. */
  close(): void {
    const wasOpen = this.#state === "open";
    this.#state = "closed";
    this.#chunks.length = 0;
    this.#bell.ring();
    if (wasOpen) this.#listener?.closed();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, void> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk === undefined) {
        if (this.#state !== "open") return;
        await abortable(this.#bell.wait(), this.#signal);
        continue;
      }
      this.#taken += chunk.length;
      this.#tell();
      yield chunk;
    }
  }

  #tell(): void {
    if (this.#state === "open") this.#listener?.taken(this.#arrived, this.#taken + CALL_WINDOW_BYTES);
  }
}
