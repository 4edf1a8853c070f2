import { delay } from "../lib/abort.ts";
import { findChildren, listProcesses } from "./identity.ts";
import type { Libc } from "./libc.ts";

/** Milliseconds between looks for orphans that have died. */
export const REAP_EVERY = 1_000;

/**
 * Waits for orphans that became our children, which Bun leaves as zombies. Only what is known to be no child of Bun's own
 * is waited for, each by its pid.
 */
export class Reaper {
  readonly #libc: Libc;
  /** Children that Bun waits for. */
  readonly #own = new Set<number>();

  constructor(libc: Libc) {
    this.#libc = libc;
  }

  /** Leaves a child to Bun until that has waited for it. Call it in the turn in which the child is started. */
  leave(pid: number, exited: Promise<unknown>): void {
    this.#own.add(pid);
    const forget = () => void this.#own.delete(pid);
    exited.then(forget, forget);
  }

  /** Waits for the dead among the orphans, and answers how many live. */
  runOnce(): number {
    let living = 0;
    for (const pid of listChildren()) {
      if (this.#own.has(pid)) continue;
      if (!this.#libc.reap(pid)) living++; // cheaper than to look what becomes of it
    }
    return living;
  }
}

/** Reaps at intervals, for as long as we live. Ends only by the signal, whose reason it throws. */
export async function reap(reaper: Reaper, signal: AbortSignal): Promise<never> {
  for (;;) {
    await delay(REAP_EVERY, signal);
    reaper.runOnce();
  }
}

function listChildren(): number[] {
  const all = () => listProcesses().filter(({ parent }) => parent === process.pid);
  return findChildren() ?? all().map(({ pid }) => pid);
}
