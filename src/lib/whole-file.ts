import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/**
 * Writes a file that only this user may read, whole or not at all, also when the disk is full or the machine stops: it is on the
 * disk then. Called by one at a time.
 */
export function writeWholeFile(path: string, text: string): void {
  const draft = `${path}.new`;
  rmSync(draft, { force: true }); // of somebody who was ended while he wrote
  try {
    const fd = openSync(draft, "wx", 0o600);
    try {
      writeFileSync(fd, text);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
  syncDirectory(dirname(path));
}

/** So that the new name is on the disk too; on Windows a directory cannot be opened, and need not. */
function syncDirectory(path: string): void {
  if (process.platform === "win32") return;
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
