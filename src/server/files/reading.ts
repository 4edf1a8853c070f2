import type { FileReading, OpenFile } from "../../commands/access/reading.ts";
import { abortable } from "../../lib/abort.ts";
import { inspect } from "./inspection.ts";
import { list } from "./listing.ts";
import { openFile } from "./open-file.ts";
import { paths } from "./path.ts";
import { attempt, type Room } from "./room.ts";

/** Everything by which calls learn of files. */
export function createReading(room: Room): FileReading {
  return {
    inspect: (path, { follow = false } = {}) =>
      attempt(room, "look at", path, (absolute) => abortable(inspect(room, absolute, follow), room.signal)),
    list: (directory, signal) => list(room, directory, signal),
    open: (path) => attempt(room, "read", path, (absolute) => open(room, absolute, path)),
    join: paths.join,
    split: paths.split,
  };
}

/** A file system over a network may never answer, and nobody waits for it longer than for the call. */
async function open(room: Room, absolute: Buffer, path: Uint8Array): Promise<OpenFile> {
  const opening = openFile(room, absolute, path);
  try {
    return await abortable(opening, room.signal);
  } catch (error) {
    opening.then((file) => file[Symbol.asyncDispose]()).catch(() => {}); // it is open, too late, or was refused
    throw error;
  }
}
