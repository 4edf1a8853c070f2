import { readFileSync, readlinkSync } from "node:fs";
import { expectAnswer, type ProcessRow } from "./identity.ts";

/** The variable that names the job in the environment of all its processes. */
export const MARK = "FARHAND_JOB";

/** Those that have this process as their parent; undefined for all there are. */
type Parent = number | undefined;

/** All processes of one moment, and what ties them together, which is looked up once however many ask. */
export class Census {
  /** When it was begun and when it was complete, on the clock of `performance.now()`. */
  readonly began: number;
  readonly ended: number = performance.now();
  /** Milliseconds of work that it has taken so far. */
  #cost: number;
  readonly #rows: readonly ProcessRow[];
  readonly #pids: ReadonlyMap<number, ProcessRow>;
  readonly #children: ReadonlyMap<number, readonly ProcessRow[]>;
  readonly #sessions: ReadonlyMap<number, readonly ProcessRow[]>;
  readonly #groups: ReadonlyMap<number, readonly ProcessRow[]>;
  readonly #marked = new Map<Parent, ReadonlyMap<string, readonly ProcessRow[]>>();
  readonly #holding = new Map<Parent, ReadonlyMap<number, readonly ProcessRow[]>>();

  constructor(rows: readonly ProcessRow[], { began, cost }: { began: number; cost: number }) {
    this.began = began;
    this.#cost = cost;
    this.#rows = rows;
    this.#pids = new Map(rows.map((row) => [row.pid, row]));
    this.#children = Map.groupBy(rows, ({ parent }) => parent);
    this.#sessions = Map.groupBy(rows, ({ session }) => session);
    this.#groups = Map.groupBy(rows, ({ group }) => group);
  }

  get cost(): number {
    return this.#cost;
  }

  find(pid: number): ProcessRow | undefined {
    return this.#pids.get(pid);
  }

  childrenOf(pid: number): readonly ProcessRow[] {
    return this.#children.get(pid) ?? [];
  }

  /** Members of the session or the group that a process leads. */
  ledBy(pid: number): readonly ProcessRow[] {
    return [...(this.#sessions.get(pid) ?? []), ...(this.#groups.get(pid) ?? [])];
  }

  /** Those that carry this mark. */
  marked(mark: string, parent: Parent): readonly ProcessRow[] {
    const index = this.#lookUp(this.#marked, parent, ({ pid }) => findMarks(pid));
    return index.get(mark) ?? [];
  }

  /** Those that have one of these pipes as stdin, stdout or stderr. */
  holding(pipes: readonly number[], parent: Parent): readonly ProcessRow[] {
    if (pipes.length === 0) return [];
    const index = this.#lookUp(this.#holding, parent, ({ pid }) => findPipes(pid));
    return pipes.flatMap((pipe) => index.get(pipe) ?? []);
  }

  #lookUp<K>(
    indexes: Map<Parent, ReadonlyMap<K, readonly ProcessRow[]>>,
    parent: Parent,
    toKeys: (row: ProcessRow) => readonly K[],
  ): ReadonlyMap<K, readonly ProcessRow[]> {
    const known = indexes.get(parent);
    if (known !== undefined) return known;
    const began = performance.now();
    const index = new Map<K, ProcessRow[]>();
    for (const row of parent === undefined ? this.#rows : this.childrenOf(parent)) {
      for (const key of toKeys(row)) {
        const rows = index.get(key);
        if (rows === undefined) index.set(key, [row]);
        else rows.push(row);
      }
    }
    indexes.set(parent, index);
    this.#cost += performance.now() - began;
    return index;
  }
}

/** Whether a process carries a mark, or has one of these pipes as stdin, stdout or stderr. */
export function isOf(pid: number, mark: string, pipes: readonly number[]): boolean {
  return findMarks(pid).includes(mark) || findPipes(pid).some((pipe) => pipes.includes(pipe));
}

/** Which jobs a process says it is of; a program may have put more than one into its environment. */
export function findMarks(pid: number): string[] {
  try {
    const prefix = `${MARK}=`;
    const variables = readFileSync(`/proc/${pid}/environ`, "latin1").split("\0");
    return variables.flatMap((text) => (text.startsWith(prefix) ? [text.slice(prefix.length)] : []));
  } catch (error) {
    expectAnswer(error);
    return []; // it ended meanwhile, is another user's, or the system shows no environments
  }
}

function findPipes(pid: number): number[] {
  return [0, 1, 2].flatMap((fd) => findPipe(pid, fd) ?? []);
}

function findPipe(pid: number, fd: number): number | undefined {
  try {
    const [, inode] = /^pipe:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? [];
    return inode === undefined ? undefined : Number(inode);
  } catch (error) {
    expectAnswer(error);
    return undefined; // closed, ended, or another user's
  }
}
