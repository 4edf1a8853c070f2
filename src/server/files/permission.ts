import type { BigIntStats } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { toSystemCode } from "./failure.ts";
import type { Folder } from "./folder.ts";
import { OutsideError } from "./outside.ts";
import type { Opener } from "./place.ts";

/** All that a mode has besides the type. */
const ALL = 0o7777;
/** Reading, writing and executing: nothing that makes it run as somebody else, or binds others. */
const PLAIN = 0o777;
/** Running as its owner or group. */
const SET_ID = 0o6000;
/** In a directory what is made there gets its group. */
const SET_GROUP_ID = 0o2000;

/** The mode of what is there already. */
export function toMode({ mode }: Pick<BigIntStats, "mode">): number {
  return Number(mode) & ALL;
}

/** Of a mode what somebody may pass on: who is confined to directories, nothing but who may read, write and execute. */
export function toAllowed({ confinement }: Opener, mode: number): number {
  return confinement === undefined ? mode : mode & PLAIN;
}

/** Throws `OutsideError` for a mode that somebody may not set. */
export function checkMode(opener: Opener, mode: number | undefined): void {
  if (mode === undefined || toAllowed(opener, mode) === mode) return;
  throw new OutsideError("would have a mode above 0777, which you may not set");
}

/** A mode for somebody else's hands: it runs as nobody but who runs it. */
export function withoutSetId(mode: number): number {
  return mode & ~SET_ID;
}

/**
 * The mode of something new that was just made under our own umask of 0077, as the umask that the server was started with
 * would have it. Undefined where others have rights in spite of ours: a default ACL of the directory has settled them.
 */
export function toNewMode(
  made: Pick<BigIntStats, "mode">,
  wanted: number,
  umask: number,
): number | undefined {
  const mode = toMode(made);
  if ((mode & 0o077) !== 0) return undefined;
  return (wanted & ~umask) | (mode & SET_GROUP_ID);
}

/** Gives a directory that was just made the mode that it would have without our own umask. */
export async function settleDirectory(folder: Folder, umask: number): Promise<void> {
  const mode = toNewMode(await folder.stat(), 0o777, umask);
  if (mode !== undefined) await folder.setMode(mode);
}

/** What a new file is to be like. */
export interface Likeness {
  /** Exactly this mode. */
  readonly mode: number | undefined;
  /** What it replaces, whose owner it gets, and of whose mode what may be passed on. */
  readonly there: BigIntStats | undefined;
  readonly room: Opener & { readonly umask: number };
}

/** Gives a file that was just made its owner and mode. */
export async function settleFile(handle: FileHandle, { mode, there, room }: Likeness): Promise<void> {
  if (process.platform === "win32") return;
  const made = await handle.stat({ bigint: true });
  const isOwned = there === undefined || (await own(handle, made, there));
  const kept = there && toAllowed(room, isOwned ? toMode(there) : withoutSetId(toMode(there)));
  const settled = mode ?? kept ?? toNewMode(made, 0o666, room.umask);
  if (settled !== undefined) await handle.chmod(settled);
}

/** Gives a file the owner and the group of another. Answers whether the system allowed that. */
export async function own(handle: FileHandle, made: BigIntStats, other: BigIntStats): Promise<boolean> {
  if (made.uid === other.uid && made.gid === other.gid) return true;
  try {
    await handle.chown(Number(other.uid), Number(other.gid));
    return true;
  } catch (error) {
    if (toSystemCode(error) === "EPERM") return false;
    throw error;
  }
}
