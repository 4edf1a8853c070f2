import { readdirSync, statfsSync, statSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { delay } from "../lib/abort.ts";
import { hasLedger, removeLedger } from "../ledger/start.ts";
import { describeError, type Log } from "../lib/log.ts";
import { JobId } from "../protocol/id.ts";
import { MAX_RETAINED_BYTES, RETAINED_SHARE, REMOVED_JOB_MEMORY } from "../protocol/limits.ts";
import type { JobIndex } from "./job-index.ts";

/** Milliseconds between two sweeps. */
const SWEEP_INTERVAL = 60_000;

export interface RetentionOptions {
  readonly state: string;
  readonly index: JobIndex;
  readonly log: Log;
}

/** Bytes that all ledgers together may take on the file system of a state directory. */
export function findBudget(state: string): number {
  const { blocks, bsize } = statfsSync(state);
  return Math.min(MAX_RETAINED_BYTES, Math.floor(blocks * bsize * RETAINED_SHARE));
}

/** Sweeps now and then until the signal is aborted. */
export async function retain(options: RetentionOptions, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      runOnce(options, findBudget(options.state), Date.now());
    } catch (error) {
      options.log.error("ledgers not swept", { error: describeError(error) });
    }
    await delay(SWEEP_INTERVAL, signal);
  }
}

/**
 * Removes ended jobs, oldest first, until all ledgers together fit into the budget, and those whose ledger is gone: removed
 * by somebody else, or by a server that ended in the middle of it. Forgets the ids of those that were removed a day ago.
 * Answers what was removed. `now`: wall clock, ms.
 */
export function runOnce({ state, index, log }: RetentionOptions, budget: number, now: number): JobId[] {
  const ledgers = join(state, "ledgers");
  const sizes = new Map(
    readdirSync(ledgers).flatMap((name) => {
      const id = v.safeParse(JobId, name);
      return id.success ? [[id.output, sizeOf(join(ledgers, name))] as const] : [];
    }),
  );
  let total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  const removed: JobId[] = [];
  for (const id of index.listClosed()) {
    const ledger = join(ledgers, id);
    if (total <= budget && hasLedger(ledger)) continue;
    removeLedger(ledger);
    index.remove(id, now);
    total -= sizes.get(id) ?? 0;
    removed.push(id);
  }
  if (removed.length > 0) log.info("jobs removed", { jobs: removed.length, budget });
  // Last, as it may need room on the disk that the rest makes.
  index.forgetRemoved(now - REMOVED_JOB_MEMORY);
  return removed;
}

function sizeOf(directory: string): number {
  return readdirSync(directory)
    .map((name) => statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0)
    .reduce((sum, size) => sum + size, 0);
}
