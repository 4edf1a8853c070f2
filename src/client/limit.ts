import { after } from "../lib/abort.ts";

export interface LimitOptions {
  /** Milliseconds. */
  readonly timeout?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What cuts a call short: its caller's signal, or the time that the whole of it may take. */
export class Limit implements Disposable {
  readonly #reached = new AbortController();
  readonly #resources = new DisposableStack();

  /** `toError`: what a call is told that took longer than `ms`. Throws the signal's reason. */
  constructor({ timeout, signal }: LimitOptions, toError: (ms: number) => Error) {
    signal?.throwIfAborted();
    if (timeout !== undefined)
      this.#resources.use(after(timeout, () => this.#reached.abort(toError(timeout))));
    if (signal === undefined) return;
    const stop = () => this.#reached.abort(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    this.#resources.defer(() => signal.removeEventListener("abort", stop));
  }

  /** Aborted with the reason. */
  get signal(): AbortSignal {
    return this.#reached.signal;
  }

  /** Calls back with the reason, at once if it was reached. */
  onReached(callback: (reason: unknown) => void): void {
    const tell = () => callback(this.signal.reason);
    if (this.signal.aborted) tell();
    else this.signal.addEventListener("abort", tell, { once: true });
  }

  /** It is reached no more. */
  [Symbol.dispose](): void {
    this.#resources.dispose();
  }
}
