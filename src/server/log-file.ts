import { appendFileSync, renameSync, statSync } from "node:fs";

/** Bytes of one log file, and how many older ones are kept beside it. */
const MAX_LOG_BYTES = 5 * 1024 * 1024;
const KEPT_LOGS = 4;

/** Appends lines to a file that is rotated by size: `server.log`, `server.log.1`, … A failing log stops nothing. */
export function openLogFile(path: string): (line: string) => void {
  let bytes = sizeOf(path);
  return (line) => {
    try {
      if (bytes > MAX_LOG_BYTES) {
        for (let age = KEPT_LOGS - 1; age >= 0; age--)
          rotate(age === 0 ? path : `${path}.${age}`, `${path}.${age + 1}`);
        bytes = 0;
      }
      appendFileSync(path, `${line}\n`, { mode: 0o600 });
      bytes += Buffer.byteLength(line) + 1;
    } catch {
      // A full disk must not end the server; the line is on stderr as well when that is watched.
    }
  };
}

function rotate(from: string, to: string): void {
  if (sizeOf(from) > 0) renameSync(from, to);
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
