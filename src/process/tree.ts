import type { ProcessIdentity } from "../protocol/job.ts";
import { type Census, isOf } from "./census.ts";
import type { Cgroup } from "./cgroup.ts";
import { findChildren, findStat, isOfThisBoot, type ProcessRow } from "./identity.ts";
import { ProcessTable } from "./table.ts";

/** Looks at who has just come, as long as it is somebody else each time. */
const FRESH_TRIES = 20;

export interface TreeOptions {
  /** The job's program, leader of a session and process group of its own. */
  readonly leader: ProcessIdentity;
  /** The job's id, as the variable has it. */
  readonly mark: string;
  /** Inodes of the pipes that the program was given, as far as they are known. */
  readonly pipes?: readonly number[];
  /** The control group that it was put into, if there is one. */
  readonly group?: Cgroup | undefined;
  /** What lists the processes; one of its own unless it shares one. */
  readonly table?: ProcessTable;
  /** The process to which those of its descendants go that lose their parents; undefined if that may be any. */
  readonly adopter?: number | undefined;
  /** When its program was started, on the clock of `performance.now()`: what was listed before tells nothing. Long ago unless told. */
  readonly since?: number;
}

/**
 * All processes of a job, wherever they went: members of its session and groups, those that carry its mark or have its
 * pipes as stdin, stdout or stderr, whoever was seen to be one before, and the descendants of all these. Each is known
 * by pid and start time, so that no other process is ever taken for one.
 */
export class Tree {
  readonly #options: TreeOptions;
  readonly #table: ProcessTable;
  /** What was listed before this moment, on the clock of `performance.now()`, cannot show that nobody is left. */
  #since: number | undefined;
  /** Start times of all that were found so far, by pid. */
  readonly #seen = new Map<number, string>();

  constructor(options: TreeOptions) {
    this.#options = options;
    this.#table = options.table ?? new ProcessTable();
    this.#since = options.since;
    this.#seen.set(options.leader.pid, options.leader.startTime);
  }

  get leader(): ProcessIdentity {
    return this.#options.leader;
  }

  /** Its living processes; some may have ended a moment ago, but none that there are is no news. */
  find(): ProcessRow[] {
    const found = this.#pick(this.#table.read());
    return found.length > 0 ? found : this.#pick(this.#table.read(this.#since));
  }

  /** The same; while it looks everything else has its turns, however many processes there are. */
  async findSoon(): Promise<ProcessRow[]> {
    const found = this.#pick(await this.#table.readSoon());
    if (found.length > 0) return found;
    const census = await this.#table.readSoon(this.#since);
    const known = this.#pick(census);
    return known.length > 0 ? known : this.#findFresh(census);
  }

  /** Who has come to us since a list was made: those of which each makes another and ends at once are in no list. */
  #findFresh(census: Census): ProcessRow[] {
    const { mark, pipes = [], adopter } = this.#options;
    if (adopter !== process.pid) return [];
    for (let tries = 0, before = ""; tries < FRESH_TRIES; tries++) {
      const fresh = (findChildren() ?? []).filter((pid) => census.find(pid) === undefined);
      if (fresh.join() === before) return [];
      before = fresh.join();
      const rows = fresh.flatMap((pid) => findStat(pid) ?? []).filter(({ isZombie }) => !isZombie);
      const ours = rows.filter(({ pid }) => isOf(pid, mark, pipes));
      if (ours.length === 0) continue;
      this.#since = performance.now();
      return ours;
    }
    return [];
  }

  #pick(census: Census): ProcessRow[] {
    const { leader, mark, pipes = [], group, adopter } = this.#options;
    const found = new Set<ProcessRow>();
    const add = (rows: readonly ProcessRow[]) => {
      for (const row of rows) if (row.pid !== process.pid) found.add(row); // a job may have started this very server
    };
    add(this.#stillThere(census));
    if (this.#ownsSession(census)) add(census.ledBy(leader.pid));
    add(group?.list().flatMap((pid) => census.find(pid) ?? []) ?? []);
    add(census.marked(mark, adopter));
    add(census.holding(pipes, adopter));
    for (const { pid } of found) add(census.childrenOf(pid));
    const living = [...found].filter(({ isZombie }) => !isZombie);
    for (const { pid, startTime } of living) this.#seen.set(pid, startTime);
    return living;
  }

  /** Those that were found before; who is gone does not come back. */
  #stillThere(census: Census): ProcessRow[] {
    return [...this.#seen].flatMap(([pid, startTime]) => {
      const row = census.find(pid);
      if (row?.startTime === startTime) return [row];
      this.#seen.delete(pid);
      return [];
    });
  }

  /** A session's id is not given to a new process while members live, so another leader means that all are gone. */
  #ownsSession(census: Census): boolean {
    const { leader } = this.#options;
    const holder = census.find(leader.pid);
    return holder === undefined ? isOfThisBoot(leader) : holder.startTime === leader.startTime;
  }
}
