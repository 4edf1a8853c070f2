import type { Destination } from "../../commands/access/writing.ts";
import { toSystemCode } from "./failure.ts";
import type { Folder } from "./folder.ts";
import { paths } from "./path.ts";
import { openEnd, openFolder, openPlace, Place, systemError } from "./place.ts";
import { locate, type Room } from "./room.ts";

/** Where something goes, and how its caller would write that. */
export interface Goal {
  readonly place: Place;
  readonly path: Uint8Array;
}

/** What goes there. */
export interface Arrival extends Pick<Destination, "into"> {
  readonly name: Buffer;
  readonly isDirectory: boolean;
  /** What a link at the path leads to is meant, not the link. */
  readonly follow: boolean;
}

/** A name in the directory that a path is, or that path itself. */
export async function openGoal(
  room: Room,
  path: Uint8Array,
  { into, name, isDirectory, follow }: Arrival,
): Promise<Goal> {
  const absolute = locate(room, path);
  const folder = await openFolder(room, absolute).catch((error: unknown) => {
    const isOther = ["ENOENT", "ENOTDIR", "ELOOP"].includes(toSystemCode(error) ?? "");
    if (into || !isOther) throw error;
    return undefined;
  });
  if (folder !== undefined) return { place: new Place(folder, name), path: paths.join(path, name) };
  const place = await (follow ? openEnd(room, absolute) : openPlace(room, absolute));
  if (!place.isDirectory || isDirectory) return { place, path };
  await place[Symbol.asyncDispose]();
  throw systemError("ENOTDIR");
}

/** Whether a directory, as `Folder.identify` names it, is another or holds that. */
export async function holds(id: string, folder: Folder): Promise<boolean> {
  let known = await folder.identify();
  if (known === id) return true;
  let inner = await folder.leave();
  for (;;) {
    await using left = inner;
    const next = await left.identify();
    if (next === id || next === known) return next === id;
    known = next;
    inner = await left.leave();
  }
}
