import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { isDiskFull } from "../../lib/disk.ts";
import { AppError } from "../../protocol/error.ts";

/**
 * Writes a file that is there whole and on the disk once this resolves; until then, and when it fails, what was there before
 * stays. Throws `unavailable` on a full disk. `what`: what cannot be kept then.
 */
export async function writeWhole(
  path: string,
  content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  what: string,
): Promise<void> {
  const draft = `${path}.${crypto.randomUUID()}.new`;
  try {
    const file = await open(draft, "wx", 0o600);
    try {
      for await (const chunk of content) await file.writeFile(chunk);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    await rm(draft, { force: true }).catch(() => {}); // the next start removes it
    if (!isDiskFull(error)) throw error;
    const why = "the disk of the state directory is full; make room";
    throw new AppError("unavailable", `Cannot keep ${what}: ${why}`, { cause: error });
  }
}

/** So that the new name is on the disk too; on Windows a directory cannot be opened, and need not. */
async function syncDirectory(path: string): Promise<void> {
  if (process.platform === "win32") return;
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Whether a file is one whose writing was cut short. */
export function isDraft(name: string): boolean {
  return name.endsWith(".new");
}
