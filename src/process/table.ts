import { Census } from "./census.ts";

/** How much longer than it took to make a list is used: whoever looks often takes a fifth of the time at most. */
const USES = 4;

/** The list of all processes, which many may look at, and which is made anew only when it is old. */
export class ProcessTable {
  #census: Census | undefined;

  /** The list, some milliseconds old perhaps, but begun at `since` (on the clock of `performance.now()`) or later. */
  read(since: number = Number.NEGATIVE_INFINITY): Census {
    const known = this.#census;
    if (known !== undefined && known.began >= since && !isOld(known)) return known;
    return (this.#census = new Census());
  }
}

function isOld({ began, cost }: Census): boolean {
  return performance.now() >= began + (1 + USES) * cost;
}
