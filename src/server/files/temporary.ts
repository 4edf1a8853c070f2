import { constants } from "node:fs";
import { type FileHandle, link, lstat, open, rename, unlink } from "node:fs/promises";
import { type Folder, NO_FOLLOW } from "./folder.ts";
import type { Native } from "./native.ts";
import { systemError } from "./place.ts";

/** What is not finished yet, beside the place where it will be. */
const PATTERN = /^\.farhand-[0-9a-f]{32}\.tmp$/;

/** A name that nothing else has. */
export function createName(): Buffer {
  return Buffer.from(`.farhand-${crypto.randomUUID().replaceAll("-", "")}.tmp`);
}

/** A file that is being written, under a name of its own until it is whole. Disposing removes it unless it was settled. */
export class Temporary implements AsyncDisposable {
  readonly handle: FileHandle;
  readonly #folder: Folder;
  readonly #name: Buffer;
  readonly #native: Native | undefined;
  #isSettled = false;

  private constructor(handle: FileHandle, folder: Folder, name: Buffer, native: Native | undefined) {
    this.handle = handle;
    this.#folder = folder;
    this.#name = name;
    this.#native = native;
  }

  /** `mode`: what it may have at most, before our umask. */
  static async create(folder: Folder, mode: number, native: Native | undefined): Promise<Temporary> {
    for (;;) {
      const name = createName();
      const { O_CREAT, O_EXCL, O_RDWR } = constants;
      const handle = await open(folder.at(name), O_CREAT | O_EXCL | NO_FOLLOW | O_RDWR, mode);
      const temporary = new Temporary(handle, folder, name, native);
      // Whoever clears away what a dead server has left may have been quicker, and takes it for that.
      if (native === undefined || (native.lock(handle.fd) && (await handle.stat()).nlink > 0))
        return temporary;
      await temporary[Symbol.asyncDispose]();
    }
  }

  /** Gives it its name, in place of whatever has that. */
  async replace(name: Buffer): Promise<void> {
    await rename(this.#folder.at(this.#name), this.#folder.at(name));
    this.#isSettled = true;
  }

  /** Gives it its name. Throws `EEXIST` when something has that. */
  async claim(name: Buffer): Promise<void> {
    const [from, to] = [this.#folder.at(this.#name), this.#folder.at(name)];
    const renamed = this.#native?.renameNew(from, to) ?? "unsupported";
    if (renamed === "exists") throw systemError("EEXIST");
    // The second name is made only if there is none; the first goes when this is disposed.
    if (renamed === "unsupported") await link(from, to);
    this.#isSettled = renamed === "done";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.handle.close();
    if (!this.#isSettled) await unlink(this.#folder.at(this.#name)).catch(() => {}); // somebody else removed it
  }
}

/** Directories that are known to hold nothing stale, at most. */
const MAX_SWEPT = 1_000;

/** Removes what servers that were killed have left, in each directory before the first writing there. */
export class Sweeper {
  readonly #native: Native | undefined;
  readonly #swept = new Set<string>();

  constructor(native: Native | undefined) {
    this.#native = native;
  }

  async sweep(folder: Folder): Promise<void> {
    const id = await folder.identify();
    if (this.#native === undefined || this.#swept.has(id)) return; // Windows has no such locks
    if (this.#swept.size >= MAX_SWEPT) this.#swept.clear();
    this.#swept.add(id);
    const names = await folder.names().catch(() => []); // one that may not be read can still be written
    for (const name of names)
      if (PATTERN.test(name.toString("latin1"))) await removeStale(folder.at(name), this.#native);
  }
}

/** What somebody still writes is locked, and stays. */
async function removeStale(path: Buffer, native: Native): Promise<void> {
  try {
    if (!(await lstat(path)).isFile()) return;
    await using handle = await open(path, constants.O_RDONLY | NO_FOLLOW | constants.O_NONBLOCK);
    if (native.lock(handle.fd)) await unlink(path);
  } catch {
    // It is somebody else's, or gone.
  }
}
