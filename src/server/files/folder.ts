import { type BigIntStats, constants } from "node:fs";
import { chmod, chown, type FileHandle, lstat, open, readdir, stat } from "node:fs/promises";
import { paths } from "./path.ts";

/** Linux: the directory is only a place to start from, so that it need not be readable. */
const O_PATH = process.platform === "linux" ? 0o10000000 : 0;

/** Where a name is a link, opening it fails; Windows has no such thing. */
export const NO_FOLLOW = constants.O_NOFOLLOW ?? 0;

const HERE = Buffer.from(".");

/**
 * A directory that is held open. What is done at its names is done in it, wherever a path that led to it leads by then: no link
 * that somebody puts in the way is followed. On Windows, which lets nobody do that, it is a path like any other.
 */
export class Folder implements AsyncDisposable {
  readonly #handle: FileHandle | undefined;
  readonly #path: Buffer;

  private constructor(handle: FileHandle | undefined, path: Buffer) {
    this.#handle = handle;
    this.#path = path;
  }

  /** Opens what is at a path, through links. */
  static async open(path: Buffer): Promise<Folder> {
    return await Folder.#open(path, 0);
  }

  static async #open(path: Buffer, flags: number): Promise<Folder> {
    if (process.platform === "win32") return await Folder.#check(path, flags);
    const handle = await open(path, O_PATH | constants.O_DIRECTORY | flags);
    return new Folder(handle, await toHeldPath(handle, path));
  }

  /** Windows opens no directories as files are opened. */
  static async #check(path: Buffer, flags: number): Promise<Folder> {
    const stats = flags === 0 ? await stat(path) : await lstat(path);
    if (stats.isDirectory()) return new Folder(undefined, path);
    throw Object.assign(new Error("It is no directory"), { code: "ENOTDIR" });
  }

  /** Where a name in it is, for the system's own calls. */
  at(name: Uint8Array): Buffer {
    return paths.join(this.#path, name);
  }

  /** Opens a directory in it, and nothing that a link leads to (`ENOTDIR`). */
  async enter(name: Uint8Array): Promise<Folder> {
    return await Folder.#open(this.at(name), NO_FOLLOW);
  }

  /** The directory that it is in. */
  async leave(): Promise<Folder> {
    return await Folder.open(this.at(Buffer.from("..")));
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
