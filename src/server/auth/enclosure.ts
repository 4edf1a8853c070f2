import { realpathSync } from "node:fs";
import { isAbsolute, relative, sep } from "node:path";
import { AppError } from "../../protocol/error.ts";

/**
 * Where a program is to start, by its real path: no link on the way counts, and none that is put there later leads out of what
 * was judged, unless it replaces a directory of that path itself. Of each list one directory must hold it. Throws `forbidden`,
 * which does not tell whether there is such a directory.
 */
export function confineDirectory(
  directory: string,
  lists: readonly (readonly string[])[],
  what: string,
): string {
  if (lists.length === 0) return directory;
  const real = findReal(directory);
  const isHeld = real !== undefined && lists.every((roots) => roots.some((root) => isWithin(real, root)));
  if (isHeld) return real;
  throw new AppError(
    "forbidden",
    `Cannot ${what}: "${directory}" is not within your roots; choose a directory there with --cwd`,
  );
}

/** Whether a real path is that of a root or of something in it. */
function isWithin(real: string, root: string): boolean {
  const way = relative(findReal(root) ?? root, real);
  return way !== ".." && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

/** Undefined where it is not there, or may not be looked at. */
function findReal(path: string): string | undefined {
  try {
    return realpathSync.native(path);
  } catch {
    return undefined;
  }
}
