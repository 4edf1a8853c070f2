import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { NO_FOLLOW, O_PATH } from "./folder.ts";
import { type Place, systemError } from "./place.ts";

/** Waits for nothing, and makes no terminal ours. */
const QUIETLY = (constants.O_NONBLOCK ?? 0) | (constants.O_NOCTTY ?? 0);

/**
 * Opens what is at a place, and nothing that a link there leads to. For somebody who is confined it opens only a file, whatever is
 * put there meanwhile, and throws `OutsideError` for one that he may not see.
 */
export async function openAt(place: Place, flags: number, mode?: number): Promise<FileHandle> {
  const isNew = (flags & constants.O_CREAT) !== 0;
  if (place.folder.guard === undefined || isNew)
    return await open(place.path, flags | QUIETLY | NO_FOLLOW, mode);
  return process.platform === "linux" ? await openHeld(place, flags) : await openLookedAt(place, flags);
}

/** Linux names a file without opening it, and then opens that very one: no device or FIFO is ever touched. */
async function openHeld(place: Place, flags: number): Promise<FileHandle> {
  await using held = await open(place.path, O_PATH | NO_FOLLOW);
  const path = Buffer.from(`/proc/self/fd/${held.fd}`);
  await expectFile(place, held, path);
  return await open(path, flags | QUIETLY);
}

async function openLookedAt(place: Place, flags: number): Promise<FileHandle> {
  await place.get();
  const handle = await open(place.path, flags | QUIETLY | NO_FOLLOW);
  try {
    await expectFile(place, handle, place.path);
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function expectFile({ folder }: Place, handle: FileHandle, path: Buffer): Promise<void> {
  const stats = await handle.stat({ bigint: true });
  if (stats.isSymbolicLink()) throw systemError("ELOOP"); // somebody put it there just now
  await folder.guard?.check(stats, path);
  if (stats.isDirectory()) throw systemError("EISDIR");
  if (!stats.isFile()) throw systemError("ENXIO");
}
