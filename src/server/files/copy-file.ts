import { type BigIntStats, constants } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import type { Extent } from "./native.ts";
import { own, toAllowed, toMode, withoutSetId } from "./permission.ts";
import { openAt } from "./opening.ts";
import { type Place, systemError } from "./place.ts";
import type { Room } from "./room.ts";
import { Temporary } from "./temporary.ts";

/** Bytes that are read and written at once: more takes no less time. */
const CHUNK = 1024 * 1024;

export interface FileCopying {
  readonly signal: AbortSignal;
  /** Whether the copy belongs to whom the file belonged. */
  readonly owned: boolean;
  /** Leave alone what is there already: throws `EEXIST`. */
  readonly keep: boolean;
}

/** Copies a file with its mode and times: the copy is there once it is whole. Answers its bytes. */
export async function copyFile(
  room: Room,
  from: Place,
  to: Place,
  { signal, owned, keep }: FileCopying,
): Promise<number> {
  await using source = await openAt(from, constants.O_RDONLY);
  const stats = await source.stat({ bigint: true });
  if (!stats.isFile()) throw systemError("ESTALE"); // something else stood there a moment ago
  await using temporary = await Temporary.create(to.folder, toMode(stats) & 0o600, room.native);
  const { handle } = temporary;
  const bytes = await copyContent(room, { source, target: handle, size: Number(stats.size) }, signal);
  await settleCopy(room, handle, { stats, owned });
  signal.throwIfAborted();
  await (keep ? temporary.claim(to.name) : temporary.replace(to.name));
  return bytes;
}

interface Content {
  readonly source: FileHandle;
  readonly target: FileHandle;
  /** As it was when the source was opened. */
  readonly size: number;
}

/** Holes stay holes. What is appended meanwhile is copied too; a file that became shorter is no copy of anything. */
async function copyContent(
  { native }: Pick<Room, "native">,
  { source, target, size }: Content,
  signal: AbortSignal,
): Promise<number> {
  const find = (from: number): Extent | undefined =>
    native === undefined ? { start: from, end: size } : native.findData(source.fd, from, size);
  const buffer = Buffer.allocUnsafeSlow(Math.min(CHUNK, Math.max(size, 1) + 1));
  const copy = (extent: Extent) => copyExtent({ source, target, buffer }, extent, signal);
  let position = 0;
  for (let extent = find(0); position < size && extent !== undefined; extent = find(position)) {
    const end = Math.min(extent.end, size);
    position = await copy({ start: extent.start, end });
    if (position < end) throw systemError("EIO");
  }
  if ((await source.stat()).size < size) throw systemError("EIO");
  const end = await copy({ start: size, end: Number.POSITIVE_INFINITY });
  if (end === size) await target.truncate(size);
  return end;
}

/** Copies up to the end of the extent or of the file, and answers which position that was. */
async function copyExtent(
  { source, target, buffer }: Omit<Content, "size"> & { readonly buffer: Buffer },
  { start, end }: Extent,
  signal: AbortSignal,
): Promise<number> {
  for (let position = start; position < end;) {
    signal.throwIfAborted();
    const { bytesRead } = await source.read(buffer, 0, Math.min(buffer.length, end - position), position);
    if (bytesRead === 0) return position;
    for (let written = 0; written < bytesRead;) {
      const { bytesWritten } = await target.write(buffer, written, bytesRead - written, position + written);
      written += bytesWritten;
    }
    position += bytesRead;
  }
  return end;
}

/** Gives a copy the owner, mode and times of what was copied. */
async function settleCopy(
  room: Room,
  handle: FileHandle,
  { stats, owned }: { readonly stats: BigIntStats; readonly owned: boolean },
): Promise<void> {
  const { native } = room;
  if (native === undefined) return await handle.utimes(stats.atime, stats.mtime);
  const isOwned = owned && (await own(handle, await handle.stat({ bigint: true }), stats));
  await handle.chmod(toAllowed(room, isOwned ? toMode(stats) : withoutSetId(toMode(stats))));
  if (!native.setTimes(handle.fd, stats)) await handle.utimes(stats.atime, stats.mtime);
}
