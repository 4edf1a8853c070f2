import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";

/** Lines that are remembered. */
const MAX_LINES = 1_000;
/** Bytes of a line that the file takes; longer ones are remembered by this console only. */
const MAX_LINE_BYTES = 4 * 1024;
/** Bytes of the file beyond which it is written anew, with what is remembered of it. */
const MAX_FILE_BYTES = 1024 * 1024;

/** A value behind `--secret`, which is neither a file nor stdin. */
const TELLS_SECRET = /--secret[=\s]\s*[^\s=]+=(?![@-])/;

/**
 * The lines that were typed, in a file that only its user can read. A line that begins with a space or tells a secret is
 * not remembered, and neither is the last one again. Where the file cannot be used, lines are remembered as long as the console runs.
 */
export class History {
  readonly #path: string;
  readonly #lines: string[];

  /** Reads the file, if there is one. */
  constructor(path: string) {
    this.#path = path;
    this.#lines = withFile(path, load) ?? [];
  }

  /** Oldest first. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  add(line: string): void {
    if (line.trim() === "" || line.startsWith(" ") || line === this.#lines.at(-1)) return;
    if (TELLS_SECRET.test(line)) return;
    this.#lines.push(line);
    this.#lines.splice(0, this.#lines.length - MAX_LINES);
    // One write at the end of the file, so that consoles beside each other lose nothing.
    if (Buffer.byteLength(line) <= MAX_LINE_BYTES) withFile(this.#path, (fd) => writeSync(fd, `${line}\n`));
  }
}

function load(fd: number): string[] {
  const all = readFileSync(fd, "utf8")
    .split("\n")
    .filter((line) => line !== "");
  const lines = all.slice(-MAX_LINES);
  if (fstatSync(fd).size <= MAX_FILE_BYTES) return lines;
  const newest = takeNewest(lines, MAX_FILE_BYTES / 2);
  ftruncateSync(fd, 0);
  writeSync(fd, `${newest.join("\n")}\n`);
  return newest;
}

/** The last lines that together take no more bytes. */
function takeNewest(lines: readonly string[], bytes: number): string[] {
  let [first, left] = [lines.length, bytes];
  while (first > 0 && (left -= Buffer.byteLength(lines[first - 1] ?? "") + 1) >= 0) first--;
  return lines.slice(first);
}

/** Works with the file, which is made if need be. Undefined where it cannot be used, or is not the user's own. */
function withFile<T>(path: string, work: (fd: number) => T): T | undefined {
  const { O_RDWR, O_APPEND, O_CREAT, O_NOFOLLOW = 0 } = constants;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const fd = openSync(path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600);
    try {
      const { uid, mode } = fstatSync(fd);
      const own = process.getuid?.();
      if (own !== undefined && uid !== own) return undefined;
      if (own !== undefined && (mode & 0o077) !== 0) fchmodSync(fd, 0o600);
      return work(fd);
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined; // a full or read-only disk is no reason not to work
  }
}
