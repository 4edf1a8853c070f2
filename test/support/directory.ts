import { appendFileSync, mkdtempSync, rmSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A fresh directory of its own, removed when it is disposed. */
export interface TestDirectory extends Disposable {
  readonly path: string;
}

export function openDirectory(): TestDirectory {
  const path = mkdtempSync(join(tmpdir(), "farhand-test-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Why a small file system cannot be mounted here, or undefined when it can. */
export function findMountFault(): string | undefined {
  if (process.platform !== "linux") return "tmpfs is Linux's";
  if (process.getuid?.() !== 0) return "mounting takes root";
  using directory = openDirectory();
  const { success, stderr } = Bun.spawnSync([
    "mount",
    "-t",
    "tmpfs",
    "-o",
    "size=64k",
    "tmpfs",
    directory.path,
  ]);
  if (success) Bun.spawnSync(["umount", "-l", directory.path]);
  return success ? undefined : `mount refused: ${stderr.toString().trim()}`;
}

/** A directory on a file system of so many bytes. */
export function mountSmall(bytes: number): TestDirectory {
  const directory = openDirectory();
  const mount = mountOn(directory.path, bytes);
  return {
    path: directory.path,
    [Symbol.dispose]: () => {
      mount[Symbol.dispose]();
      directory[Symbol.dispose]();
    },
  };
}

/** Puts a file system of so many bytes over an empty directory, closed to other users. */
export function mountOn(path: string, bytes: number): Disposable {
  Bun.spawnSync(["mount", "-t", "tmpfs", "-o", `size=${bytes},mode=0700`, "tmpfs", path]);
  return { [Symbol.dispose]: () => void Bun.spawnSync(["umount", "-l", path]) };
}

/** Takes all that a small file system has left, but for so many bytes, until disposed. */
export function fillDisk(directory: string, but = 0): Disposable {
  const path = join(directory, "filler");
  for (let bytes = 64 * 1024; bytes >= 1; bytes /= 2) appendUntilFull(path, bytes);
  truncateSync(path, statSync(path).size - but);
  return { [Symbol.dispose]: () => rmSync(path, { force: true }) };
}

function appendUntilFull(path: string, bytes: number): void {
  try {
    for (;;) appendFileSync(path, new Uint8Array(bytes));
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
  }
}
