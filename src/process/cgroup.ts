import { mkdirSync, readdirSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Controller,
  findParents,
  hasController,
  type Hierarchy,
  readWords,
  SELF_GROUP,
} from "./hierarchy.ts";

/** How much of what its processes may have together: bytes of memory, processes and threads. */
export type Bounds = Readonly<Partial<Record<Controller, number>>>;

/** Groups of jobs are called so, and then by their job. */
const PREFIX = "farhand-job-";

/** Milliseconds after which a group that is still empty is nobody's. */
const ABANDONED_AGE = 60_000;

/** The files by which each version bounds what a controller counts; those with a "?" need not be there. */
const FILES = {
  1: { memory: ["memory.limit_in_bytes", "?memory.memsw.limit_in_bytes"], pids: ["pids.max"] },
  2: { memory: ["memory.max", "?memory.swap.max"], pids: ["pids.max"] },
} as const;

/** The control groups of one job: one directory in each hierarchy that takes part in bounding it. */
export class Cgroup implements Disposable {
  readonly #directories: readonly string[];

  constructor(directories: readonly string[]) {
    this.#directories = directories;
  }

  /** Makes groups that bound as much of this as the hierarchies can, and answers what they cannot. */
  static create(
    job: string,
    bounds: Bounds,
    hierarchies: readonly Hierarchy[],
  ): { readonly group: Cgroup | undefined; readonly unbound: Bounds } {
    const unbound: Partial<Record<Controller, number>> = { ...bounds };
    const directories: string[] = [];
    for (const hierarchy of hierarchies) {
      const own = Object.entries(unbound).filter(([name]) => hasController(hierarchy, name as Controller));
      const directory = own.length === 0 ? undefined : findRoom(hierarchy, job, Object.fromEntries(own));
      if (directory === undefined) continue;
      directories.push(directory);
      for (const [name] of own) delete unbound[name as Controller];
    }
    return { group: directories.length === 0 ? undefined : new Cgroup(directories), unbound };
  }

  /** Where a process writes `0` to become a member. */
  get doors(): string[] {
    return this.#directories.map((directory) => join(directory, "cgroup.procs"));
  }

  /** The pids of its members. */
  list(): number[] {
    return this.doors.flatMap(readWords).map(Number);
  }

  /** Lets no member make another, and kills all where the kernel can do that at once (v2, Linux 5.14). */
  kill(): void {
    for (const directory of this.#directories) {
      writeIfThere(join(directory, "pids.max"), "0");
      writeIfThere(join(directory, "cgroup.kill"), "1");
    }
  }

  /** Removes it; one that still has members stays, and is removed when it is found without them. */
  [Symbol.dispose](): void {
    for (const directory of this.#directories) remove(directory);
  }
}

/** The directory of a new group with these bounds, or undefined where none can be made. */
function findRoom(hierarchy: Hierarchy, job: string, bounds: Bounds): string | undefined {
  for (const parent of findParents(hierarchy)) {
    const directory = join(parent, `${PREFIX}${job}`);
    try {
      removeAbandoned(parent);
      if (hierarchy.version === 2) enable(parent, Object.keys(bounds));
      mkdirSync(directory);
      bound(directory, hierarchy.version, bounds);
      return directory;
    } catch {
      remove(directory); // no such hierarchy for us here: the next, or resource limits, or a refusal
    }
  }
  return undefined;
}

function bound(directory: string, version: 1 | 2, bounds: Bounds): void {
  for (const [name, most] of Object.entries(bounds)) {
    for (const file of FILES[version][name as Controller]) {
      const path = join(directory, file.replace("?", ""));
      // v1 counts memory and swap together; v2 counts swap for itself.
      const value = file === "?memory.swap.max" ? 0 : most;
      if (file.startsWith("?")) writeIfThere(path, String(value));
      else writeFileSync(path, String(value));
    }
  }
}

/** Lets the groups below bound these. One whose groups do may have no processes besides, so ours go to a group as well. */
function enable(parent: string, controllers: readonly string[]): void {
  const file = join(parent, "cgroup.subtree_control");
  const enabled = readWords(file);
  const missing = controllers.filter((name) => !enabled.includes(name));
  if (missing.length === 0) return;
  const demand = missing.map((name) => `+${name}`).join(" ");
  try {
    writeFileSync(file, demand);
  } catch (error) {
    // What root finds is most often somebody else's (systemd's); a user can write only to what was given to him.
    if (process.getuid?.() === 0) throw error;
    stepDown(parent);
    writeFileSync(file, demand);
  }
}

function stepDown(parent: string): void {
  mkdirSync(join(parent, SELF_GROUP), { recursive: true });
  for (const pid of readWords(join(parent, "cgroup.procs")))
    writeFileSync(join(parent, SELF_GROUP, "cgroup.procs"), pid);
}

/** Groups that a keeper left which was killed. Those that have members cannot be removed, and stay. */
function removeAbandoned(parent: string): void {
  for (const name of readdirSync(parent)) {
    if (!name.startsWith(PREFIX)) continue;
    const made = statSync(join(parent, name), { throwIfNoEntry: false })?.ctimeMs;
    if (made !== undefined && Date.now() - made > ABANDONED_AGE) remove(join(parent, name));
  }
}

function remove(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // It has members, or is gone already, or never was.
  }
}

function writeIfThere(path: string, value: string): void {
  try {
    writeFileSync(path, value, { flag: "r+" });
  } catch {
    // This kernel does without it.
  }
}
