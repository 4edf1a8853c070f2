import { after } from "../lib/abort.ts";
import { Bell } from "../lib/bell.ts";
import type { Ended, ProcessIdentity } from "../protocol/job.ts";
import { isAlive, type ProcessRow } from "./identity.ts";
import { signalGroup, signalProcess } from "./signal.ts";

/** Milliseconds for which KILL is repeated before whoever still lives counts as left behind. */
const KILL_PATIENCE = 3_000;

/** Milliseconds from SIGHUP to TERM on a terminal. */
const HANGUP_PAUSE = 200;

/** Milliseconds between two looks at who is left: at first, and at most. */
const FIRST_LOOK = 2;
const LONGEST_LOOK = 100;

/** How a tree is to be ended. */
export interface Order {
  readonly signal: NodeJS.Signals;
  /** Milliseconds from the signal to KILL. */
  readonly grace: number;
}

export interface TerminationOptions {
  /** Whoever is left, known by pid and start time. */
  readonly find: () => Promise<readonly ProcessRow[]>;
  /** Whose group is signalled as a whole: no process that it is just making can slip through. */
  readonly leader: ProcessIdentity;
  /** Kills all at once where the system can; it comes besides KILL. */
  readonly killAll?: (() => void) | undefined;
  /** Before TERM they are told that their terminal is gone, which is what a shell ends at. */
  readonly hangsUp?: boolean;
}

/**
 * The ending of a process tree: a signal to all, a grace, KILL to whoever is left, until nobody is, or only those that we
 * may not signal or that the kernel does not end. It runs by itself, and answers when that is so.
 */
export class Termination {
  readonly ended: Promise<Ended>;
  readonly #options: TerminationOptions;
  /** Rings when there is another order. */
  readonly #bell = new Bell();
  /** All that were found, and those of them that have the signal of the present order, and KILL. */
  readonly #met = new Set<string>();
  readonly #told = new Set<string>();
  readonly #killed = new Set<string>();
  #signal: NodeJS.Signals;
  /** When they were told that their terminal is gone, on the clock of `performance.now()`. */
  #hungUpAt: number | undefined;
  /** When KILL is due, on the clock of `performance.now()`. */
  #due: number;

  constructor(options: TerminationOptions, { signal, grace }: Order) {
    this.#options = options;
    this.#signal = signal;
    this.#due = performance.now() + grace;
    this.ended = this.#run();
  }

  /** Another order while this one is carried out: its signal is sent too, and the earlier KILL counts. */
  hurry({ signal, grace }: Order): void {
    this.#signal = signal;
    this.#told.clear();
    this.#due = Math.min(this.#due, performance.now() + grace);
    this.#bell.ring();
  }

  async #run(): Promise<Ended> {
    for (let look = FIRST_LOOK; ; look = Math.min(LONGEST_LOOK, 2 * look)) {
      const living = await this.#options.find();
      for (const row of living) this.#met.add(toKey(row));
      const late = performance.now() - this.#due;
      if (living.length === 0 || late >= KILL_PATIENCE) return this.#conclude(living);
      if (late >= 0) this.#kill(living);
      else this.#tell(living);
      await this.#pause(late >= 0 ? look : Math.min(look, -late));
    }
  }

  #tell(living: readonly ProcessRow[]): void {
    const fresh = living.filter((row) => !this.#told.has(toKey(row)));
    const isFirst = this.#told.size === 0;
    if (!this.#hasHungUp(fresh)) return;
    for (const signal of [this.#signal, "SIGCONT"] as const) this.#send(signal, fresh, isFirst);
    for (const row of fresh) this.#told.add(toKey(row));
  }

  /** Whether they need not be told first that their terminal is gone, or had a moment to act on it. */
  #hasHungUp(rows: readonly ProcessRow[]): boolean {
    if (this.#options.hangsUp !== true || this.#signal !== "SIGTERM") return true;
    if (this.#hungUpAt === undefined) {
      for (const signal of ["SIGHUP", "SIGCONT"] as const) this.#send(signal, rows, true);
      this.#hungUpAt = performance.now();
    }
    return performance.now() - this.#hungUpAt >= HANGUP_PAUSE;
  }

  #kill(living: readonly ProcessRow[]): void {
    attempt(() => this.#options.killAll?.());
    this.#send("SIGKILL", living, true);
    for (const row of living) this.#killed.add(toKey(row));
  }

  /** Signals these processes; those of the leader's group as a whole if so told. */
  #send(signal: NodeJS.Signals, rows: readonly ProcessRow[], asGroup: boolean): void {
    const { pid: leader } = this.#options.leader;
    const isInGroup = ({ group }: ProcessRow) => asGroup && group === leader;
    if (rows.some((row) => isInGroup(row) && isAlive(row))) attempt(() => signalGroup(leader, signal));
    for (const row of rows)
      if (!isInGroup(row) && isAlive(row)) attempt(() => signalProcess(row.pid, signal));
  }

  /** Waits so many milliseconds, or for another order. */
  async #pause(ms: number): Promise<void> {
    const over = Promise.withResolvers<void>();
    using _timer = after(ms, over.resolve);
    await Promise.race([over.promise, this.#bell.wait()]);
  }

  #conclude(left: readonly ProcessRow[]): Ended {
    const leftBehind = left.map(({ pid, startTime }) => ({ pid, startTime }));
    for (const row of left) for (const keys of [this.#met, this.#killed]) keys.delete(toKey(row));
    return {
      signal: this.#signal,
      processes: this.#met.size,
      killed: this.#killed.size,
      ...(leftBehind.length > 0 && { leftBehind }),
    };
  }
}

/** Who has ended meanwhile, or is another user's, shows in the next look. */
function attempt(send: () => void): void {
  try {
    send();
  } catch {
    // See above: what counts is who is left.
  }
}

function toKey({ pid, startTime }: ProcessIdentity): string {
  return `${pid} ${startTime}`;
}
