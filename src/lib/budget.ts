import { abortable } from "./abort.ts";
import { Bell } from "./bell.ts";

/** So much of something that may be in use at once; whoever would take more waits, in the order of asking. */
export class Budget {
  readonly #total: number;
  readonly #bell = new Bell();
  #used = 0;
  #turns: Promise<unknown> = Promise.resolve();

  constructor(total: number) {
    this.#total = total;
  }

  /** Takes an amount until it is disposed; one beyond all that there is, once nothing else is in use. Throws the signal's reason. */
  async take(amount: number, signal: AbortSignal): Promise<Disposable> {
    const before = this.#turns;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#turns = promise;
    try {
      await abortable(before, signal);
      while (this.#used > 0 && this.#used + amount > this.#total) await abortable(this.#bell.wait(), signal);
    } finally {
      // Who gave up while others were before him must not let those behind him pass these.
      before.then(() => resolve());
    }
    this.#used += amount;
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        this.#used -= amount;
        this.#bell.ring();
      },
    };
  }
}
