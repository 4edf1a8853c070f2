import { lstat } from "node:fs/promises";
import { escapeBytes } from "../../lib/escape.ts";
import { refusal, toFailure, toSystemCode } from "./failure.ts";
import type { Mounts } from "./mounts.ts";
import type { Native } from "./native.ts";
import type { Owners } from "./owners.ts";
import { paths } from "./path.ts";
import type { Sweeper } from "./temporary.ts";

/** Where the files of one call are looked for, and what all calls share. */
export interface Room {
  /** Absolute: what relative paths count from. */
  readonly directory: Uint8Array;
  /** Aborted when nobody waits for the call any more. */
  readonly signal: AbortSignal;
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

/**
 * Does something with a path, and tells what the system refuses as an `os_error` that names the path as the caller wrote it.
 * `action`: what was to be done, as in `Cannot read "x"`.
 */
export async function attempt<T>(
  room: Pick<Room, "directory">,
  action: string,
  path: Uint8Array,
  work: (absolute: Buffer) => Promise<T>,
): Promise<T> {
  try {
    return await work(locate(room, path));
  } catch (error) {
    throw (await explainMissing(room, action, path, error)) ?? toFailure(action, path, error);
  }
}

/** A path that is missing only because the workspace's directory is. */
async function explainMissing(
  room: Pick<Room, "directory">,
  action: string,
  path: Uint8Array,
  error: unknown,
) {
  const directory = Buffer.from(room.directory);
  const isBelow = locate(room, path).subarray(0, directory.length).equals(directory);
  if (toSystemCode(error) !== "ENOENT" || !isBelow || !(await isMissing(directory))) return undefined;
  const why = `the workspace's directory "${escapeBytes(directory)}" does not exist (ENOENT); choose another with farhand cd`;
  return refusal("ENOENT", `Cannot ${action} "${escapeBytes(path)}": ${why}`, path, error);
}

async function isMissing(path: Buffer): Promise<boolean> {
  try {
    await lstat(path);
    return false;
  } catch (error) {
    return toSystemCode(error) === "ENOENT";
  }
}
