import { closeSync, fstatSync, openSync, readFileSync, statSync } from "node:fs";
import { toErrorCode } from "../lib/error-code.ts";
import { quote } from "../lib/quote.ts";
import { AppError } from "../protocol/error.ts";

/** Reads a file that says whom to trust, or is a secret. Throws `state_unusable` where others may read or write it. */
export function readOwn(path: string): string {
  const fd = openSync(path, "r");
  try {
    checkOwn(path, fstatSync(fd), "600");
    return readFileSync(fd, "utf8");
  } finally {
    closeSync(fd);
  }
}

/** The same; undefined where there is none. */
export function findOwn(path: string): string | undefined {
  try {
    return readOwn(path);
  } catch (error) {
    if (toErrorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Throws `state_unusable` where others may look into a directory, or write there. */
export function checkOwnDirectory(path: string): void {
  checkOwn(path, statSync(path), "700");
}

/**
 * Throws `state_unusable` where another user listens on a socket: whoever finds one missing in a directory of everybody's, such
 * as `/tmp`, could make it, and be told the token. That there is none is told by whoever connects.
 */
export function checkOwnSocket(path: string): void {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found !== undefined) checkOwner(path, found);
}

/** As ssh has it: the user's own or root's, also where root asks, and closed to everybody else. */
function checkOwn(
  path: string,
  found: { readonly uid: number; readonly mode: number },
  wanted: "600" | "700",
): void {
  checkOwner(path, found);
  // Windows has no such modes.
  if (process.getuid === undefined || (found.mode & 0o077) === 0) return;
  throw new AppError(
    "state_unusable",
    `Cannot use "${path}": others may read or change it; run chmod ${wanted} ${quotePath(path)}`,
  );
}

function checkOwner(path: string, { uid }: { readonly uid: number }): void {
  const own = process.getuid?.();
  if (own === undefined || uid === own || uid === 0) return;
  throw new AppError(
    "state_unusable",
    `Cannot use "${path}": it belongs to user ${uid}, not ${own}; run farhand as that user`,
  );
}

/** Always in quotes: a path is a person's, and has room for spaces. */
function quotePath(path: string): string {
  const quoted = quote(path);
  return quoted.startsWith("'") ? quoted : `'${quoted}'`;
}
