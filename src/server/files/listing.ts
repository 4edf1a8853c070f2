import type { Dirent } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import type { Entry } from "../../commands/access/reading.ts";
import { abortable } from "../../lib/abort.ts";
import { Pace } from "../../lib/pace.ts";
import { sortInTurns } from "../../lib/sort.ts";
import type { FileType } from "../../protocol/file.ts";
import { paths } from "./path.ts";
import { attempt, locate, type Room } from "./room.ts";
import { toType } from "./status.ts";

/**
 * Names come as texts of one character per byte: so they are exact, sort as their bytes do, and 200,000 of them take 40 MB
 * and hold the server up for 30 ms (as buffers: 70 MB and 90 ms). Windows has names of UTF-16.
 */
const ENCODING = process.platform === "win32" ? "utf8" : "latin1";

/** What is in a directory, sorted. */
export async function* list(room: Room, directory: Uint8Array, signal: AbortSignal): AsyncGenerator<Entry> {
  const entries = await attempt(room, "list", directory, (absolute) =>
    abortable(readdir(absolute, { encoding: ENCODING, withFileTypes: true }), signal),
  );
  const sorted = await sortInTurns(entries, compareNames, signal);
  const absolute = locate(room, directory);
  const pace = new Pace(signal);
  for (const entry of sorted) {
    if (pace.isDue) await pace.rest();
    const name = Buffer.from(entry.name, ENCODING);
    yield { name, type: await findType(entry, paths.join(absolute, name)) };
  }
}

function compareNames({ name: a }: Dirent, { name: b }: Dirent): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Some file systems do not say in the directory what is in it. */
async function findType(entry: Dirent, path: Buffer): Promise<FileType> {
  const type = toType(entry);
  if (type !== "unknown") return type;
  return await lstat(path).then(toType, () => "unknown"); // it is gone, or may not be looked at
}
