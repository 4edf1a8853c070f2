import type { BigIntStats } from "node:fs";
import type { Written } from "../../commands/access/writing.ts";
import { append } from "./append.ts";
import { checkFile, type Draft } from "./draft.ts";
import { checkMode, settleFile, toMode } from "./permission.ts";
import { openEnd, openPlace, type Place, systemError } from "./place.ts";
import { pour } from "./pour.ts";
import { locate, type Room } from "./room.ts";
import { Temporary } from "./temporary.ts";

/** Writes a file: all of it or, unless it is appended, nothing. */
export async function write(room: Room, draft: Draft, signal: AbortSignal): Promise<Written> {
  const { path, how } = draft;
  const absolute = locate(room, path);
  checkMode(room, how.mode);
  // Whatever has the name is in the way of one that must be new, be it a link that leads nowhere.
  await using place = await (how.manner === "create" ? openPlace(room, absolute) : openEnd(room, absolute));
  const there = await place.findToChange();
  if (how.manner === "create" && there !== undefined) throw systemError("EEXIST");
  if (there !== undefined) checkFile(path, there);
  if (place.isDirectory) throw systemError(there === undefined ? "EISDIR" : "ENOTDIR");
  return how.manner === "append"
    ? await append(room, place, { ...draft, there }, signal)
    : await replace(room, place, { ...draft, there }, signal);
}

async function replace(
  room: Room,
  { folder, name }: Place,
  { content, how: { manner, mode }, there }: Draft & { readonly there: BigIntStats | undefined },
  signal: AbortSignal,
): Promise<Written> {
  await room.sweeper.sweep(folder);
  // Nobody reads it meanwhile who may not read it in the end.
  const most = mode ?? (there === undefined ? 0o666 : toMode(there));
  await using temporary = await Temporary.create(folder, most & 0o666, room.native);
  const { handle } = temporary;
  const bytes = await pour(content, handle, signal);
  await settleFile(handle, { mode, there, room });
  await handle.sync();
  signal.throwIfAborted();
  if (manner === "create") await temporary.claim(name);
  else await temporary.replace(name);
  await folder.sync();
  return { bytes, created: there === undefined };
}
