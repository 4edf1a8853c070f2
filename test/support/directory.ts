import { mkdtempSync, rmSync } from "node:fs";
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
  Bun.spawnSync(["mount", "-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", directory.path]);
  return {
    path: directory.path,
    [Symbol.dispose]: () => {
      Bun.spawnSync(["umount", "-l", directory.path]);
      directory[Symbol.dispose]();
    },
  };
}
