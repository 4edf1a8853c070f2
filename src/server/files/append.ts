import { type BigIntStats, constants } from "node:fs";
import { open } from "node:fs/promises";
import type { Written } from "../../commands/access/writing.ts";
import { count } from "../../lib/count.ts";
import { checkFile, type Draft } from "./draft.ts";
import { NO_FOLLOW } from "./folder.ts";
import { toPartial } from "./partial.ts";
import { settleFile } from "./permission.ts";
import type { Place } from "./place.ts";
import { pour } from "./pour.ts";
import type { Room } from "./room.ts";

/** Writes behind what a file holds; what was written stays if more never comes. */
export async function append(
  room: Room,
  { path: target }: Place,
  { path, content, how, there }: Draft & { readonly there: BigIntStats | undefined },
  signal: AbortSignal,
): Promise<Written> {
  const { O_APPEND, O_CREAT, O_EXCL, O_NONBLOCK, O_WRONLY } = constants;
  const flags = O_WRONLY | O_APPEND | NO_FOLLOW | (O_NONBLOCK ?? 0);
  await using handle = await open(target, there === undefined ? flags | O_CREAT | O_EXCL : flags, 0o666);
  checkFile(path, await handle.stat({ bigint: true }));
  const isSettled = there !== undefined && how.mode === undefined;
  if (!isSettled) await settleFile(handle, { mode: how.mode, there: undefined, umask: room.umask });
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
