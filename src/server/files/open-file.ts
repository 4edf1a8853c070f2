import { constants } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import type { OpenFile } from "../../commands/access/reading.ts";
import { escapeBytes } from "../../lib/escape.ts";
import type { FileStatus, FileType } from "../../protocol/file.ts";
import { refusal, toFailure, toSystemCode } from "./failure.ts";
import { openAt } from "./opening.ts";
import { openEnd } from "./place.ts";
import type { Room } from "./room.ts";
import { toStatus, toType, type Typed } from "./status.ts";

/** What it is called that cannot be read, and the code by which the system would refuse it. */
const REFUSED: Readonly<Record<Exclude<FileType, "file" | "link">, readonly [what: string, os: string]>> = {
  directory: ["it is a directory", "EISDIR"],
  fifo: ["it is a FIFO, and only files are read", "ENXIO"],
  socket: ["it is a socket, and only files are read", "ENXIO"],
  block_device: ["it is a device, and only files are read", "ENXIO"],
  character_device: ["it is a device, and only files are read", "ENXIO"],
  unknown: ["it is no file", "EINVAL"],
};

/** Opening waits for nothing, and makes no terminal ours. */
const FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOCTTY ?? 0);

/** Opens a regular file for reading. `path`: as the caller wrote it. */
export async function openFile(room: Room, absolute: Buffer, path: Uint8Array): Promise<OpenFile> {
  const { owners } = room;
  const handle = await (room.confinement === undefined
    ? openFreely(absolute, path)
    : openConfined(room, absolute, path));
  try {
    const inspect = async () => toStatus(await handle.stat({ bigint: true }), await owners.names());
    expectFile(await handle.stat(), path); // something else may stand there meanwhile
    return toOpenFile(handle, { path, inspect, status: await inspect() });
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function openFreely(absolute: Buffer, path: Uint8Array): Promise<FileHandle> {
  // Opening alone may do something to a device, such as rewinding a tape.
  expectFile(await stat(absolute), path);
  return await open(absolute, FLAGS);
}

async function openConfined(room: Room, absolute: Buffer, path: Uint8Array): Promise<FileHandle> {
  await using place = await openEnd(room, absolute);
  expectFile(await place.get(), path);
  return await openAt(place, constants.O_RDONLY);
}

interface Opened {
  readonly path: Uint8Array;
  readonly status: FileStatus;
  readonly inspect: () => Promise<FileStatus>;
}

function toOpenFile(handle: FileHandle, { path, status, inspect }: Opened): OpenFile {
  return {
    status,
    inspect,
    async read(position, bytes) {
      try {
        const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafeSlow(bytes), 0, bytes, position);
        return buffer.subarray(0, bytesRead);
      } catch (error) {
        if (toSystemCode(error) === "EAGAIN") return new Uint8Array(); // a file of /proc with nothing to say now
        throw toFailure("read", path, error);
      }
    },
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

function expectFile(typed: Typed, path: Uint8Array): void {
  const type = toType(typed);
  if (type === "file" || type === "link") return;
  const [why, os] = REFUSED[type];
  throw refusal(os, `Cannot read "${escapeBytes(path)}": ${why} (${os})`, path);
}
