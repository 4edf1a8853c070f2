import { AppError } from "./error.ts";
import { CONTROL_WINDOW_FRAMES } from "./limits.ts";

/** Sequenced frames on their way out: numbered from 1, kept until acknowledged, so that they can be sent again. */
export class Outbox<M extends object> {
  #last = 0;
  readonly #unacknowledged: (M & { readonly seq: number })[] = [];

  /** The highest number used. */
  get last(): number {
    return this.#last;
  }

  /** Whether the window is full, so that no more may be sent before something is acknowledged. */
  get isFull(): boolean {
    return this.#unacknowledged.length >= CONTROL_WINDOW_FRAMES;
  }

  stamp(message: M): M & { readonly seq: number } {
    const frame = { ...message, seq: ++this.#last };
    this.#unacknowledged.push(frame);
    return frame;
  }

  /** Forgets all up to `seq`, and answers them. Throws `protocol_error` for what was never sent. */
  acknowledge(seq: number): readonly M[] {
    if (seq > this.#last) {
      throw new AppError("protocol_error", `Cannot accept an acknowledgement: frame ${seq} was never sent`);
    }
    const kept = this.#unacknowledged.findIndex((frame) => frame.seq > seq);
    return this.#unacknowledged.splice(0, kept < 0 ? this.#unacknowledged.length : kept);
  }

  /** What a new connection must send again, in order. */
  unacknowledged(): readonly (M & { readonly seq: number })[] {
    return this.#unacknowledged;
  }
}

/** Sequenced frames on their way in. */
export class Inbox {
  #received = 0;
  #acknowledged = 0;

  /** The highest number received in order: what an acknowledgement says. */
  get received(): number {
    return this.#received;
  }

  /** Frames received since the last acknowledgement was taken. */
  get owed(): number {
    return this.#received - this.#acknowledged;
  }

  /** Whether this frame is new; a repeated one is dropped. Throws `sequence_gap` when one is missing before it. */
  accept(seq: number): boolean {
    if (seq <= this.#received) return false;
    if (seq !== this.#received + 1) {
      throw new AppError(
        "sequence_gap",
        `Cannot accept frame ${seq}: frame ${this.#received + 1} is missing`,
      );
    }
    this.#received = seq;
    return true;
  }

  /** Notes which number the other side has used. Throws `sequence_gap` when that frame should have come before. */
  expect(seq: number): void {
    if (seq > this.#received)
      throw new AppError("sequence_gap", `Frame ${this.#received + 1} never came, though ${seq} were sent`);
  }

  /** The number to acknowledge now; nothing is owed afterwards. */
  takeAck(): number {
    this.#acknowledged = this.#received;
    return this.#received;
  }
}
