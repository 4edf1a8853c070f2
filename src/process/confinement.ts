import type { JobLimits } from "../protocol/terms.ts";
import { Cgroup } from "./cgroup.ts";
import type { Credentials } from "./credentials.ts";
import { findHierarchies, type Hierarchy } from "./hierarchy.ts";
import { StartError } from "./program.ts";

/** What a program is put under before it runs. */
export interface Confinement {
  readonly nice: number | undefined;
  /** What control groups bound. */
  readonly group: Cgroup | undefined;
  /** What they could not, as resource limits: bytes of address space of each process; processes besides those of its user. */
  readonly memoryBytes: number | undefined;
  readonly processes: number | undefined;
}

/** What there is to bound with. */
export interface Means {
  readonly hierarchies: readonly Hierarchy[];
  readonly isRoot: boolean;
  readonly platform: NodeJS.Platform;
}

/** The means of this process; `user`: as whom a program runs that does not run as we do. */
export function findMeans(user?: Credentials): Means {
  const { platform } = process;
  const isRoot = user === undefined && process.getuid?.() === 0;
  return { hierarchies: findHierarchies(), isRoot, platform };
}

/** What these limits ask for, or undefined when that is nothing. Throws a `StartError` for what this system cannot bound. */
export function confine(
  { nice, memoryBytes: memory, processes: pids }: JobLimits,
  job: string,
  toMeans: () => Means = () => findMeans(),
): Confinement | undefined {
  if (nice === undefined && memory === undefined && pids === undefined) return undefined;
  const bounds = { ...(memory !== undefined && { memory }), ...(pids !== undefined && { pids }) };
  const { hierarchies, isRoot, platform } = toMeans();
  const { group, unbound } = Cgroup.create(job, bounds, hierarchies);
  try {
    check(unbound, isRoot, platform);
  } catch (error) {
    group?.[Symbol.dispose]();
    throw error;
  }
  return { nice, group, memoryBytes: unbound.memory, processes: unbound.pids };
}

function check(
  { memory, pids }: { memory?: number; pids?: number },
  isRoot: boolean,
  platform: string,
): void {
  const refuse = (what: string, why: string) =>
    new StartError("start_failed", `Cannot limit ${what}: ${why}`);
  if (memory !== undefined && platform !== "linux")
    throw refuse("memory", "this system offers no limit that holds");
  if (pids === undefined) return;
  if (platform === "win32") throw refuse("processes", "this system offers no limit that holds");
  if (isRoot)
    throw refuse(
      "processes",
      "resource limits do not bind root, and no control group with the pids controller can be made here",
    );
}
