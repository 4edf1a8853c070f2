import { type BigIntStats, constants } from "node:fs";
import type { Written } from "../../commands/access/writing.ts";
import { count } from "../../lib/count.ts";
import { checkFile, type Draft } from "./draft.ts";
import { openAt } from "./opening.ts";
import { toPartial } from "./partial.ts";
import { settleFile, toAllowed, toMode } from "./permission.ts";
import type { Place } from "./place.ts";
import { pour } from "./pour.ts";
import type { Room } from "./room.ts";

/** Writes behind what a file holds; what was written stays if more never comes. */
export async function append(
  room: Room,
  place: Place,
  { path, content, how, there }: Draft & { readonly there: BigIntStats | undefined },
  signal: AbortSignal,
): Promise<Written> {
  const { O_APPEND, O_CREAT, O_EXCL, O_WRONLY } = constants;
  const flags = O_WRONLY | O_APPEND;
  await using handle = await openAt(place, there === undefined ? flags | O_CREAT | O_EXCL : flags, 0o666);
  const stats = await handle.stat({ bigint: true });
  checkFile(path, stats);
  const known = there && toAllowed(room, toMode(stats));
  const isSettled = known !== undefined && how.mode === undefined && known === toMode(stats);
  if (!isSettled) await settleFile(handle, { mode: how.mode ?? known, there: undefined, room });
  let written = 0;
  try {
    await pour(content, handle, signal, (bytes) => (written = bytes));
    await handle.sync();
  } catch (error) {
    if (written === 0) throw error;
    const what = `${count(written, "byte")} of it stand in the file`;
    throw toPartial("append to", path, { error, what, details: { written } });
  }
  return { bytes: written, created: there === undefined };
}
