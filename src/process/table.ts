import { listProcesses, type ProcessRow } from "./identity.ts";

/** How much longer than it took to make a list is used: whoever looks often takes a fifth of the time at most. */
const USES = 4;

/** The list of all processes, which many may look at, and which is made anew only when it is old. */
export class ProcessTable {
  #rows: readonly ProcessRow[] = [];
  /** When the list is old, on the clock of `performance.now()`. */
  #old = Number.NEGATIVE_INFINITY;

  /** The list, some milliseconds old perhaps. */
  read(): readonly ProcessRow[] {
    return performance.now() < this.#old ? this.#rows : this.readNow();
  }

  /** The list as it is now. */
  readNow(): readonly ProcessRow[] {
    const began = performance.now();
    this.#rows = listProcesses();
    const now = performance.now();
    this.#old = now + USES * (now - began);
    return this.#rows;
  }
}
