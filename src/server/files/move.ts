import type { BigIntStats } from "node:fs";
import { rename, unlink } from "node:fs/promises";
import type { Destination, Moved } from "../../commands/access/writing.ts";
import { escapeBytes } from "../../lib/escape.ts";
import { leadsTo } from "./copy-link.ts";
import { refusal, toFailure, toSystemCode } from "./failure.ts";
import { type Goal, openGoal } from "./goal.ts";
import { moveAcross } from "./move-across.ts";
import { openPlace, type Place } from "./place.ts";
import { attempt, locate, type Room } from "./room.ts";

/** Gives something another path: at once in one file system, by a copy to another. */
export async function move(
  room: Room,
  from: Uint8Array,
  to: Uint8Array,
  { into, keep }: Destination,
  signal: AbortSignal,
): Promise<Moved> {
  await using source = await openPlace(room, locate(room, from));
  const stats = await source.get();
  source.folder.guard?.checkChange(stats);
  const goal = await attempt(room, "move to", to, () =>
    openGoal(room, to, { into, name: source.name, isDirectory: stats.isDirectory(), follow: false }),
  );
  await using place = goal.place;
  const there = await attempt(room, "move to", goal.path, () => place.findToChange());
  if (there !== undefined && keep) return { to: goal.path, kept: true };
  if (isSame(there, stats)) {
    await moveOntoItself(source, { from, goal, stats });
    return { to: goal.path, kept: false };
  }
  if (stats.isSymbolicLink() && (await leadsTo(room, source, there))) throw toCircle(from, goal);
  try {
    const isKept = await renameTo(room, source, { place, keep });
    return { to: goal.path, kept: isKept };
  } catch (error) {
    if (toSystemCode(error) !== "EXDEV") throw explain(error, from, goal);
  }
  const kept = await moveAcross(room, { source, from, stats, goal, there, keep }, signal);
  return { to: goal.path, kept };
}

function isSame(there: BigIntStats | undefined, stats: BigIntStats): boolean {
  return there !== undefined && there.dev === stats.dev && there.ino === stats.ino;
}

/** Two names of one file: the system would leave both. Where upper and lower case are one, it is another spelling. */
async function moveOntoItself(
  source: Place,
  { from, goal, stats }: { readonly from: Uint8Array; readonly goal: Goal; readonly stats: BigIntStats },
): Promise<void> {
  const { place } = goal;
  const isOneName =
    place.name.equals(source.name) && (await source.folder.identify()) === (await place.folder.identify());
  if (isOneName) {
    const what = `Cannot move "${escapeBytes(from)}" to "${escapeBytes(goal.path)}"`;
    throw refusal("EINVAL", `${what}: they are the same file (EINVAL)`, goal.path);
  }
  if (stats.nlink > 1n && !stats.isDirectory()) await unlink(source.path);
  else await rename(source.path, place.path);
}

/** Answers whether something was there that is to be kept. */
async function renameTo(
  { native }: Pick<Room, "native">,
  source: Place,
  { place, keep }: { readonly place: Place; readonly keep: boolean },
): Promise<boolean> {
  // Nothing was there a moment ago; a system that can makes sure of that.
  const done = keep ? native?.renameNew(source.path, place.path) : undefined;
  if (done === "exists") return true;
  if (done !== "done") await rename(source.path, place.path);
  return false;
}

function toCircle(from: Uint8Array, { path }: Goal): unknown {
  const what = `Cannot move "${escapeBytes(from)}" to "${escapeBytes(path)}"`;
  return refusal("EINVAL", `${what}: it leads to what it would replace (EINVAL)`, path);
}

function explain(error: unknown, from: Uint8Array, { path }: Goal): unknown {
  const os = toSystemCode(error);
  const action = `move "${escapeBytes(from)}" to`;
  if (os === "EINVAL")
    return refusal(
      os,
      `Cannot ${action} "${escapeBytes(path)}": it would be in itself (EINVAL)`,
      path,
      error,
    );
  return toFailure(action, path, error);
}
