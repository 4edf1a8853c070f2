import { readFileSync, readlinkSync } from "node:fs";
import type { ProcessIdentity } from "../protocol/job.ts";
import type { Cgroup } from "./cgroup.ts";
import { isOfThisBoot, type ProcessRow } from "./identity.ts";
import { ProcessTable } from "./table.ts";

/** The variable that names the job in the environment of all its processes. */
export const MARK = "FARHAND_JOB";

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
}

/**
 * All processes of a job, wherever they went: members of its session and groups, those that carry its mark or have its
 * pipes as stdin, stdout or stderr, whoever was seen to be one before, and the descendants of all these. Each is known
 * by pid and start time, so that no other process is ever taken for one.
 */
export class Tree {
  readonly #options: TreeOptions;
  readonly #table: ProcessTable;
  /** Start times of all that were found so far, by pid. */
  readonly #seen = new Map<number, string>();

  constructor(options: TreeOptions) {
    this.#options = options;
    this.#table = options.table ?? new ProcessTable();
    this.#seen.set(options.leader.pid, options.leader.startTime);
  }

  get leader(): ProcessIdentity {
    return this.#options.leader;
  }

  /** Its living processes; some may have ended a moment ago, but none that there are is no news. */
  find(): ProcessRow[] {
    const found = this.#pick(this.#table.read());
    return found.length > 0 ? found : this.#pick(this.#table.readNow());
  }

  #pick(all: readonly ProcessRow[]): ProcessRow[] {
    const rows = all.filter(({ pid }) => pid !== process.pid); // a job may have started this very server
    const isSession = this.#ownsSession(rows);
    const grouped = new Set(this.#options.group?.list());
    const found = new Set(rows.filter((row) => grouped.has(row.pid) || this.#isMember(row, isSession)));
    const children = Map.groupBy(rows, ({ parent }) => parent);
    for (const { pid } of found) for (const child of children.get(pid) ?? []) found.add(child);
    const living = [...found].filter(({ isZombie }) => !isZombie);
    for (const { pid, startTime } of living) this.#seen.set(pid, startTime);
    return living;
  }

  /** A session's id is not given to a new process while members live, so another leader means that all are gone. */
  #ownsSession(rows: readonly ProcessRow[]): boolean {
    const { leader } = this.#options;
    const holder = rows.find(({ pid }) => pid === leader.pid);
    return holder === undefined ? isOfThisBoot(leader) : holder.startTime === leader.startTime;
  }

  #isMember(row: ProcessRow, isSession: boolean): boolean {
    const { leader, adopter } = this.#options;
    if (this.#seen.get(row.pid) === row.startTime) return true;
    if (isSession && (row.session === leader.pid || row.group === leader.pid)) return true;
    const mayBeOrphan = adopter === undefined || row.parent === adopter;
    return mayBeOrphan && (this.#isMarked(row.pid) || this.#hasPipes(row.pid));
  }

  #isMarked(pid: number): boolean {
    try {
      const environment = readFileSync(`/proc/${pid}/environ`, "latin1");
      return environment.split("\0").includes(`${MARK}=${this.#options.mark}`);
    } catch {
      return false; // it ended meanwhile, is another user's, or the system shows no environments
    }
  }

  #hasPipes(pid: number): boolean {
    const { pipes = [] } = this.#options;
    return pipes.length > 0 && [0, 1, 2].some((fd) => pipes.includes(findPipe(pid, fd) ?? -1));
  }
}

function findPipe(pid: number, fd: number): number | undefined {
  try {
    const [, inode] = /^pipe:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? [];
    return inode === undefined ? undefined : Number(inode);
  } catch {
    return undefined; // closed, ended, or another user's
  }
}
