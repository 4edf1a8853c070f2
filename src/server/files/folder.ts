import { type BigIntStats, constants } from "node:fs";
import { chmod, chown, type FileHandle, lstat, open, readdir, readlink, stat } from "node:fs/promises";
import type { Guard } from "./guard.ts";
import { paths } from "./path.ts";

/** Linux: the directory is only a place to start from, so that it need not be readable. */
export const O_PATH = process.platform === "linux" ? 0o10000000 : 0;

/** Where a name is a link, opening it fails; Windows has no such thing. */
export const NO_FOLLOW = constants.O_NOFOLLOW ?? 0;

const HERE = Buffer.from(".");

interface Opening {
  /** Whether a link at the path counts for what it leads to. */
  readonly isLinkTaken: boolean;
  readonly guard: Guard | undefined;
}

/**
 * A directory that is held open. What is done at its names is done in it, wherever a path that led to it leads by then: no link
 * that somebody puts in the way is followed. On Windows, which lets nobody do that, it is a path like any other.
 */
export class Folder implements AsyncDisposable {
  readonly #handle: FileHandle | undefined;
  readonly #path: Buffer;
  /** What may be seen and changed in it and below, if not all. */
  readonly guard: Guard | undefined;

  private constructor(handle: FileHandle | undefined, path: Buffer, guard: Guard | undefined) {
    this.#handle = handle;
    this.#path = path;
    this.guard = guard;
  }

  /** Opens what is at a path, through links. */
  static async open(path: Buffer): Promise<Folder> {
    return await Folder.#open(path, { isLinkTaken: true, guard: undefined });
  }

  /** Opens what is at an absolute path, and nothing that a link anywhere on it leads to (`ENOTDIR`). */
  static async openReal(path: Buffer, guard?: Guard): Promise<Folder> {
    const folder = await (process.platform === "linux" ? Folder.#openNamed(path) : Folder.#openByStep(path));
    return new Folder(folder.#handle, folder.#path, guard);
  }

  /** Linux says of what is open where it is. */
  static async #openNamed(path: Buffer): Promise<Folder> {
    const folder = await Folder.open(path);
    const found = await folder.locate().catch(() => undefined);
    if (found?.equals(path)) return folder;
    await folder[Symbol.asyncDispose]();
    throw Object.assign(new Error("A link leads elsewhere"), { code: "ENOTDIR" });
  }

  static async #openByStep(path: Buffer): Promise<Folder> {
    const { root, names } = paths.split(path);
    let folder = await Folder.#open(root, { isLinkTaken: false, guard: undefined });
    for (const name of names) {
      await using left = folder;
      folder = await left.enter(name);
    }
    return folder;
  }

  static async #open(path: Buffer, { isLinkTaken, guard }: Opening): Promise<Folder> {
    if (process.platform === "win32") return await Folder.#check(path, { isLinkTaken, guard });
    const flags = O_PATH | constants.O_DIRECTORY | (isLinkTaken ? 0 : NO_FOLLOW);
    const handle = await open(path, flags);
    return new Folder(handle, await toHeldPath(handle, path), guard);
  }

  /** Windows opens no directories as files are opened. */
  static async #check(path: Buffer, { isLinkTaken, guard }: Opening): Promise<Folder> {
    const stats = isLinkTaken ? await stat(path) : await lstat(path);
    if (stats.isDirectory()) return new Folder(undefined, path, guard);
    throw Object.assign(new Error("It is no directory"), { code: "ENOTDIR" });
  }

  /** Where a name in it is, for the system's own calls. */
  at(name: Uint8Array): Buffer {
    return paths.join(this.#path, name);
  }

  /** Opens a directory in it, and nothing that a link leads to (`ENOTDIR`). Throws `OutsideError` for one that its guard keeps. */
  async enter(name: Uint8Array): Promise<Folder> {
    const { guard } = this;
    const folder = await Folder.#open(this.at(name), { isLinkTaken: false, guard });
    if (guard === undefined) return folder;
    try {
      await guard.checkName(this, name);
      await guard.check(await folder.stat(), folder.at(HERE));
      return folder;
    } catch (error) {
      await folder[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The directory that it is in. */
  async leave(): Promise<Folder> {
    return await Folder.#open(this.at(Buffer.from("..")), { isLinkTaken: true, guard: this.guard });
  }

  /** Its path without links at this moment, where the system tells that (Linux); elsewhere where it was opened. */
  async locate(): Promise<Buffer> {
    return process.platform === "linux" ? await readlink(this.#path, { encoding: "buffer" }) : this.#path;
  }

  /** Names it for as long as it is open, whatever its path is. */
  async identify(): Promise<string> {
    const { dev, ino } = await this.stat();
    return `${dev}:${ino}`;
  }

  async stat() {
    return this.#handle === undefined
      ? await lstat(this.#path, { bigint: true })
      : await this.#handle.stat({ bigint: true });
  }

  async names(): Promise<Buffer[]> {
    return await readdir(this.at(HERE), { encoding: "buffer" });
  }

  async setMode(mode: number): Promise<void> {
    await chmod(this.at(HERE), mode);
  }

  /** Gives it the owner and the group of another. Answers whether the system allowed that. */
  async own({ uid, gid }: Pick<BigIntStats, "uid" | "gid">): Promise<boolean> {
    const own = await this.stat();
    if (own.uid === uid && own.gid === gid) return true;
    return await chown(this.at(HERE), Number(uid), Number(gid)).then(
      () => true,
      () => false,
    );
  }

  /** Has the disk hold what its names mean. A file system that cannot is no reason to fail. */
  async sync(): Promise<void> {
    try {
      await using handle = await open(this.at(HERE), constants.O_RDONLY);
      await handle.sync();
    } catch {
      // It may not be readable, and not every system syncs directories.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle?.close().catch(() => {}); // closed twice is closed
  }
}

/** By its descriptor on Linux, by its number where macOS's file system knows files by those, by its path elsewhere. */
async function toHeldPath(handle: FileHandle, path: Buffer): Promise<Buffer> {
  if (process.platform === "linux") return Buffer.from(`/proc/self/fd/${handle.fd}`);
  const { dev, ino } = await handle.stat({ bigint: true });
  const held = Buffer.from(`/.vol/${dev}/${ino}`);
  const found = await lstat(held, { bigint: true }).catch(() => undefined);
  return found?.dev === dev && found.ino === ino ? held : path;
}
