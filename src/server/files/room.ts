import { escapeBytes } from "../../lib/escape.ts";
import type { Confinement } from "./confinement.ts";
import { refusal, toFailure, toSystemCode } from "./failure.ts";
import type { Mounts } from "./mounts.ts";
import type { Native } from "./native.ts";
import type { Owners } from "./owners.ts";
import { OutsideError } from "./outside.ts";
import { paths } from "./path.ts";
import { openPlace, type Opener } from "./place.ts";
import type { Sweeper } from "./temporary.ts";

/** Where the files of one call are looked for, and what all calls share. */
export interface Room {
  /** Absolute: what relative paths count from. */
  readonly directory: Uint8Array;
  /** Aborted when nobody waits for the call any more. */
  readonly signal: AbortSignal;
  /** Where the caller may go, if not everywhere. */
  readonly confinement: Confinement | undefined;
  readonly owners: Owners;
  readonly mounts: Mounts;
  /** That of the server's start: what new files and directories do not let others do. */
  readonly umask: number;
  readonly native: Native | undefined;
  readonly sweeper: Sweeper;
}

/** The absolute path of one that a caller wrote. */
export function locate({ directory }: Pick<Room, "directory">, path: Uint8Array): Buffer {
  return paths.resolve(directory, path);
}

/** Where paths count from, and who writes them. */
type Ground = Pick<Room, "directory"> & Opener;

/**
 * Does something with a path, and tells what the system refuses as an `os_error` that names the path as the caller wrote it,
 * and where he may not go as `forbidden`. `action`: what was to be done, as in `Cannot read "x"`.
 */
export async function attempt<T>(
  room: Ground,
  action: string,
  path: Uint8Array,
  work: (absolute: Buffer) => Promise<T>,
): Promise<T> {
  try {
    return await work(locate(room, path));
  } catch (error) {
    throw (await explainDirectory(room, action, path, error)) ?? toFailure(action, path, error);
  }
}

/** A path that fails only because the workspace's directory is missing, or is none that the caller may use. */
async function explainDirectory(room: Ground, action: string, path: Uint8Array, error: unknown) {
  const directory = Buffer.from(room.directory);
  const absolute = locate(room, path);
  if (error instanceof OutsideError) {
    if (absolute.equals(path) || !(await room.confinement?.leavesOut(directory))) return undefined;
    const fault = `counts from the workspace's directory "${escapeBytes(directory)}", which ${error.fault}`;
    const remedy = "choose another with farhand cd, or write whole paths";
    return toFailure(action, path, new OutsideError(`${fault}; ${remedy}`));
  }
  const isBelow = absolute.subarray(0, directory.length).equals(directory);
  if (toSystemCode(error) !== "ENOENT" || !isBelow || !(await isMissing(room, directory))) return undefined;
  const why = `the workspace's directory "${escapeBytes(directory)}" does not exist (ENOENT); choose another with farhand cd`;
  return refusal("ENOENT", `Cannot ${action} "${escapeBytes(path)}": ${why}`, path, error);
}

async function isMissing(room: Opener, path: Buffer): Promise<boolean> {
  try {
    await using place = await openPlace(room, path);
    return (await place.find()) === undefined;
  } catch (error) {
    return toSystemCode(error) === "ENOENT";
  }
}
