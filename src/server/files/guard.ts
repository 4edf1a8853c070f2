import type { BigIntStats } from "node:fs";
import { lstat, readdir, readlink, stat, statfs } from "node:fs/promises";
import type { Folder } from "./folder.ts";
import { paths } from "./path.ts";
import { OutsideError } from "./outside.ts";
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

/** Linux's file systems that hold no files of anybody's: proc, sysfs, devpts, cgroups, debugfs, tracefs, securityfs, configfs, bpf, nsfs. */
const SYSTEM_TYPES = [
  0x9fa0, 0x62656572, 0x1cd1, 0x27e0eb, 0x63677270, 0x64626720, 0x74726163, 0x73636673, 0x62656570,
  0xcafe4a11, 0x6e736673,
];

/** As in proc(5): in the first directory the processes are directories. */
const PROC = 0x9fa0;
const PROC_ROOT = 1n;

const HERE = Buffer.from(".");

/** Links that are followed one after another on the way to a file of ours. */
const MAX_LINKS = 40;

/** What is known of files whose names and mounts may change. */
interface Marks {
  readonly sealed: ReadonlySet<string>;
  readonly fixed: ReadonlySet<string>;
  /** File systems of devices. */
  readonly devices: ReadonlySet<bigint>;
}

/** Knows what nobody reaches who is confined to directories, be it in them by whatever name, link or mount. */
export class Guard {
  readonly #marks: Marks;
  /** File systems that are known to be no system's, or are named by a root. */
  readonly #known: Set<bigint>;

  private constructor(marks: Marks, known: readonly bigint[] = []) {
    this.#marks = marks;
    this.#known = new Set(known);
  }

  static async open({ sealed, fixed }: OwnFiles): Promise<Guard> {
    const [own, ways, devices] = await Promise.all([
      Promise.all(sealed.map(findSealed)),
      Promise.all([...sealed, ...fixed].map((path) => findWay(Buffer.from(path)))),
      findDevices(),
    ]);
    return new Guard({ sealed: new Set(own.flat()), fixed: new Set(ways.flat()), devices });
  }

  /** The same, for which some directories too may not be changed, nor anything that leads to them. */
  async keeping(directories: readonly string[]): Promise<Guard> {
    const ways = await Promise.all(directories.map((path) => findWay(Buffer.from(path))));
    return new Guard({ ...this.#marks, fixed: new Set([...this.#marks.fixed, ...ways.flat()]) });
  }

  /** For what is in a root, whose own file system is no secret. */
  within({ dev }: Identified): Guard {
    return new Guard(this.#marks, [dev]);
  }

  /** Throws `OutsideError` for what may not even be seen. `path`: by which the system finds it. */
  async check(found: Identified, path: Buffer): Promise<void> {
    if (this.isSealed(found)) throw new OutsideError("is the server's own");
    if (this.#known.has(found.dev)) return;
    const isSystem = this.#marks.devices.has(found.dev) || (await isSystemType(path));
    if (isSystem) throw new OutsideError("is the system's own, and none of your directories names it");
    this.#known.add(found.dev);
  }

  /** Throws `OutsideError` for what may not be changed, moved or removed, though it may be seen. */
  checkChange(found: Identified): void {
    if (this.#marks.fixed.has(toId(found)))
      throw new OutsideError("may not be changed: the server, or what you are confined to, depends on it");
  }

  /** Throws `OutsideError` for the directory of a process, whose memory and open files it shows. */
  async checkName(folder: Folder, name: Uint8Array): Promise<void> {
    if (process.platform !== "linux" || !/^\d+$/.test(Buffer.from(name).toString("latin1"))) return;
    const isProc = async () => (await statfs(folder.at(HERE))).type === PROC;
    if ((await folder.stat()).ino !== PROC_ROOT || !(await isProc())) return;
    throw new OutsideError("is the system's own");
  }

  isSealed(found: Identified): boolean {
    return this.#marks.sealed.has(toId(found));
  }
}

function toId({ dev, ino }: Identified): string {
  return `${dev}:${ino}`;
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

async function isSystemType(path: Buffer): Promise<boolean> {
  return process.platform === "linux" && SYSTEM_TYPES.includes((await statfs(path)).type);
}
