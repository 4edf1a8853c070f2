import { turn } from "./abort.ts";

/** Milliseconds of work after which everything else has a turn. */
const MAX_BUSY = 4;

/** Keeps work on many small things from holding up everything else: `if (pace.isDue) await pace.rest()`, now and then. */
export class Pace {
  readonly #signal: AbortSignal;
  #since = performance.now();

  /** `signal`: stops the work. */
  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  get isDue(): boolean {
    return performance.now() - this.#since >= MAX_BUSY;
  }

  /** Gives everything else its turn. Rejects with the signal's reason. */
  async rest(): Promise<void> {
    this.#signal.throwIfAborted();
    await turn();
    this.#signal.throwIfAborted();
    this.#since = performance.now();
  }
}
