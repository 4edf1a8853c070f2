import type { BigIntStats } from "node:fs";
import type { Copied, Copying } from "../../commands/access/writing.ts";
import { count } from "../../lib/count.ts";
import { escapeBytes } from "../../lib/escape.ts";
import { describeType } from "./draft.ts";
import { type Goal, holds, openGoal } from "./goal.ts";
import { refusal, toFailure } from "./failure.ts";
import { toIncomplete, toPartial } from "./partial.ts";
import { paths } from "./path.ts";
import { openPlace, type Place } from "./place.ts";
import { attempt, locate, type Room } from "./room.ts";
import { isAbove, isHere } from "./steps.ts";
import { TreeCopying } from "./tree-copying.ts";

/** Copies what is at a path, with modes and times. */
export async function copy(
  room: Room,
  from: Uint8Array,
  to: Uint8Array,
  { recursive, into, keep }: Copying,
  signal: AbortSignal,
): Promise<Copied> {
  await using source = await openPlace(room, locate(room, from));
  const stats = await source.get();
  checkSource(from, stats, recursive);
  const isDirectory = stats.isDirectory();
  const goal = await attempt(room, "copy to", to, () =>
    openGoal(room, to, { into, name: toNewName(source, from), isDirectory, follow: !isDirectory }),
  );
  await using place = goal.place;
  await checkGoal(room, { from, stats, goal, keep });
  await room.sweeper.sweep(place.folder);
  const copying = new TreeCopying(room, { signal, owned: false, keep });
  try {
    await copying.copy({ from: source, to: place, path: from });
  } catch (error) {
    throw toStopped(copying, { from, goal, error });
  }
  if (copying.failed > 0) throw toFailed(copying, from);
  return { to: goal.path, ...copying.tally };
}

/** Of the directory itself the contents are copied. One that somebody is confined to is held as itself, by whatever name. */
function toNewName({ name }: Place, from: Uint8Array): Buffer {
  const written = isHere(name) ? (paths.split(from).names.at(-1) ?? name) : name;
  return isAbove(written) ? Buffer.from(".") : written;
}

function checkSource(from: Uint8Array, stats: BigIntStats, recursive: boolean): void {
  if (stats.isFile() || stats.isSymbolicLink() || (stats.isDirectory() && recursive)) return;
  const [os, why] = stats.isDirectory()
    ? ["EISDIR", "it is a directory (EISDIR); --recursive copies it with all that is in it"]
    : ["ENXIO", `it is a ${describeType(stats)}, and only files, directories and links are copied (ENXIO)`];
  throw refusal(os, `Cannot copy "${escapeBytes(from)}": ${why}`, from);
}

/** What goes where. */
interface Transfer {
  readonly from: Uint8Array;
  readonly stats: BigIntStats;
  readonly goal: Goal;
  readonly keep: boolean;
}

/** Throws if something would be copied on or into itself, or a directory and something else would take each other's place. */
async function checkGoal(room: Room, { from, stats, goal, keep }: Transfer): Promise<void> {
  const { place, path } = goal;
  const refuse = (os: string, why: string) =>
    refusal(os, `Cannot copy "${escapeBytes(from)}" to "${escapeBytes(path)}": ${why} (${os})`, path);
  const isDirectory = stats.isDirectory();
  if (isDirectory && (await holds(`${stats.dev}:${stats.ino}`, place.folder)))
    throw refuse("EINVAL", "it would be in itself");
  const there = await place.find();
  if (there === undefined) return;
  const { guard } = place.folder;
  if (!there.isDirectory()) await attempt(room, "copy to", path, async () => guard?.checkChange(there));
  if (there.dev === stats.dev && there.ino === stats.ino) throw refuse("EINVAL", "they are the same file");
  if (keep) return;
  if (!there.isFile() && !there.isDirectory() && !there.isSymbolicLink())
    throw refuse("ENXIO", `that is a ${describeType(there)}, and only files are written`);
  if (there.isDirectory() && !isDirectory) throw refuse("EISDIR", "that is a directory");
  if (!there.isDirectory() && isDirectory) throw refuse("EEXIST", "that exists, and is no directory");
}

interface Stopped {
  readonly from: Uint8Array;
  readonly goal: Goal;
  readonly error: unknown;
}

function toStopped(copying: TreeCopying, { from, goal, error }: Stopped): unknown {
  const { files, directories, links, bytes } = copying.tally;
  if (files + directories + links === 0) return toFailure(`copy "${escapeBytes(from)}" to`, goal.path, error);
  const what = `${count(files, "file")} of it copied to "${escapeBytes(goal.path)}"`;
  return toPartial("copy all of", from, { error, what, details: { files, directories, links, bytes } });
}

function toFailed({ tally, failures, failed }: TreeCopying, from: Uint8Array): unknown {
  const { files, directories, links, bytes } = tally;
  const what = `of "${escapeBytes(from)}" ${count(failed, "entry was", "entries were")} not copied, ${count(files, "file was", "files were")}`;
  return toIncomplete(failures, from, { what, details: { files, directories, links, bytes, failed } });
}
