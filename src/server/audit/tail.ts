import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { type AuditLine, findLine } from "./line.ts";

/** Bytes in which the last line is looked for at first; the longest takes less. */
const TAIL_BYTES = 256 * 1024;

/** The end of a file of the log. */
export interface Tail {
  readonly size: number;
  /** The last line in it that fits its own hash. */
  readonly line: AuditLine | undefined;
  /** What stands behind that. */
  readonly rest: Uint8Array;
}

/** Reads the end of a file, from which one that is damaged there is read to its beginning. Throws the system's error. */
export function findTail(path: string): Tail {
  const fd = openSync(path, "r");
  try {
    const { size } = fstatSync(fd);
    const near = search(readEnd(fd, size, TAIL_BYTES));
    return {
      size,
      ...(near.line === undefined && size > TAIL_BYTES ? search(readEnd(fd, size, size)) : near),
    };
  } finally {
    closeSync(fd);
  }
}

function readEnd(fd: number, size: number, wanted: number): Buffer {
  const bytes = Buffer.alloc(Math.min(size, wanted));
  return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, size - bytes.length));
}

function search(bytes: Buffer): Pick<Tail, "line" | "rest"> {
  let end = bytes.lastIndexOf(0x0a);
  while (end >= 0) {
    const start = end === 0 ? 0 : bytes.lastIndexOf(0x0a, end - 1) + 1;
    const line = findLine(bytes.toString("utf8", start, end));
    if (line !== undefined) return { line, rest: bytes.subarray(end + 1) };
    end = start - 1;
  }
  return { line: undefined, rest: bytes };
}
