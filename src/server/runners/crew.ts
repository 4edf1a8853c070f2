import { abortable, after } from "../../lib/abort.ts";
import { Bell } from "../../lib/bell.ts";
import type { Runner } from "./runner.ts";

/** Milliseconds that a runner without a call waits for the next, and how many of a crew do. */
const LINGER = 5_000;
const MAX_IDLE = 2;

export interface CrewOptions {
  /** Runners that work at once. */
  readonly max: number;
  /** They wait for the next call for as long as there is a server. */
  readonly isLasting: boolean;
  readonly start: () => Runner;
}

export interface CrewEvents {
  /** Another crew that must be gone before this one begins, if there is one. */
  readonly findFormer: () => Crew | undefined;
  /** A runner could not be ended. */
  readonly onFailure: (error: unknown) => void;
  /** There is none of it any more, and nobody waits for one. */
  readonly onEmpty: () => void;
}

/** Runners that do each other's calls. */
export class Crew implements AsyncDisposable {
  /** Rings when one is done, or gone. */
  readonly bell = new Bell();
  readonly #options: CrewOptions & CrewEvents;
  readonly #working = new Set<Runner>();
  /** The last one was used last. */
  #idle: readonly { readonly runner: Runner; readonly timer: Disposable | undefined }[] = [];
  /** Those that are on their way out. */
  readonly #ending = new Set<Runner>();
  /** Calls that wait for one. */
  #waiting = 0;
  #isRetired = false;

  constructor(options: CrewOptions & CrewEvents) {
    this.#options = options;
  }

  /** Whether it does no more calls than those that are under way, or wait. */
  get isRetired(): boolean {
    return this.#isRetired;
  }

  /** One that has nothing to do, or a new one, as soon as there may be another. Throws the signal's reason. */
  async claim(signal: AbortSignal): Promise<Runner> {
    this.#waiting++;
    try {
      for (let busy = this.#findBusy(); busy !== undefined; busy = this.#findBusy())
        await abortable(busy.bell.wait(), signal);
      const runner = this.#findIdle() ?? this.#options.start();
      this.#working.add(runner);
      return runner;
    } finally {
      this.#waiting--;
      this.#tellIfEmpty();
    }
  }

  /** Takes back one that was claimed. Runs by itself: it may still have to be told what its last call did not take. */
  startReleasing(runner: Runner): void {
    this.#release(runner).catch(this.#options.onFailure);
  }

  /** Ends those that have nothing to do, and each that works once it is done. */
  retire(): void {
    this.#isRetired = true;
    for (const { runner, timer } of this.#idle) {
      timer?.[Symbol.dispose]();
      this.#startEnding(runner);
    }
    this.#idle = [];
    this.#tellIfEmpty();
  }

  /** Ends all of them at once. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.retire();
    const all = [...this.#working, ...this.#ending];
    await Promise.all(all.map((runner) => runner.end()));
  }

  /** The crew for which a call has to wait. */
  #findBusy(): Crew | undefined {
    const { max, findFormer } = this.#options;
    // Where there is to be one only, the next begins when it has ended.
    const isFull = this.#working.size + this.#ending.size >= max;
    return findFormer() ?? (isFull ? this : undefined);
  }

  #findIdle(): Runner | undefined {
    for (let last = this.#idle.at(-1); last !== undefined; last = this.#idle.at(-1)) {
      this.#idle = this.#idle.slice(0, -1);
      last.timer?.[Symbol.dispose]();
      if (last.runner.isFree) return last.runner;
      this.#startEnding(last.runner);
    }
    return undefined;
  }

  async #release(runner: Runner): Promise<void> {
    await runner.settled();
    const isKept = runner.isFree && this.#idle.length < MAX_IDLE && !this.#isRetired;
    if (!isKept) this.#startEnding(runner);
    this.#working.delete(runner);
    if (isKept) this.#keep(runner);
    this.bell.ring();
  }

  #keep(runner: Runner): void {
    const leave = () => {
      this.#idle = this.#idle.filter((other) => other.runner !== runner);
      this.#startEnding(runner);
    };
    const timer = this.#options.isLasting ? undefined : after(LINGER, leave);
    this.#idle = [...this.#idle, { runner, timer }];
  }

  #tellIfEmpty(): void {
    if (this.#working.size + this.#idle.length + this.#ending.size + this.#waiting > 0) return;
    this.#options.onEmpty();
    this.bell.ring();
  }

  #startEnding(runner: Runner): void {
    this.#ending.add(runner);
    runner
      .end()
      .catch(this.#options.onFailure)
      .finally(() => {
        this.#ending.delete(runner);
        this.bell.ring();
        this.#tellIfEmpty();
      });
  }
}
