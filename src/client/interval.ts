import { after } from "../lib/abort.ts";

/** How long (ms) one waits for the next thing, at most; it may change while one does. */
export class Interval {
  readonly #toError: (ms: number) => Error;
  #ms: number | undefined;
  #wait: { readonly since: number; readonly fail: (reason: unknown) => void } | undefined;
  #alarm: Disposable | undefined;

  /** `toError`: what is thrown when nothing came for `ms`. */
  constructor(ms: number | undefined, toError: (ms: number) => Error) {
    this.#ms = ms;
    this.#toError = toError;
  }

  get ms(): number | undefined {
    return this.#ms;
  }

  set ms(ms: number | undefined) {
    this.#ms = ms;
    this.#arm();
  }

  /** Settles as `next` does, unless it takes too long or is interrupted. One wait at a time. */
  async within<T>(next: Promise<T>): Promise<T> {
    // Every packet is waited for here: a signal for each would cost more than all else that is done with it.
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#wait = { since: performance.now(), fail: reject };
    this.#arm();
    next.then(resolve, reject);
    try {
      return await promise;
    } finally {
      this.#wait = undefined;
      this.#arm();
    }
  }

  /** Whoever waits is told this. */
  interrupt(reason: unknown): void {
    this.#wait?.fail(reason);
  }

  #arm(): void {
    this.#alarm?.[Symbol.dispose]();
    this.#alarm = undefined;
    const [wait, ms] = [this.#wait, this.#ms];
    if (wait === undefined || ms === undefined) return;
    const left = Math.max(0, wait.since + ms - performance.now());
    this.#alarm = after(left, () => wait.fail(this.#toError(ms)));
  }
}
