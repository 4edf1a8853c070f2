import { closeSync, constants, openSync, readlinkSync, realpathSync } from "node:fs";
import { errorCode, quote, StartError } from "./program.ts";

/** Linux names a directory so without reading it. */
const O_PATH = 0o10000000;

/** A directory by a path that leads to it for as long as it is held, whatever is put in its place. */
export interface HeldDirectory extends Disposable {
  readonly path: string;
}

/**
 * Holds the directory of a path that has no links. Throws `bad_directory` if one leads elsewhere by now. Only Linux can hold it;
 * elsewhere it is looked at, and found by its path.
 */
export function holdDirectory(path: string): HeldDirectory {
  if (process.platform !== "linux") {
    if (findReal(path) !== path) throw toSwapped(path);
    return { path, [Symbol.dispose]() {} };
  }
  const fd = openDirectory(path);
  const held = `/proc/${process.pid}/fd/${fd}`;
  if (readlinkSync(held) === path) return { path: held, [Symbol.dispose]: () => closeSync(fd) };
  closeSync(fd);
  throw toSwapped(path);
}

/** What is said of a directory that is not where it was judged to be. */
export function toSwapped(path: string): StartError {
  return new StartError(
    "bad_directory",
    `Cannot start in directory ${quote(path)}: a link leads elsewhere now`,
  );
}

function openDirectory(path: string): number {
  try {
    return openSync(path, O_PATH | constants.O_DIRECTORY);
  } catch (error) {
    throw new StartError(
      "bad_directory",
      `Cannot start in directory ${quote(path)}: it cannot be entered (${errorCode(error)})`,
    );
  }
}

function findReal(path: string): string | undefined {
  try {
    return realpathSync.native(path);
  } catch {
    return undefined;
  }
}
