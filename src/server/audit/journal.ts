import {
  closeSync,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { type BriefLock, openBriefLock } from "../../process/brief-lock.ts";
import { AppError } from "../../protocol/error.ts";
import {
  type AuditDraft,
  type AuditLine,
  type ChainEnd,
  createDraft,
  digest,
  NO_HASH,
  stamp,
} from "./line.ts";
import { findTail } from "./tail.ts";

/** Bytes after which the chain goes on in another file. */
const FILE_BYTES = 16 * 1024 * 1024;
/** Milliseconds for which everything waits while another process is writing, which takes it less than one. */
const LOCK_PATIENCE = 250;

export interface JournalOptions {
  readonly now: () => Date;
  /** Bytes after which another file is begun. */
  readonly fileBytes?: number;
}

/** The file that is written, and how long it is as far as we know. */
interface Current {
  readonly fd: number;
  readonly name: string;
  size: number;
}

/** Where the next line goes. `rest`: bytes behind the last one that are no line. */
interface Place {
  readonly current: Current;
  readonly rest: Uint8Array;
}

/**
 * The files of the audit log: one chain of lines, however many files and processes write it. A file is named by the number
 * of its first line, and is begun by whoever finds the one before it full.
 */
export class Journal implements Disposable {
  readonly #directory: string;
  readonly #now: () => Date;
  readonly #fileBytes: number;
  readonly #lock: BriefLock;
  #current: Current | undefined;
  #last: ChainEnd = { number: 0, hash: NO_HASH };

  /** Throws the system's error if the directory cannot be used. */
  constructor(directory: string, { now, fileBytes = FILE_BYTES }: JournalOptions) {
    this.#directory = directory;
    this.#now = now;
    this.#fileBytes = fileBytes;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    this.#lock = openJournalLock(directory);
  }

  /** The newest line that we know of. */
  get last(): ChainEnd {
    return this.#last;
  }

  /** Looks where the chain ends, and says in it what a writer that was killed has left. Throws as `append` does. */
  open(): void {
    this.append([]);
  }

  /** Appends lines in one piece, all or none. Throws the system's error, or `unavailable` where another process is in the way. */
  append(drafts: readonly AuditDraft[]): void {
    using _held = this.#hold();
    this.#write(this.#refresh(), drafts);
  }

  /** Has the disk hold what was written. Throws the system's error. */
  async sync(): Promise<void> {
    if (this.#current !== undefined) await promisify(fdatasync)(this.#current.fd);
  }

  /** The same, and everything here waits for it. */
  syncNow(): void {
    if (this.#current !== undefined) fdatasyncSync(this.#current.fd);
  }

  /**
   * Removes files whose newest line was written before a moment, the oldest first and never the one that is written. A line
   * that stays says what was removed, so that the chain can still be proven. Answers how many were. Throws as `append` does.
   */
  prune(before: Date): number {
    using _held = this.#hold();
    const place = this.#refresh();
    const old: { readonly path: string; readonly line: AuditLine }[] = [];
    for (const name of listFiles(this.#directory)) {
      const path = join(this.#directory, name);
      const { line } = findTail(path);
      if (name === place.current.name || line === undefined || line.time >= before.toISOString()) break;
      old.push({ path, line });
    }
    const newest = old.at(-1)?.line;
    if (newest === undefined) return 0;
    const { number: through, hash: through_hash } = newest;
    const anchor = { event: "audit_pruned", files: old.length, through, through_hash };
    this.#write(place, [createDraft(this.#now(), anchor)]);
    fdatasyncSync(place.current.fd); // nothing is removed that is not said to be
    for (const { path } of old) rmSync(path, { force: true });
    return old.length;
  }

  [Symbol.dispose](): void {
    this.#close();
    this.#lock[Symbol.dispose]();
  }

  #hold(): Disposable {
    const held = this.#lock.hold();
    if (held !== undefined) return held;
    throw new AppError(
      "unavailable",
      `Cannot write the audit log: another process holds it for more than ${LOCK_PATIENCE} ms`,
    );
  }

  /** Where the chain ends: as we know it, unless others have been here, or the file is full. */
  #refresh(): Place {
    const known = this.#current;
    if (known !== undefined && isAsLeft(known) && known.size < this.#fileBytes)
      return { current: known, rest: NOTHING };
    return this.#find();
  }

  #find(): Place {
    const [newest, ...older] = listFiles(this.#directory).toReversed();
    const tail = newest === undefined ? undefined : findTail(join(this.#directory, newest));
    const line = tail?.line ?? this.#findNewest(older);
    // What we have written ourselves was there: where the files say less, lines were taken away, and that must show.
    if (line !== undefined && line.number >= this.#last.number)
      this.#last = { number: line.number, hash: line.hash };
    const rest = tail?.rest ?? NOTHING;
    const isFull = tail === undefined || (tail.size >= this.#fileBytes && rest.length === 0);
    const name = newest === undefined || isFull ? toFileName(this.#last.number + 1) : newest;
    this.#close();
    const fd = openSync(join(this.#directory, name), "a", 0o600);
    const current = { fd, name, size: fstatSync(fd).size };
    this.#current = current;
    return { current, rest: isFull ? NOTHING : rest };
  }

  #findNewest(names: readonly string[]): AuditLine | undefined {
    for (const name of names) {
      const { line } = findTail(join(this.#directory, name));
      if (line !== undefined) return line;
    }
    return undefined;
  }

  /** What stands behind the last line and is none gets a line break, if it has none, and a line that says so. */
  #write({ current, rest }: Place, drafts: readonly AuditDraft[]): void {
    const all = rest.length === 0 ? drafts : [toTorn(rest, this.#now()), ...drafts];
    if (all.length === 0) return;
    let last = this.#last;
    let text = rest.length === 0 || isEnded(rest) ? "" : "\n";
    for (const draft of all) {
      const stamped = stamp(draft, last);
      text += stamped.line;
      last = stamped;
    }
    const bytes = Buffer.from(text);
    writeWhole(current, bytes);
    current.size += bytes.length;
    this.#last = { number: last.number, hash: last.hash };
  }

  #close(): void {
    if (this.#current !== undefined) closeSync(this.#current.fd);
    this.#current = undefined;
  }
}

/** The names of a log's files, the oldest first. */
export function listFiles(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => /^\d{12,}\.ndjson$/.test(name))
    .sort((one, other) => Number.parseInt(one) - Number.parseInt(other));
}

/** The lock of whoever writes there. */
export function openJournalLock(directory: string): BriefLock {
  return openBriefLock(join(directory, "lock"), LOCK_PATIENCE);
}

const NOTHING = new Uint8Array();

function toFileName(number: number): string {
  return `${String(number).padStart(12, "0")}.ndjson`;
}

/** Whether a file is still there, and nobody else has written to it. */
function isAsLeft({ fd, size }: Current): boolean {
  const found = fstatSync(fd);
  return found.size === size && found.nlink > 0;
}

function isEnded(bytes: Uint8Array): boolean {
  return bytes.at(-1) === 0x0a;
}

/** The beginning of a line, whose writer was killed; or lines that are none, as nobody writes them. */
function toTorn(rest: Uint8Array, now: Date): AuditDraft {
  const event = isEnded(rest) ? "audit_damaged" : "audit_torn";
  return createDraft(now, { event, bytes: rest.length, sha256: digest(rest) });
}

/** Writes all or, on a full disk, nothing. */
function writeWhole({ fd, size }: Current, bytes: Uint8Array): void {
  try {
    if (writeSync(fd, bytes) < bytes.length)
      throw Object.assign(new Error("No space left"), { code: "ENOSPC" });
  } catch (error) {
    ftruncateSync(fd, size);
    throw error;
  }
}
