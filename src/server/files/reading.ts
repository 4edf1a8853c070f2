import { lstat, readlink, stat } from "node:fs/promises";
import type { FileReading } from "../../commands/access/reading.ts";
import type { FileStatus } from "../../protocol/file.ts";
import { toFileName } from "../../protocol/path.ts";
import { list } from "./listing.ts";
import { openFile } from "./open-file.ts";
import { paths } from "./path.ts";
import { attempt, type Room } from "./room.ts";
import { toStatus } from "./status.ts";

/** Everything by which calls learn of files. */
export function createReading(room: Room): FileReading {
  return {
    inspect: (path, { follow = false } = {}) =>
      attempt(room, "look at", path, (absolute) => inspect(room, absolute, follow)),
    list: (directory, signal) => list(room, directory, signal),
    open: (path) => attempt(room, "read", path, (absolute) => openFile(room, absolute, path)),
    join: paths.join,
    split: paths.split,
  };
}

async function inspect({ owners }: Room, path: Buffer, follow: boolean): Promise<FileStatus> {
  const stats = follow ? await stat(path, { bigint: true }) : await lstat(path, { bigint: true });
  const status = toStatus(stats, await owners.names());
  if (status.type !== "link") return status;
  return { ...status, target: toFileName(await readlink(path, { encoding: "buffer" })) };
}
