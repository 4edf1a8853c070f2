import { createHash } from "node:crypto";
import { lstatSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import * as v from "valibot";
import { AppError } from "../protocol/error.ts";
import { KeeperId } from "../protocol/id.ts";
import { MAX_SOCKET_PATH } from "../protocol/limits.ts";

/** Where a keeper's lock and socket are. */
export interface KeeperPlace {
  readonly id: KeeperId;
  readonly lock: string;
  readonly socket: string;
}

/**
 * The place of one keeper under a state directory, whose `keeper` directory exists: the same for whoever asks, whatever
 * his temporary directory is. Throws `state_unusable` when others may enter where the socket must lie.
 */
export function openPlace(state: string, id: KeeperId): KeeperPlace {
  const lock = toPath(state, id, "lock");
  const socket = toPath(state, id, "sock");
  if (Buffer.byteLength(socket) <= MAX_SOCKET_PATH) return { id, lock, socket };
  const where = toPath(state, id, "where");
  const noted = readNote(where);
  const short = noted ?? createShortDirectory(state);
  checkPrivate(short);
  if (noted === undefined) writeFileSync(where, short);
  return { id, lock, socket: join(short, `${id.slice(-12)}.sock`) };
}

/** Every keeper that left a trace under a state directory, dead or alive. */
export function listPlaces(state: string): KeeperPlace[] {
  return readdirSync(join(state, "keeper"))
    .filter((name) => name.endsWith(".lock"))
    .map((name) => v.safeParse(KeeperId, name.slice(0, -".lock".length)))
    .flatMap((id) => (id.success ? [openPlace(state, id.output)] : []));
}

/** Removes what a dead keeper left, or what this one leaves. */
export function removePlace(state: string, { id, lock, socket }: KeeperPlace): void {
  const notes = [toPath(state, id, "where"), toPath(state, id, "pid")];
  for (const path of [socket, lock, ...notes]) rmSync(path, { force: true });
  if (dirname(socket) !== dirname(lock)) removeIfEmpty(dirname(socket));
}

function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // Another keeper's socket lies in it, or it is gone already.
  }
}

/** Makes sure that there is where to listen: a keeper that ended just now may have removed the directory of both. */
export function createSocketDirectory({ socket, lock }: KeeperPlace): void {
  if (dirname(socket) === dirname(lock)) return;
  mkdirSync(dirname(socket), { recursive: true, mode: 0o700 });
  checkPrivate(dirname(socket));
}

/** Notes which process a keeper is, for whoever cannot ask it. */
export function notePid(state: string, id: KeeperId, pid: number): void {
  writeFileSync(toPath(state, id, "pid"), String(pid));
}

/** Which process a living keeper is; undefined when it was not noted. */
export function findPid(state: string, id: KeeperId): number | undefined {
  const pid = Number(readNote(toPath(state, id, "pid")));
  return Number.isInteger(pid) && pid > 0 ? pid : undefined;
}

function toPath(state: string, id: KeeperId, extension: string): string {
  return join(state, "keeper", `${id}.${extension}`);
}

function readNote(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8") || undefined;
  } catch {
    return undefined; // none was left
  }
}

/** A private directory with a short path, the same for each use of this state directory. */
function createShortDirectory(state: string): string {
  const name = createHash("sha256").update(state).digest("hex").slice(0, 16);
  const directory = join(tmpdir(), `farhand-${process.getuid?.() ?? 0}-${name}`);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return directory;
}

/** One that somebody removed has nobody in it, and a keeper in it cannot be reached. */
function checkPrivate(directory: string): void {
  const found = lstatSync(directory, { throwIfNoEntry: false });
  const uid = process.getuid?.() ?? 0;
  if (found === undefined || (found.isDirectory() && found.uid === uid && (found.mode & 0o077) === 0)) return;
  throw new AppError(
    "state_unusable",
    `Cannot use "${directory}" for a socket: it belongs to somebody else; remove it`,
  );
}
