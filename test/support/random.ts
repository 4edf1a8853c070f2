/** Chance that can be had again: the same seed gives the same. */
export class Random {
  readonly seed: number;
  #state: number;

  constructor(seed: number = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) {
    this.seed = seed >>> 0;
    this.#state = this.seed;
  }

  /** From 0 up to 1: mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** From 0 up to and without `below`. */
  whole(below: number): number {
    return Math.floor(this.next() * below);
  }

  between(least: number, most: number): number {
    return least + this.whole(most - least + 1);
  }

  pick<T>(list: readonly T[]): T {
    // A list without elements has nothing to pick from, which is the caller's mistake.
    return list[this.whole(list.length)] as T;
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.alloc(length);
    for (let index = 0; index < length; index++) bytes[index] = this.whole(256);
    return bytes;
  }
}
