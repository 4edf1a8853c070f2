import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { turn } from "../../lib/abort.ts";
import { listFiles, openJournalLock } from "./journal.ts";

/** Bytes that are read at once. */
const CHUNK_BYTES = 256 * 1024;
/** Bytes beyond which something without a line break is no line of ours, however it goes on. */
const MAX_LINE_BYTES = 1024 * 1024;

/** A line as it stands in a file, whatever it says. */
export interface RawLine {
  readonly file: string;
  /** Counted from 1. */
  readonly at: number;
  /** Without its line break. */
  readonly bytes: Uint8Array;
  /** Whether it has one. */
  readonly isEnded: boolean;
}

/** The files of a log as they are between two writes. */
export interface Snapshot extends Disposable {
  readonly files: readonly { readonly name: string; readonly fd: number; readonly size: number }[];
}

/** Opens the files of a log while nobody writes, so that the last line is whole. Throws the system's error. */
export function openSnapshot(directory: string): Snapshot {
  using lock = openJournalLock(directory);
  using _held = lock.hold(); // one that is not to be had in time belongs to somebody who does not write either
  using opened = new DisposableStack();
  const files = listFiles(directory).map((name) => {
    const fd = openSync(join(directory, name), "r");
    opened.defer(() => closeSync(fd));
    return { name, fd, size: fstatSync(fd).size };
  });
  const owned = opened.move();
  return { files, [Symbol.dispose]: () => owned.dispose() };
}

/** Every line of a snapshot, the oldest first, at a bounded cost of memory. `seen`: bytes of each file that are passed over. */
export async function* readLines(
  { files }: Snapshot,
  seen: ReadonlyMap<string, number> = new Map(),
): AsyncGenerator<RawLine, void, void> {
  for (const { name: file, fd, size } of files) {
    let at = 0;
    let left: Buffer = Buffer.alloc(0);
    for (let position = seen.get(file) ?? 0; position < size;) {
      const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, size - position));
      const read = readSync(fd, chunk, 0, chunk.length, position);
      if (read === 0) break; // it was cut meanwhile
      position += read;
      const bytes = Buffer.concat([left, chunk.subarray(0, read)]);
      let start = 0;
      for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, start)) {
        yield { file, at: ++at, bytes: bytes.subarray(start, end), isEnded: true };
        start = end + 1;
      }
      left = bytes.subarray(start);
      if (left.length > MAX_LINE_BYTES) break;
      await turn();
    }
    if (left.length > 0) yield { file, at: ++at, bytes: left, isEnded: false };
  }
}
