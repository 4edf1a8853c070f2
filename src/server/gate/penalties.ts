/** What earns a penalty, and how many milliseconds of it: OpenSSH's figures. */
export const PENALTIES = {
  /** A token, a password or an invitation that is wrong, whatever is wrong with it. */
  failed: 5_000,
  /** The very same one again: a program that tries on, and guesses nothing. */
  repeated: 1_000,
  /** Connected and asked for nothing for as long as that is borne. */
  lingered: 10_000,
  /** Connected, and went without having asked for anything. */
  silent: 1_000,
} as const;
export type Offence = keyof typeof PENALTIES;

/** Milliseconds of penalty from which on it is enforced, and the most that anybody gets. */
const ENFORCED_FROM = 15_000;
const MAX_PENALTY = 600_000;

/** Sources that are remembered, about 8 MiB. */
export const MAX_SOURCES = 65_536;
/** How many of them make room at once, so that it is seldom needed. */
const SPARE = MAX_SOURCES / 16;

interface Penalty {
  /** When nothing is left of it. */
  until: number;
  /** It grew to so much that it is enforced, and is so until nothing is left. */
  isEnforced: boolean;
  /** A hash of what was presented last. */
  last: number | bigint | undefined;
}

/**
 * What each source has coming to it. A penalty grows with each offence, passes with time, and once it has grown large enough its
 * source is refused until it has passed. When there are too many sources, those go first that have the least left, so that
 * whoever wants his own forgotten must earn as much from tens of thousands of other addresses.
 */
export class Penalties {
  readonly #now: () => number;
  readonly #onEnforced: (source: string) => void;
  readonly #penalties = new Map<string, Penalty>();

  /** `now`: milliseconds of a clock that only goes forward. */
  constructor(now: () => number, onEnforced: (source: string) => void = () => {}) {
    this.#now = now;
    this.#onEnforced = onEnforced;
  }

  get size(): number {
    return this.#penalties.size;
  }

  /** Milliseconds for which a source is refused; 0 for one that may ask. */
  left(source: string): number {
    const penalty = this.#penalties.get(source);
    if (penalty === undefined) return 0;
    const left = penalty.until - this.#now();
    if (left <= 0) this.#penalties.delete(source);
    return penalty.isEnforced ? Math.max(0, left) : 0;
  }

  /** `presented`: what a source tried to get in with. */
  add(source: string, offence: Exclude<Offence, "repeated">, presented?: string): void {
    const now = this.#now();
    const found = this.#penalties.get(source);
    const penalty = found ?? { until: now, isEnforced: false, last: undefined };
    if (found === undefined) this.#makeRoom(now);
    if (penalty.until <= now) penalty.isEnforced = false;
    const last = presented === undefined ? undefined : Bun.hash(presented);
    const isRepeated = last !== undefined && last === penalty.last;
    penalty.last = last ?? penalty.last;
    const more = PENALTIES[isRepeated ? "repeated" : offence];
    penalty.until = Math.min(Math.max(penalty.until, now) + more, now + MAX_PENALTY);
    this.#penalties.set(source, penalty);
    if (penalty.isEnforced || penalty.until - now < ENFORCED_FROM) return;
    penalty.isEnforced = true;
    this.#onEnforced(source);
  }

  #makeRoom(now: number): void {
    if (this.#penalties.size < MAX_SOURCES) return;
    const order = Float64Array.from(this.#penalties.values(), ({ until }) => until).sort();
    const limit = order[SPARE] ?? now;
    for (const [source, { until }] of this.#penalties) {
      if (this.#penalties.size <= MAX_SOURCES - SPARE) return;
      if (until <= limit) this.#penalties.delete(source);
    }
  }
}
