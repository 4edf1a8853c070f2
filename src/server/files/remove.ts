import { rmdir } from "node:fs/promises";
import type { Removal as How } from "../../commands/access/writing.ts";
import { count } from "../../lib/count.ts";
import { escapeBytes } from "../../lib/escape.ts";
import { refusal, toSystemCode } from "./failure.ts";
import { checkKept, findKept } from "./kept.ts";
import { toIncomplete, toPartial } from "./partial.ts";
import { openPlace, type Place, systemError } from "./place.ts";
import { Removal } from "./removal.ts";
import { locate, type Room } from "./room.ts";

/** Removes what is at a path; answers how many files and directories that was. */
export async function remove(
  room: Room,
  path: Uint8Array,
  { recursive }: How,
  signal: AbortSignal,
): Promise<number> {
  await using place = await openPlace(room, locate(room, path));
  const there = await place.get();
  place.folder.guard?.checkChange(there);
  const kept = await findKept(Buffer.from(room.directory));
  if (there.isDirectory()) checkKept(kept, `${there.dev}:${there.ino}`, path);
  if (place.name.equals(Buffer.from(".")) || place.name.equals(Buffer.from("..")))
    throw systemError("EINVAL");
  if (there.isDirectory() && !recursive) return await removeEmpty(place, path);
  const removal = new Removal({ signal, kept });
  try {
    await removal.remove(place, path);
  } catch (error) {
    const { removed } = removal;
    if (removed === 0) throw error;
    const what = `${count(removed, "entry was", "entries were")} removed`;
    throw toPartial("remove all of", path, { error, what, details: { removed } });
  }
  if (removal.left > 0) throw toLeft(removal, path);
  return removal.removed;
}

async function removeEmpty(place: Place, path: Uint8Array): Promise<number> {
  try {
    await rmdir(place.path);
    return 1;
  } catch (error) {
    if (!["ENOTEMPTY", "EEXIST"].includes(toSystemCode(error) ?? "")) throw error;
    const what = "the directory is not empty (ENOTEMPTY); --recursive removes it with all that is in it";
    throw refusal("ENOTEMPTY", `Cannot remove "${escapeBytes(path)}": ${what}`, path, error);
  }
}

function toLeft({ failures, left, removed }: Removal, path: Uint8Array): unknown {
  const what = `${count(left, "entry is", "entries are")} left, ${count(removed, "was", "were")} removed`;
  return toIncomplete(failures, path, {
    what: `of "${escapeBytes(path)}" ${what}`,
    details: { removed, left },
  });
}
