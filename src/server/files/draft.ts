import type { BigIntStats } from "node:fs";
import type { Writing } from "../../commands/access/writing.ts";
import { escapeBytes } from "../../lib/escape.ts";
import { refusal } from "./failure.ts";
import { systemError } from "./place.ts";
import { toType, type Typed } from "./status.ts";

/** What is to be written. `path`: as the caller wrote it. */
export interface Draft {
  readonly path: Uint8Array;
  readonly content: AsyncIterable<Uint8Array>;
  readonly how: Writing;
}

/** Throws unless it is a file: a FIFO or a device might take what is written, or never answer. */
export function checkFile(path: Uint8Array, there: BigIntStats): void {
  if (there.isFile()) return;
  if (there.isDirectory()) throw systemError("EISDIR");
  if (there.isSymbolicLink()) throw systemError("ELOOP"); // somebody put it there just now
  const why = `it is a ${describeType(there)}, and only files are written (ENXIO)`;
  throw refusal("ENXIO", `Cannot write "${escapeBytes(path)}": ${why}`, path);
}

/** In words: `FIFO`, `block device`. */
export function describeType(there: Typed): string {
  return toType(there).replaceAll("_", " ").replace("fifo", "FIFO");
}
