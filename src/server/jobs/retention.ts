import { readdirSync, statfsSync, statSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { delay, turn } from "../../lib/abort.ts";
import { describeError, type Log } from "../../lib/log.ts";
import { dismantleLedger, findProcess, hasLedger } from "../../ledger/start.ts";
import { ProcessTable } from "../../process/table.ts";
import { Tree } from "../../process/tree.ts";
import { JobId } from "../../protocol/id.ts";
import {
  MAX_RETAINED_BYTES,
  MIN_SEGMENT_BYTES,
  REMOVED_JOB_MEMORY,
  RETAINED_SHARE,
} from "../../protocol/limits.ts";
import type { EndedJob, JobIndex } from "./job-index.ts";
import type { RetentionLimits } from "./retention-limits.ts";

/** Milliseconds between two sweeps, and between two looks whether one is due because so much was written. */
const SWEEP_INTERVAL = 60_000;
const LOOK_INTERVAL = 250;
/** The share of the budget that jobs may write until the next sweep. */
const GROWTH_SHARE = 1 / 16;
/** Milliseconds since its end for which a job is spared by age and count: whoever started it may still be reading. */
const SPARED = 60_000;
/** Milliseconds of sweeping after which everything else has a turn. */
const SLICE = 5;

export interface RetentionOptions {
  readonly state: string;
  readonly index: JobIndex;
  readonly log: Log;
  readonly limits: RetentionLimits;
  readonly live: LiveLedgers;
}

/** The ledgers that keepers write. */
export interface LiveLedgers {
  /** Bytes written to all of them; never falls. */
  readonly written: number;
  /** Has the oldest output of a job dropped that no holder needs, until at most so many bytes are kept. */
  trim(job: JobId, bytes: number): void;
}

/** What lies under `ledgers`, in bytes. */
interface Inventory {
  readonly ended: ReadonlyMap<JobId, number>;
  readonly running: ReadonlyMap<JobId, number>;
}

/** Bytes that all ledgers together may take on the file system of a state directory, unless told otherwise. */
function findBudget(state: string): number {
  const { blocks, bsize } = statfsSync(state);
  return Math.min(MAX_RETAINED_BYTES, Math.floor(blocks * bsize * RETAINED_SHARE));
}

/** Sweeps now and then, and when much was written, until the signal is aborted. */
export async function retain(retention: Retention, signal: AbortSignal): Promise<void> {
  for (;;) {
    await retention.sweep(Date.now());
    const began = performance.now();
    do await delay(LOOK_INTERVAL, signal);
    while (performance.now() - began < SWEEP_INTERVAL && !retention.isDue);
  }
}

/** Removes jobs that are over, oldest first, until what is left is within the limits, and trims those that run. */
export class Retention {
  readonly #options: RetentionOptions;
  /** Of complete ledgers, which grow no more. */
  readonly #sizes = new Map<JobId, number>();
  /** What had been written when the last sweep began. */
  #swept = 0;
  /** Bytes that all ledgers together may take, as of then. */
  #budget = Number.POSITIVE_INFINITY;
  /** The processes that there are, as of the last sweep. */
  #table = new ProcessTable();
  /** When the event loop last had a turn. */
  #began = 0;

  constructor(options: RetentionOptions) {
    this.#options = options;
  }

  /** Whether so much was written since the last sweep that the next must not wait. */
  get isDue(): boolean {
    return this.#options.live.written - this.#swept > this.#budget * GROWTH_SHARE;
  }

  /** As `runOnce`, but logs what prevents it. */
  async sweep(now: number): Promise<void> {
    try {
      await this.runOnce(now);
    } catch (error) {
      this.#options.log.error("ledgers not swept", { error: describeError(error) });
    }
  }

  /**
   * Removes what is beyond the limits (but no lost job whose processes still run, which only its ledger tells of), and jobs
   * whose ledger is gone: removed by somebody else, or by a server that ended in the middle of it. Running jobs lose their
   * oldest output when all others are gone and it is still too much, the largest first. Forgets the ids of those that were
   * removed a day ago. Answers what was removed. `now`: wall clock, ms.
   */
  async runOnce(now: number): Promise<JobId[]> {
    const { index, log, live, limits, state } = this.#options;
    this.#budget = limits.bytes ?? findBudget(state);
    this.#swept = live.written;
    this.#began = performance.now();
    this.#table = new ProcessTable();
    const budget = this.#budget;
    const ended = index.listEnded();
    const found = await this.#measure(ended);
    let total = sum(found.ended.values()) + sum(found.running.values());
    let left = ended.length;
    const removed: JobId[] = [];
    for (const job of ended) {
      const bytes = found.ended.get(job.id);
      const isDue = total > budget || this.#isExpired(job, left, now);
      if (bytes !== undefined && (!isDue || (await this.#hasProcesses(job)))) continue;
      await this.#remove(job.id, now);
      total -= bytes ?? 0;
      left--;
      removed.push(job.id);
      await this.#pause();
    }
    if (removed.length > 0) log.info("jobs removed", { jobs: removed.length, budget });
    if (total > budget) this.#trim(found.running, total - budget);
    // Last, as it may need room on the disk that the rest makes.
    index.forgetRemoved(now - REMOVED_JOB_MEMORY);
    return removed;
  }

  #isExpired({ endedAt }: EndedJob, left: number, now: number): boolean {
    const { age, jobs } = this.#options.limits;
    const since = endedAt === "" ? 0 : Date.parse(endedAt);
    return (left > jobs || now - since > age) && now - since > SPARED;
  }

  async #measure(ended: readonly EndedJob[]): Promise<Inventory> {
    const isOver = new Set(ended.map(({ id }) => id));
    const found = { ended: new Map<JobId, number>(), running: new Map<JobId, number>() };
    for (const name of readdirSync(this.#toPath(""))) {
      const id = v.safeParse(JobId, name);
      if (!id.success) continue;
      const bytes = this.#sizes.get(id.output) ?? this.#sizeOf(id.output, isOver.has(id.output));
      if (bytes !== undefined) found[isOver.has(id.output) ? "ended" : "running"].set(id.output, bytes);
      await this.#pause();
    }
    this.#sizes.clear();
    for (const [id, bytes] of found.ended) this.#sizes.set(id, bytes);
    return found;
  }

  /** Bytes of a ledger; undefined where it is gone, or is that of a job that is over and no more than a rest. */
  #sizeOf(id: JobId, isOver: boolean): number | undefined {
    const directory = this.#toPath(id);
    if (isOver && !hasLedger(directory)) return undefined;
    try {
      return sum(
        readdirSync(directory).map(
          (name) => statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0,
        ),
      );
    } catch {
      return undefined; // removed since the listing, or no directory
    }
  }

  async #hasProcesses({ id, outcome }: EndedJob): Promise<boolean> {
    const leader = outcome === "lost" ? findProcess(this.#toPath(id)) : undefined;
    const table = this.#table;
    return leader !== undefined && (await new Tree({ leader, mark: id, table }).findSoon()).length > 0;
  }

  async #remove(id: JobId, now: number): Promise<void> {
    this.#sizes.delete(id);
    for (const _ of dismantleLedger(this.#toPath(id))) await this.#pause();
    this.#options.index.remove(id, now);
  }

  /** Cuts what the largest running jobs have above a common bound, so that small ones lose nothing. */
  #trim(running: Inventory["running"], excess: number): void {
    const { live, log } = this.#options;
    const bound = Math.max(MIN_SEGMENT_BYTES, findBound([...running.values()], excess));
    const large = [...running].filter(([, bytes]) => bytes > bound);
    for (const [id] of large) live.trim(id, bound);
    if (large.length > 0) log.info("running jobs trimmed", { jobs: large.length, excess, bound });
  }

  async #pause(): Promise<void> {
    if (performance.now() - this.#began < SLICE) return;
    await turn();
    this.#began = performance.now();
  }

  #toPath(id: JobId | ""): string {
    return join(this.#options.state, "ledgers", id);
  }
}

/** The bound down to which sizes must be cut so that their sum falls by `excess`; 0 when they do not have so much. */
function findBound(sizes: readonly number[], excess: number): number {
  const falling = sizes.toSorted((a, b) => b - a);
  let above = 0;
  for (const [index, size] of falling.entries()) {
    above += size;
    const bound = (above - excess) / (index + 1);
    if (bound >= (falling[index + 1] ?? 0)) return Math.floor(bound);
  }
  return 0;
}

function sum(numbers: Iterable<number>): number {
  let sum = 0;
  for (const number of numbers) sum += number;
  return sum;
}
