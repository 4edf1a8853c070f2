import type { BigIntStats } from "node:fs";
import { lstat, readlink, stat } from "node:fs/promises";
import type { FileStatus } from "../../protocol/file.ts";
import { toFileName } from "../../protocol/path.ts";
import { openEnd, openPlace, systemError } from "./place.ts";
import type { Room } from "./room.ts";
import { toStatus } from "./status.ts";
import { endsAsDirectory } from "./steps.ts";

/** What stands at an absolute path: a link itself or, with `follow`, what it leads to. */
export async function inspect(room: Room, path: Buffer, follow: boolean): Promise<FileStatus> {
  const { stats, target } = await look(room, path, follow);
  const status = toStatus(stats, await room.owners.names());
  return target === undefined ? status : { ...status, target: toFileName(target) };
}

interface Seen {
  readonly stats: BigIntStats;
  /** Of a link. */
  readonly target: Buffer | undefined;
}

async function look(room: Room, path: Buffer, follow: boolean): Promise<Seen> {
  if (room.confinement === undefined) {
    const stats = follow ? await stat(path, { bigint: true }) : await lstat(path, { bigint: true });
    return { stats, target: await findTarget(stats, path) };
  }
  // As the system has it: with a separator behind it a link is what it leads to.
  const toEnd = follow || endsAsDirectory(path);
  await using place = await (toEnd ? openEnd : openPlace)(room, path);
  const stats = await place.get();
  if (toEnd && stats.isSymbolicLink()) throw systemError("ELOOP"); // somebody put it there just now
  return { stats, target: await findTarget(stats, place.path) };
}

async function findTarget(stats: BigIntStats, path: Buffer): Promise<Buffer | undefined> {
  return stats.isSymbolicLink() ? await readlink(path, { encoding: "buffer" }) : undefined;
}
