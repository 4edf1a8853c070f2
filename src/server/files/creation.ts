import { constants } from "node:fs";
import { lutimes, mkdir, open } from "node:fs/promises";
import type { Creation } from "../../commands/access/writing.ts";
import { toSystemCode } from "./failure.ts";
import { NO_FOLLOW } from "./folder.ts";
import { toParent } from "./path.ts";
import { checkMode, settleDirectory, settleFile } from "./permission.ts";
import { isMissing, openEnd, openFolder, openPlace, type Place, systemError } from "./place.ts";
import { locate, type Room } from "./room.ts";

/** Makes a directory; answers what was made, as the caller would write it, the outermost first. */
export async function createDirectory(
  room: Room,
  path: Uint8Array,
  options: Creation,
): Promise<readonly Uint8Array[]> {
  try {
    return (await makeDirectory(room, path, options)) ? [path] : [];
  } catch (error) {
    const parent = toParent(path);
    if (!options.parents || !isMissing(error) || parent.length === 0 || parent.equals(path)) throw error;
    const made = await createDirectory(room, parent, { parents: true, mayExist: true, mode: undefined });
    return [...made, ...(await createDirectory(room, path, { ...options, parents: false }))];
  }
}

/** Answers whether it was made; otherwise it was there. */
async function makeDirectory(room: Room, path: Uint8Array, { mayExist, mode }: Creation): Promise<boolean> {
  const absolute = locate(room, path);
  checkMode(room, mode);
  await using place = await openPlace(room, absolute);
  try {
    await mkdir(place.path, { mode: mode === undefined ? 0o777 : 0o700 });
  } catch (error) {
    const isThere = toSystemCode(error) === "EEXIST";
    if (isThere && mayExist && (await isDirectory(room, absolute))) return false;
    throw error;
  }
  await using made = await place.folder.enter(place.name);
  if (mode === undefined) await settleDirectory(made, room.umask);
  else await made.setMode(mode);
  return true;
}

/** Whether a path leads to one. */
async function isDirectory(room: Room, path: Buffer): Promise<boolean> {
  try {
    await using _folder = await openFolder(room, path);
    return true;
  } catch (error) {
    if (toSystemCode(error) === "ENOTDIR") return false;
    throw error;
  }
}

/** Makes an empty file, or gives one that is there the time of now. Answers whether it was made. */
export async function touch(room: Room, path: Buffer): Promise<boolean> {
  await using place = await openEnd(room, path);
  const there = await place.findToChange();
  if (there?.isDirectory()) throw systemError("EISDIR");
  if (place.isDirectory) throw systemError(there === undefined ? "ENOENT" : "ENOTDIR");
  if (there === undefined && (await createEmpty(place, room))) return true;
  // The system lets whoever may write a file set its time to now, but to no other.
  if (!room.native?.setNow(place.path)) await lutimes(place.path, new Date(), new Date());
  return false;
}

/** Answers whether it made one; otherwise somebody else was quicker. */
async function createEmpty({ path }: Place, room: Room): Promise<boolean> {
  const { O_CREAT, O_EXCL, O_WRONLY } = constants;
  try {
    await using handle = await open(path, O_CREAT | O_EXCL | NO_FOLLOW | O_WRONLY, 0o666);
    await settleFile(handle, { mode: undefined, there: undefined, room });
    return true;
  } catch (error) {
    if (toSystemCode(error) === "EEXIST") return false;
    throw error;
  }
}
