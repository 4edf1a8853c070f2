/** What a module threw where nobody caught it: in a timer, or a promise that nobody waits for. */
export class Uncaught {
  /** The call that is under way, if one is. */
  #current: AbortController | undefined;

  /** Answers whether there is a call that ends with it; otherwise somebody has to write it down. */
  raise(error: unknown): boolean {
    this.#current?.abort(new UncaughtError(error));
    return this.#current !== undefined;
  }

  /** Aborted when something is thrown like that before it is disposed: its reason is an `UncaughtError`. */
  watch(): { readonly signal: AbortSignal } & Disposable {
    const controller = new AbortController();
    this.#current = controller;
    return {
      signal: controller.signal,
      [Symbol.dispose]: () => {
        if (this.#current === controller) this.#current = undefined;
      },
    };
  }
}

/** Whether it holds what nobody caught. Whatever a module threw itself may throw when it is looked at. */
export function isUncaught(thrown: unknown): thrown is UncaughtError {
  try {
    return thrown instanceof UncaughtError;
  } catch {
    return false;
  }
}

/** Holds what was thrown, which may be anything: also nothing at all, which no signal could hold as its reason. */
export class UncaughtError extends Error {
  readonly thrown: unknown;

  constructor(thrown: unknown) {
    super("Nobody caught what a module threw");
    this.thrown = thrown;
  }
}
