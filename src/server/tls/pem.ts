import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { AppError } from "../../protocol/error.ts";
import { toErrorCode } from "../../lib/error-code.ts";
import { quote } from "../../lib/quote.ts";

/** Larger than any chain of certificates. */
const MAX_PEM_BYTES = 1024 * 1024;

/** A file of certificates or keys, and what messages call it: `certificate`, `key`. */
export interface PemFile {
  readonly path: string;
  readonly what: string;
  /** What can be done where it holds nothing of use. */
  readonly remedy?: string;
}

/** What a PEM file holds, by kind: `CERTIFICATE`, `PRIVATE KEY` and so on. */
export interface PemBlock {
  readonly kind: string;
  readonly text: string;
}

/** Reads a file of PEM blocks. Throws `invalid_config` with the reason; `isSecret`: also where others may read it. */
export function readPem(file: PemFile, { isSecret }: { readonly isSecret: boolean }): readonly PemBlock[] {
  const text = readText(file, isSecret);
  const pattern = /-----BEGIN ([A-Z0-9 ]+)-----\r?\n[\s\S]*?-----END \1-----/g;
  const blocks = [...text.matchAll(pattern)].map(([text, kind = ""]) => ({ kind, text: `${text}\n` }));
  if (blocks.length === 0) throw refuse(file, text.trim() === "" ? "it is empty" : "it is not in PEM");
  return blocks;
}

/** The refusal of a file, with the reason. */
export function refuse({ path, what, remedy }: PemFile, why: string, cause?: unknown): AppError {
  const advice = remedy === undefined ? "" : `; ${remedy}`;
  return new AppError("invalid_config", `Cannot use ${what} "${path}": ${why}${advice}`, { cause });
}

function readText({ path, what }: PemFile, isSecret: boolean): string {
  const file = { path, what }; // what cannot be read may be of use
  try {
    const fd = openSync(file.path, "r");
    try {
      const found = fstatSync(fd);
      if (!found.isFile()) throw refuse(file, found.isDirectory() ? "it is a directory" : "it is no file");
      if (found.size > MAX_PEM_BYTES) throw refuse(file, "it is larger than 1 MiB");
      if (isSecret) checkSecret(file, found);
      const bytes = Buffer.alloc(found.size);
      return bytes.toString("latin1", 0, readSync(fd, bytes, 0, bytes.length, 0));
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (error instanceof AppError || !(error instanceof Error)) throw error;
    throw refuse(file, explain(error), error);
  }
}

function explain(error: Error): string {
  switch (toErrorCode(error)) {
    case "ENOENT":
      return "there is no such file";
    case "EACCES":
      return "it may not be read by the server's user";
    default:
      return error.message;
  }
}

/** Our own or root's, and closed to others; a group may read root's, as Debian has it for `ssl-cert`. */
function checkSecret(file: PemFile, { uid, mode }: { readonly uid: number; readonly mode: number }): void {
  const own = process.getuid?.();
  if (own === undefined) return; // Windows, which has no such modes
  if (uid !== own && uid !== 0) throw refuse(file, `it belongs to user ${uid}, not ${own}`);
  const forbidden = uid === 0 ? 0o037 : 0o077;
  if ((mode & forbidden) !== 0)
    throw refuse(file, `others may read or change it; run chmod 600 ${quote(file.path)}`);
}
