import { after } from "../../lib/abort.ts";
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
  /** A runner could not be ended. */
  readonly onFailure: (error: unknown) => void;
  /** There is none of it any more. */
  readonly onEmpty: () => void;
}

/** Runners that do each other's calls. */
export class Crew implements AsyncDisposable {
  /** Rings when one is done. */
  readonly bell = new Bell();
  readonly #options: CrewOptions & CrewEvents;
  readonly #working = new Set<Runner>();
  /** The last one was used last. */
  #idle: readonly { readonly runner: Runner; readonly timer: Disposable | undefined }[] = [];
  #isRetired = false;

  constructor(options: CrewOptions & CrewEvents) {
    this.#options = options;
  }

  get isFull(): boolean {
    return this.#working.size >= this.#options.max;
  }

  /** Whether it does no more calls than those that are under way. */
  get isRetired(): boolean {
    return this.#isRetired;
  }

  /** One that waits, or a new one. */
  claim(): Runner {
    const runner = this.#findIdle() ?? this.#options.start();
    this.#working.add(runner);
    return runner;
  }

  /** Takes back one that was claimed. Runs by itself: it may still have to be told what its last call did not take. */
  startReleasing(runner: Runner): void {
    this.#release(runner).catch(this.#options.onFailure);
  }

  /** Ends those that wait, and each that works once it is done. */
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
    const all = [...this.#working, ...this.#idle.map(({ runner }) => runner)];
    this.retire();
    await Promise.all(all.map((runner) => runner.end()));
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
    // Where there is to be one only, the next begins when it has ended.
    if (!isKept) await runner.end().catch(this.#options.onFailure);
    this.#working.delete(runner);
    this.bell.ring();
    if (isKept) this.#keep(runner);
    else this.#tellIfEmpty();
  }

  #keep(runner: Runner): void {
    const leave = () => {
      this.#idle = this.#idle.filter((other) => other.runner !== runner);
      this.#startEnding(runner);
      this.#tellIfEmpty();
    };
    const timer = this.#options.isLasting ? undefined : after(LINGER, leave);
    this.#idle = [...this.#idle, { runner, timer }];
  }

  #tellIfEmpty(): void {
    if (this.#working.size === 0 && this.#idle.length === 0) this.#options.onEmpty();
  }

  #startEnding(runner: Runner): void {
    runner.end().catch(this.#options.onFailure);
  }
}
