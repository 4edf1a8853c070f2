import type { BigIntStats } from "node:fs";
import { lchown, lutimes, readlink, rename, stat, symlink, unlink } from "node:fs/promises";
import type { Opener, Place } from "./place.ts";
import type { Room } from "./room.ts";
import { createName } from "./temporary.ts";

export interface LinkCopying {
  readonly stats: BigIntStats;
  /** Whether the copy belongs to whom the link belonged. */
  readonly owned: boolean;
}

/** Makes a link that says the same, in place of whatever is there. */
export async function copyLink(
  { native }: Pick<Room, "native">,
  { from, to }: { readonly from: Place; readonly to: Place },
  { stats, owned }: LinkCopying,
): Promise<void> {
  const path = to.folder.at(createName());
  await symlink(await readlink(from.path, { encoding: "buffer" }), path);
  try {
    if (owned) await lchown(path, Number(stats.uid), Number(stats.gid)).catch(() => {}); // only root may
    if (!native?.setLinkTimes(path, stats)) await lutimes(path, stats.atime, stats.mtime);
    await rename(path, to.path);
  } catch (error) {
    await unlink(path);
    throw error;
  }
}

/** Whether a link leads to what is there: in its place it would lead to itself, and that be gone. */
export async function leadsTo(opener: Opener, link: Place, there: BigIntStats | undefined): Promise<boolean> {
  if (there === undefined) return false;
  const end = await findEnd(opener, link).catch(() => undefined); // it may lead nowhere, or to where he may not go
  return end?.dev === there.dev && end.ino === there.ino;
}

async function findEnd(opener: Opener, link: Place): Promise<BigIntStats | undefined> {
  if (opener.confinement === undefined) return await stat(link.path, { bigint: true });
  await using place = await opener.confinement.openEndAt(link);
  return await place.find();
}
