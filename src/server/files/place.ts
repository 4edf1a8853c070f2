import type { BigIntStats } from "node:fs";
import { lstat, readlink } from "node:fs/promises";
import type { Confinement } from "./confinement.ts";
import { toSystemCode } from "./failure.ts";
import { Folder } from "./folder.ts";
import { paths, toParent } from "./path.ts";
import { endsAsDirectory } from "./steps.ts";

/** Links that are followed one after another before it counts as a circle, as Linux has it. */
export const MAX_LINKS = 40;

const HERE = Buffer.from(".");

/** A name in a directory that is held open, whether something is there or not. Disposing closes the directory. */
export class Place implements AsyncDisposable {
  readonly folder: Folder;
  readonly name: Buffer;
  /** A separator stood behind the name: only a directory is meant. */
  readonly isDirectory: boolean;

  constructor(folder: Folder, name: Buffer, isDirectory = false) {
    this.folder = folder;
    this.name = name;
    this.isDirectory = isDirectory;
  }

  /** For the system's own calls. */
  get path(): Buffer {
    return this.folder.at(this.name);
  }

  /** What is there, and undefined when nothing is. A link is not followed. Throws `OutsideError` for what may not be seen. */
  async find(): Promise<BigIntStats | undefined> {
    try {
      return await this.#look();
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /** What is there. */
  async get(): Promise<BigIntStats> {
    const stats = await this.#look();
    if (this.isDirectory && !stats.isDirectory()) throw systemError("ENOTDIR");
    return stats;
  }

  /** What is there and is to be changed, replaced or removed. Throws `OutsideError` for what may not be. */
  async findToChange(): Promise<BigIntStats | undefined> {
    const stats = await this.find();
    if (stats !== undefined) this.folder.guard?.checkChange(stats);
    return stats;
  }

  async #look(): Promise<BigIntStats> {
    const stats = await lstat(this.path, { bigint: true });
    await this.folder.guard?.check(stats, this.path);
    return stats;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.folder[Symbol.asyncDispose]();
  }
}

/** Who opens places: somebody who may go everywhere, or is confined to directories. */
export interface Opener {
  readonly confinement?: Confinement | undefined;
}

/** The place of an absolute path. The directory that it is in must exist. Throws `OutsideError`. */
export async function openPlace({ confinement }: Opener, path: Buffer): Promise<Place> {
  return confinement === undefined ? await openFreely(path) : await confinement.openPlace(path);
}

/** The directory that an absolute path leads to. Throws `OutsideError`. */
export async function openFolder({ confinement }: Opener, path: Buffer): Promise<Folder> {
  return confinement === undefined ? await Folder.open(path) : await confinement.openFolder(path);
}

async function openFreely(path: Buffer): Promise<Place> {
  const folder = await Folder.open(toParent(path));
  return new Place(folder, paths.split(path).names.at(-1) ?? HERE, endsAsDirectory(path));
}

/**
 * The place at the end of the links that begin at a path, so that what is written there goes where they lead; the last need
 * not lead to anything. Throws `OutsideError`.
 */
export async function openEnd({ confinement }: Opener, path: Buffer): Promise<Place> {
  return confinement === undefined ? await followFreely(path) : await confinement.openEnd(path);
}

async function followFreely(path: Buffer): Promise<Place> {
  let place = await openFreely(path);
  for (let links = 0; ; links++) {
    const next = await readLink(place).catch(async (error: unknown) => {
      await place[Symbol.asyncDispose]();
      throw error;
    });
    if (next === undefined) return place;
    const former = place;
    if (links >= MAX_LINKS) {
      await former[Symbol.asyncDispose]();
      throw systemError("ELOOP");
    }
    place = await openFreely(paths.resolve(former.folder.at(HERE), next)).finally(() =>
      former[Symbol.asyncDispose](),
    );
  }
}

/** What a link says, and undefined where there is none. */
export async function readLink(place: Place): Promise<Buffer | undefined> {
  const stats = await place.find();
  if (!stats?.isSymbolicLink()) return undefined;
  await checkLink(place.folder, stats);
  return await readlink(place.path, { encoding: "buffer" });
}

/**
 * In a directory such as /tmp nobody can be made to write elsewhere by a stranger's link. It is Linux's own rule
 * (fs.protected_symlinks), which it cannot apply where we read links ourselves.
 */
async function checkLink(folder: Folder, link: BigIntStats): Promise<void> {
  if (process.platform === "win32") return;
  const { mode, uid } = await folder.stat();
  const isShared = (mode & 0o1002n) === 0o1002n;
  if (isShared && link.uid !== uid && link.uid !== BigInt(process.geteuid?.() ?? 0))
    throw systemError("EACCES");
}

export function isMissing(error: unknown): boolean {
  return toSystemCode(error) === "ENOENT";
}

/** What the system would have raised. */
export function systemError(code: string): Error {
  return Object.assign(new Error(code), { code });
}
