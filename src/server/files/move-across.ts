import type { BigIntStats } from "node:fs";
import { rename } from "node:fs/promises";
import { count } from "../../lib/count.ts";
import { escapeBytes } from "../../lib/escape.ts";
import { refusal, toFailure } from "./failure.ts";
import type { Goal } from "./goal.ts";
import { toIncomplete, toPartial } from "./partial.ts";
import { Place, systemError } from "./place.ts";
import { Removal } from "./removal.ts";
import type { Room } from "./room.ts";
import { createName } from "./temporary.ts";
import { TreeCopying } from "./tree-copying.ts";

/** What goes to another file system. */
export interface Crossing {
  readonly source: Place;
  /** As the caller wrote it. */
  readonly from: Uint8Array;
  readonly stats: BigIntStats;
  readonly goal: Goal;
  readonly there: BigIntStats | undefined;
  readonly keep: boolean;
}

/**
 * Copies to the other file system under a name of its own, gives that its name once all of it is there, and only then removes
 * what was copied. Answers whether something was there that is to be kept.
 */
export async function moveAcross(room: Room, crossing: Crossing, signal: AbortSignal): Promise<boolean> {
  const { goal, from, there, keep } = crossing;
  await checkPlace(crossing);
  await room.sweeper.sweep(goal.place.folder);
  const copy = new Place(goal.place.folder, createName());
  try {
    await copyWhole(room, crossing, copy, signal);
    signal.throwIfAborted();
    if (keep && there === undefined && (await goal.place.find()) !== undefined)
      return await discard(copy, true);
    await rename(copy.path, goal.place.path);
  } catch (error) {
    await discard(copy, false);
    throw toFailure(`move "${escapeBytes(from)}" to`, goal.path, error);
  }
  await removeSource(crossing, signal);
  return false;
}

/** What the system would refuse in the end is refused before anything is copied. */
async function checkPlace({ stats, goal: { place }, there }: Crossing): Promise<void> {
  if (there === undefined) return;
  if (!stats.isDirectory() && there.isDirectory()) throw systemError("EISDIR");
  if (stats.isDirectory() && !there.isDirectory()) throw systemError("ENOTDIR");
  if (!there.isDirectory()) return;
  await using folder = await place.folder.enter(place.name);
  if ((await folder.names()).length > 0) throw systemError("ENOTEMPTY");
}

/** All of it, or nothing is moved. */
async function copyWhole(
  room: Room,
  { source, from }: Crossing,
  copy: Place,
  signal: AbortSignal,
): Promise<void> {
  const copying = new TreeCopying(room, { signal, owned: true, keep: false });
  await copying.copy({ from: source, to: copy, path: from });
  const [first] = copying.failures;
  if (first !== undefined) throw first;
  const [skip] = copying.tally.skips;
  if (skip === undefined) return;
  const what = `Cannot move "${escapeBytes(skip.path)}" to another file system`;
  throw refusal(
    "ENXIO",
    `${what}: it is a ${skip.type}, and only files, directories and links are copied (ENXIO)`,
    skip.path,
  );
}

async function discard<T>(copy: Place, answer: T): Promise<T> {
  const removal = new Removal({ signal: new AbortController().signal, kept: new Map() });
  await removal.remove(copy, copy.name).catch(() => {}); // it has not begun to be
  return answer;
}

async function removeSource({ source, from, goal }: Crossing, signal: AbortSignal): Promise<void> {
  const removal = new Removal({ signal, kept: new Map() });
  const what = () =>
    `all of it is at "${escapeBytes(goal.path)}", and ${count(removal.removed, "entry", "entries")} removed here`;
  try {
    await removal.remove(source, from);
  } catch (error) {
    throw toPartial("remove what was copied from", from, {
      error,
      what: what(),
      details: { removed: removal.removed },
    });
  }
  if (removal.left > 0)
    throw toIncomplete(removal.failures, from, {
      what: what(),
      details: { removed: removal.removed, left: removal.left },
    });
}
