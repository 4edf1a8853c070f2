import type { BigIntStats } from "node:fs";
import { lstat, readlink } from "node:fs/promises";
import { toSystemCode } from "./failure.ts";
import { Folder } from "./folder.ts";
import { paths, toParent } from "./path.ts";

/** Links that are followed one after another before it counts as a circle, as Linux has it. */
const MAX_LINKS = 40;

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

  /** What is there, and undefined when nothing is. A link is not followed. */
  async find(): Promise<BigIntStats | undefined> {
    try {
      return await lstat(this.path, { bigint: true });
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /** What is there. */
  async get(): Promise<BigIntStats> {
    const stats = await lstat(this.path, { bigint: true });
    if (this.isDirectory && !stats.isDirectory()) throw systemError("ENOTDIR");
    return stats;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.folder[Symbol.asyncDispose]();
  }
}

/** The place of an absolute path. The directory that it is in must exist. */
export async function openPlace(path: Buffer): Promise<Place> {
  const folder = await Folder.open(toParent(path));
  return new Place(
    folder,
    paths.split(path).names.at(-1) ?? HERE,
    paths.split(path.subarray(-1)).names.length === 0,
  );
}

/**
 * The place at the end of the links that begin at a path, so that what is written there goes where they lead; the last need
 * not lead to anything.
 */
export async function openEnd(path: Buffer): Promise<Place> {
  let place = await openPlace(path);
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
    place = await openPlace(next).finally(() => former[Symbol.asyncDispose]());
  }
}

/** Where a link leads, and undefined where there is none. */
async function readLink(place: Place): Promise<Buffer | undefined> {
  const stats = await place.find();
  if (!stats?.isSymbolicLink()) return undefined;
  await checkLink(place.folder, stats);
  return paths.resolve(place.folder.at(HERE), await readlink(place.path, { encoding: "buffer" }));
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
