import { turn } from "../lib/abort.ts";
import { Census } from "./census.ts";
import { walkProcesses } from "./identity.ts";

/** How much longer than it took to make a list is used: whoever looks often takes a fifth of the time at most. */
const USES = 4;

/** Milliseconds of making a list after which everything else has a turn. */
const SLICE = 5;

/** The list of all processes, which many may look at, and which is made anew only when it is old. */
export class ProcessTable {
  #census: Census | undefined;
  /** One that is being made. */
  #making: { readonly began: number; readonly census: Promise<Census> } | undefined;

  /** The list, some milliseconds old perhaps, but begun at `since` (on the clock of `performance.now()`) or later. */
  read(since: number = Number.NEGATIVE_INFINITY): Census {
    return this.#find(since) ?? this.#make();
  }

  /** The same; while it is made everything else has its turns, however many processes there are. */
  async readSoon(since: number = Number.NEGATIVE_INFINITY): Promise<Census> {
    const known = this.#find(since);
    if (known !== undefined) return known;
    if (this.#making === undefined || this.#making.began < since) this.#startMaking();
    return this.#making?.census ?? this.#make();
  }

  #find(since: number): Census | undefined {
    const known = this.#census;
    return known !== undefined && known.began >= since && !isOld(known) ? known : undefined;
  }

  #make(): Census {
    const began = performance.now();
    const walk = walkProcesses();
    let step = walk.next();
    while (!step.done) step = walk.next();
    return this.#keep(new Census(step.value, { began, cost: performance.now() - began }));
  }

  #startMaking(): void {
    const began = performance.now();
    const census = this.#makeInSlices(began).finally(() => {
      if (this.#making?.census === census) this.#making = undefined;
    });
    this.#making = { began, census };
  }

  async #makeInSlices(began: number): Promise<Census> {
    const walk = walkProcesses();
    let cost = 0;
    for (let since = performance.now(); ;) {
      const step = walk.next();
      const now = performance.now();
      if (step.done) return this.#keep(new Census(step.value, { began, cost: cost + now - since }));
      if (now - since < SLICE) continue;
      cost += now - since;
      await turn();
      since = performance.now();
    }
  }

  #keep(census: Census): Census {
    if (this.#census === undefined || this.#census.began < census.began) this.#census = census;
    return census;
  }
}

function isOld({ ended, cost }: Census): boolean {
  return performance.now() >= ended + USES * cost;
}
