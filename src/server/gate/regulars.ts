import { HOLD_GRACE } from "../../protocol/limits.ts";

/** Addresses without a connection that are remembered, the longest gone first. */
const MAX_GONE = 4_096;

/**
 * Where authenticated clients are, or were until a moment ago and may come back from. Somebody else's wrong tokens from the
 * same address, behind which a whole office may sit, must not keep them out.
 */
export class Regulars {
  readonly #now: () => number;
  /** Connections of each. */
  readonly #present = new Map<string, number>();
  /** When the last connection of those without one ended, the longest gone first. */
  readonly #gone = new Map<string, number>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Somebody is here until it is disposed. */
  enter(neighbour: string): Disposable {
    this.#present.set(neighbour, (this.#present.get(neighbour) ?? 0) + 1);
    let isHere = true;
    return {
      [Symbol.dispose]: () => {
        if (isHere) this.#leave(neighbour);
        isHere = false;
      },
    };
  }

  has(neighbour: string): boolean {
    if (this.#present.has(neighbour)) return true;
    const gone = this.#gone.get(neighbour);
    return gone !== undefined && this.#now() - gone < HOLD_GRACE;
  }

  #leave(neighbour: string): void {
    const left = (this.#present.get(neighbour) ?? 1) - 1;
    if (left > 0) {
      this.#present.set(neighbour, left);
      return;
    }
    this.#present.delete(neighbour);
    this.#gone.delete(neighbour);
    this.#gone.set(neighbour, this.#now());
    for (const [oldest] of this.#gone) {
      if (this.#gone.size <= MAX_GONE) return;
      this.#gone.delete(oldest);
    }
  }
}
