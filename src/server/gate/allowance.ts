/** How often something may happen: so many times at once, and as many again in each span of time. */
export class Allowance {
  readonly #most: number;
  readonly #every: number;
  readonly #now: () => number;
  #left: number;
  #since: number;

  /** `every`: milliseconds in which all of it comes back. */
  constructor(most: number, every: number, now: () => number) {
    this.#most = most;
    this.#every = every;
    this.#now = now;
    this.#left = most;
    this.#since = now();
  }

  /** Takes one; false when there is none left. */
  take(): boolean {
    const now = this.#now();
    this.#left = Math.min(this.#most, this.#left + ((now - this.#since) / this.#every) * this.#most);
    this.#since = now;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}
