import { paths } from "./path.ts";

/** The names on the way to something, what it begins at (`/`, `C:\`) being the first of an absolute one. */
export type Steps = readonly Buffer[];

/** Those of a path. A `.` on the way says nothing; at the end it says that only a directory is meant. */
export function toSteps(path: Uint8Array): Buffer[] {
  const { root, names } = paths.split(path);
  const steps = names.filter((name, index) => !isHere(name) || index === names.length - 1);
  return root.length === 0 ? steps : [root, ...steps];
}

export function toPath(steps: Steps): Buffer {
  const [root = Buffer.of(), ...names] = steps;
  return names.reduce((path, name) => paths.join(path, name), root);
}

/** Whether all of the second are the first of the first. */
export function beginsWith(steps: Steps, others: Steps): boolean {
  return others.length <= steps.length && others.every((name, index) => isSame(name, steps[index]));
}

/** A separator at its end: only a directory is meant. */
export function endsAsDirectory(path: Buffer): boolean {
  return paths.split(path.subarray(-1)).names.length === 0;
}

export function isHere(name: Uint8Array): boolean {
  return name.length === 1 && name[0] === DOT;
}

export function isAbove(name: Uint8Array): boolean {
  return name.length === 2 && name[0] === DOT && name[1] === DOT;
}

const DOT = 0x2e;

/** Windows knows one file by its name in any case. */
function isSame(one: Buffer, other: Buffer | undefined): boolean {
  if (other === undefined) return false;
  if (process.platform !== "win32") return one.equals(other);
  return one.toString().toUpperCase() === other.toString().toUpperCase();
}
