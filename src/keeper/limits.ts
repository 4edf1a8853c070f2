import { after } from "../lib/abort.ts";
import type { Outcome } from "../protocol/outcome.ts";
import type { JobLimits } from "../protocol/terms.ts";

/** The limit that ended a job, as its outcome has it. */
export type ReachedLimit = Extract<Outcome, { type: "timed_out" | "idle_timed_out" | "output_limited" }>;

export interface LimitsOptions {
  readonly limits: JobLimits;
  /** Whether the job waits for its readers or for room on a disk: it may well want to write. */
  readonly isHeldBack: () => boolean;
  /** Called for each limit that is reached; of the output, once. */
  readonly onReached: (limit: ReachedLimit) => void;
}

/** Watches over how long a job runs, how long it says nothing, and how much it says. */
export class Limits implements Disposable {
  readonly #options: LimitsOptions;
  #running: Disposable | undefined;
  #idling: Disposable | undefined;
  /** When the program wrote last, on the clock of `performance.now()`. */
  #wrote = performance.now();
  /** Bytes that may still be recorded. */
  #room: number;
  #isFull = false;

  constructor(options: LimitsOptions) {
    const { execMs, idleMs, outputBytes } = options.limits;
    this.#options = options;
    this.#room = outputBytes ?? Number.POSITIVE_INFINITY;
    if (execMs !== undefined)
      this.#running = after(execMs, () => options.onReached({ type: "timed_out", limit: execMs }));
    if (idleMs !== undefined) this.#startIdling(idleMs, idleMs);
  }

  /** The program wrote so much: answers how much of it is recorded. */
  admit(bytes: number): number {
    this.#wrote = performance.now();
    const admitted = Math.min(bytes, this.#room);
    this.#room -= admitted;
    if (admitted < bytes) this.#fill();
    return admitted;
  }

  /** The same of what is recorded whole or not at all. */
  admitWhole(bytes: number): boolean {
    this.#wrote = performance.now();
    if (bytes > this.#room) {
      this.#room = 0; // what follows is not to stand where this is missing
      this.#fill();
      return false;
    }
    this.#room -= bytes;
    return true;
  }

  /** The job was held back and is free to write now. */
  resume(): void {
    this.#wrote = performance.now();
  }

  /** The program has ended: time counts no more. What it left behind may not write without end either. */
  [Symbol.dispose](): void {
    this.#running?.[Symbol.dispose]();
    this.#idling?.[Symbol.dispose]();
  }

  #startIdling(limit: number, ms: number): void {
    this.#idling = after(ms, () => {
      if (this.#options.isHeldBack()) this.resume();
      const left = limit - (performance.now() - this.#wrote);
      if (left > 0) this.#startIdling(limit, Math.ceil(left));
      else this.#options.onReached({ type: "idle_timed_out", limit });
    });
  }

  #fill(): void {
    const { outputBytes: limit } = this.#options.limits;
    if (this.#isFull || limit === undefined) return;
    this.#isFull = true;
    this.#options.onReached({ type: "output_limited", limit });
  }
}
