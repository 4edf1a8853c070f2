import { lstat, readdir } from "node:fs/promises";
import type { Entry } from "../../commands/access/reading.ts";
import { abortable } from "../../lib/abort.ts";
import { Pace } from "../../lib/pace.ts";
import { sortTexts } from "../../lib/sort.ts";
import { FileType } from "../../protocol/file.ts";
import { paths } from "./path.ts";
import { openPlace } from "./place.ts";
import { attempt, locate, type Room } from "./room.ts";
import { toType } from "./status.ts";

/**
 * Names come as texts of one character per byte: so they are exact, sort as their bytes do, and 200,000 of them take 40 MB
 * and hold the server up for 30 ms (as buffers: 70 MB and 90 ms). Windows has names of UTF-16.
 */
const ENCODING = process.platform === "win32" ? "utf8" : "latin1";

/** Entries between two looks at the clock. */
const SLICE = 64;

const HERE = Buffer.from(".");

/** What stands behind a name while names are sorted: no name has it, and nothing comes before it. */
const END = "\0";

/** What is in a directory, sorted. */
export async function* list(
  room: Room,
  directory: Uint8Array,
  signal: AbortSignal,
): AsyncGenerator<Entry, void, void> {
  const sorted = await sortTexts(await readKeys(room, directory, signal), signal);
  const pace = new Pace(signal);
  for (let index = 0; index < sorted.length; index++) {
    if (index % SLICE === 0 && pace.isDue) await pace.rest();
    const key = sorted[index] ?? "";
    const name = Buffer.from(key.slice(0, -2), ENCODING);
    const type = FileType.options[Number(key.at(-1))] ?? "unknown";
    yield { name, type: type === "unknown" ? await findType(room, directory, name) : type };
  }
}

/** Name and type, a digit, of each entry in one text: sorting so is far faster than with a function that compares. */
async function readKeys(room: Room, directory: Uint8Array, signal: AbortSignal): Promise<readonly string[]> {
  const entries = await attempt(room, "list", directory, (absolute) =>
    abortable(readEntries(room, absolute), signal),
  );
  const pace = new Pace(signal);
  const keys: string[] = [];
  for (const entry of entries) {
    keys.push(`${entry.name}${END}${FileType.options.indexOf(toType(entry))}`);
    if (keys.length % SLICE === 0 && pace.isDue) await pace.rest();
  }
  return keys;
}

async function readEntries({ confinement }: Room, absolute: Buffer) {
  const options = { encoding: ENCODING, withFileTypes: true } as const;
  if (confinement === undefined) return await readdir(absolute, options);
  await using folder = await confinement.openFolder(absolute);
  return await readdir(folder.at(HERE), options);
}

/** Some file systems do not say in a directory what is in it. */
async function findType(room: Room, directory: Uint8Array, name: Uint8Array): Promise<FileType> {
  const path = locate(room, paths.join(directory, name));
  try {
    if (room.confinement === undefined) return toType(await lstat(path));
    await using place = await openPlace(room, path);
    return toType(await place.get());
  } catch {
    return "unknown"; // it is gone, or may not be looked at
  }
}
