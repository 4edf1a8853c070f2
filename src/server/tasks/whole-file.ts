import { open, rename, rm } from "node:fs/promises";
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
  } catch (error) {
    await rm(draft, { force: true }).catch(() => {}); // the next start removes it
    if (!isDiskFull(error)) throw error;
    const why = "the disk of the state directory is full; make room";
    throw new AppError("unavailable", `Cannot keep ${what}: ${why}`, { cause: error });
  }
}

/** Whether a file is one whose writing was cut short. */
export function isDraft(name: string): boolean {
  return name.endsWith(".new");
}
