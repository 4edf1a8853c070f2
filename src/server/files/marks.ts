import type { BigIntStats } from "node:fs";
import { lstat, readdir, readlink, stat } from "node:fs/promises";
import { paths } from "./path.ts";
import { toPath, toSteps } from "./steps.ts";

/** What the server itself lives on, by absolute paths; what is not there is none of it. */
export interface OwnFiles {
  /** What only the server itself may see: its state, its configuration, its keys. */
  readonly sealed: readonly string[];
  /** What it is made of, which others may read but not change. */
  readonly fixed: readonly string[];
}

/** Something as the system knows it, whatever its path is. */
export type Identified = Pick<BigIntStats, "dev" | "ino">;

/** What is known of files whose names and mounts may change, as `toId` names them. */
export interface Marks {
  readonly sealed: ReadonlySet<string>;
  /** Whatever leads to those, and to what is fixed. */
  readonly fixed: ReadonlySet<string>;
  /** File systems of devices. */
  readonly devices: ReadonlySet<bigint>;
}

/** Links that are followed one after another on the way to a file of ours. */
const MAX_LINKS = 40;

export function toId({ dev, ino }: Identified): string {
  return `${dev}:${ino}`;
}

export async function findMarks({ sealed, fixed }: OwnFiles): Promise<Marks> {
  const [own, ways, devices] = await Promise.all([
    Promise.all(sealed.map(findSealed)),
    findWays([...sealed, ...fixed]),
    findDevices(),
  ]);
  return { sealed: new Set(own.flat()), fixed: new Set(ways), devices };
}

/** All that leads to these paths, and what they lead to. */
export async function findWays(all: readonly string[]): Promise<readonly string[]> {
  return (await Promise.all(all.map((path) => findWay(Buffer.from(path))))).flat();
}

/** Something, and all that is in it by name: it may be mounted or linked elsewhere by itself. */
async function findSealed(path: string): Promise<readonly string[]> {
  const names = await readdir(path, { encoding: "buffer" }).catch(() => []); // a file, or not for us
  const own = Buffer.from(path);
  const all = [own, ...names.map((name) => paths.join(own, name))];
  return (await Promise.all(all.map(identify))).flat();
}

/** Nothing where it is not there, or not for us. */
async function identify(path: Buffer): Promise<readonly string[]> {
  return await stat(path, { bigint: true }).then(
    (found) => [toId(found)],
    () => [],
  );
}

/** All that leads to a path, and itself: each directory, and each link with all that leads to where it leads. */
async function findWay(path: Buffer, links = 0): Promise<readonly string[]> {
  const steps = toSteps(path);
  const way: string[] = [];
  for (let count = 1; count <= steps.length; count++) {
    const there = toPath(steps.slice(0, count));
    const found = await lstat(there, { bigint: true }).catch(() => undefined);
    if (found === undefined) return way; // it is not there, or not for us
    way.push(toId(found));
    if (!found.isSymbolicLink() || links >= MAX_LINKS) continue;
    const target = await readlink(there, { encoding: "buffer" });
    way.push(...(await findWay(paths.resolve(toPath(steps.slice(0, count - 1)), target), links + 1)));
  }
  return way;
}

/** The file system of the devices, where they have one. */
async function findDevices(): Promise<ReadonlySet<bigint>> {
  if (process.platform === "win32") return new Set();
  const [root, devices] = await Promise.all(
    ["/", "/dev"].map((path) => stat(path, { bigint: true }).catch(() => undefined)),
  );
  return new Set(devices === undefined || devices.dev === root?.dev ? [] : [devices.dev]);
}
