import { statfs } from "node:fs/promises";
import type { Folder } from "./folder.ts";
import { findMarks, findWays, type Identified, type Marks, type OwnFiles, toId } from "./marks.ts";
import { OutsideError } from "./outside.ts";

/** Linux's file systems that hold no files of anybody's: proc, sysfs, devpts, cgroups, debugfs, tracefs, securityfs, configfs, bpf, nsfs. */
const SYSTEM_TYPES = [
  0x9fa0, 0x62656572, 0x1cd1, 0x27e0eb, 0x63677270, 0x64626720, 0x74726163, 0x73636673, 0x62656570,
  0xcafe4a11, 0x6e736673,
];

/** As in proc(5): in the first directory the processes are directories. */
const PROC = 0x9fa0;
const PROC_ROOT = 1n;

const HERE = Buffer.from(".");

/** Knows what nobody reaches who is confined to directories, be it in them by whatever name, link or mount. */
export class Guard {
  readonly #marks: Marks;
  /** File systems that are known to be no system's, or are named by a root. */
  readonly #known: Set<bigint>;

  private constructor(marks: Marks, known: readonly bigint[] = []) {
    this.#marks = marks;
    this.#known = new Set(known);
  }

  static async open(own: OwnFiles): Promise<Guard> {
    return new Guard(await findMarks(own));
  }

  /** The same, for which some directories too may not be changed, nor anything that leads to them. */
  async keeping(directories: readonly string[]): Promise<Guard> {
    const fixed = new Set([...this.#marks.fixed, ...(await findWays(directories))]);
    return new Guard({ ...this.#marks, fixed });
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

async function isSystemType(path: Buffer): Promise<boolean> {
  return process.platform === "linux" && SYSTEM_TYPES.includes((await statfs(path)).type);
}
