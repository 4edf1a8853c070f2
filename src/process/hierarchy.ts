import { readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/** What a control group can bound for us. */
export type Controller = "memory" | "pids";

/** A mounted hierarchy of control groups, and where in it we are. */
export interface Hierarchy {
  readonly version: 1 | 2;
  /** Those of a v1 hierarchy; the groups of a v2 one tell it of themselves. */
  readonly controllers: readonly string[];
  readonly mount: string;
  /** Our own group's directory. */
  readonly own: string;
}

/** The group into which our own processes go where v2 wants none beside the groups of jobs. */
export const SELF_GROUP = "farhand-self";

/** The hierarchies of this process, the unified one first; none where the system has no control groups. */
export function findHierarchies(): Hierarchy[] {
  try {
    return parseHierarchies(
      readFileSync("/proc/self/cgroup", "utf8"),
      readFileSync("/proc/self/mountinfo", "utf8"),
    );
  } catch {
    return [];
  }
}

/** Reads what /proc/self/cgroup and /proc/self/mountinfo tell of them (cgroups(7), proc_pid_mountinfo(5)). */
export function parseHierarchies(cgroup: string, mountinfo: string): Hierarchy[] {
  const groups = cgroup.split("\n").flatMap((line) => {
    const [, id, controllers = "", path = ""] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? [];
    return id === undefined ? [] : [{ isUnified: id === "0", controllers: controllers.split(","), path }];
  });
  const found = mountinfo.split("\n").flatMap((line): Hierarchy[] => {
    const [before = "", after = ""] = line.split(" - ");
    const [root = "", mount = ""] = before.split(" ").slice(3).map(unescapePath);
    const [type, , options = ""] = after.split(" ");
    if (type !== "cgroup" && type !== "cgroup2") return [];
    const group = groups.find(({ isUnified, controllers }) =>
      type === "cgroup2"
        ? isUnified
        : !isUnified && controllers.every((name) => options.split(",").includes(name)),
    );
    if (group === undefined) return [];
    const { controllers, isUnified, path } = group;
    const inside = root !== "/" && path.startsWith(root) ? path.slice(root.length) : path;
    return [
      { version: isUnified ? 2 : 1, controllers, mount, own: inside === "/" ? mount : join(mount, inside) },
    ];
  });
  return found.toSorted((a, b) => b.version - a.version);
}

/** Where groups of jobs may lie: below our own, with its bounds above them; or else at the top, where only root may write. */
export function findParents({ own, mount }: Hierarchy): string[] {
  const base = basename(own) === SELF_GROUP ? dirname(own) : own;
  return process.getuid?.() === 0 && base !== mount ? [base, mount] : [base];
}

/** Whether groups in this hierarchy can bound what the controller counts. */
export function hasController(hierarchy: Hierarchy, controller: Controller): boolean {
  if (hierarchy.version === 1) return hierarchy.controllers.includes(controller);
  return findParents(hierarchy).some((parent) =>
    readWords(join(parent, "cgroup.controllers")).includes(controller),
  );
}

/** The words of a file; none when it cannot be read. */
export function readWords(path: string): string[] {
  try {
    return readFileSync(path, "utf8").split(/\s+/).filter(Boolean);
  } catch {
    return [];
  }
}

/** Spaces and the like are written in octal there. */
function unescapePath(path: string): string {
  return path.replace(/\\(\d{3})/g, (_all, octal) => String.fromCharCode(Number.parseInt(octal, 8)));
}
