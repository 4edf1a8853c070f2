import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import * as v from "valibot";
import { toErrorCode } from "../lib/error-code.ts";
import { isDiskFull } from "../lib/disk.ts";
import { quote } from "../lib/quote.ts";
import { claimLock } from "../process/lock.ts";
import { AppError } from "../protocol/error.ts";
import { LocalServer } from "../protocol/local.ts";

const ROOMS = ["ledgers", "keeper", "logs", "workspaces", "audit", "modules", "tasks"] as const;
const LOCK = "server.lock";

/** Makes the state directory with its rooms, private to this user. Throws `state_unusable` when it is not. */
export function prepareState(state: string): void {
  try {
    makeDirectory(state);
    checkPrivate(state);
    for (const room of ROOMS) mkdirSync(join(state, room), { recursive: true, mode: 0o700 });
    // Whatever is found out later ends a server that runs already.
    for (const name of ["", ...ROOMS, LOCK])
      if (name !== LOCK || existsSync(join(state, LOCK)))
        accessSync(join(state, name), constants.R_OK | constants.W_OK);
  } catch (error) {
    if (error instanceof AppError || !(error instanceof Error)) throw error;
    throw new AppError("state_unusable", `Cannot use state directory "${state}": ${explain(error)}`, {
      cause: error,
    });
  }
}

/** Makes a directory with those above it, or none of them. */
function makeDirectory(path: string): void {
  const missing: string[] = [];
  for (let above = path; !existsSync(above) && above !== dirname(above); above = dirname(above))
    missing.push(above);
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    for (const made of missing) removeIfEmpty(made);
    throw error;
  }
}

function removeIfEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // It was not made, or is somebody's already.
  }
}

function explain(error: Error): string {
  switch (toErrorCode(error)) {
    case "EEXIST":
      return "it, or one of its rooms, is a file; name a directory, or one that is still to be made";
    case "ENOTDIR":
      return "a part of its path is a file";
    case "EROFS":
      return "its file system is mounted read-only";
    case "ENAMETOOLONG":
      return "its name is too long";
    default:
      return error.message;
  }
}

/** Takes the state directory for this server. Throws `state_in_use`, with its owner where that is known. */
export function lockState(state: string): Disposable {
  const lock = claimLock(join(state, LOCK));
  if (lock !== undefined) return lock;
  const owner = findLocalServer(state);
  const who = owner === undefined ? "another farhandd" : `farhandd with pid ${owner.pid} at ${owner.url}`;
  throw new AppError("state_in_use", `Cannot use state directory "${state}": ${who} holds it`);
}

/** Whether a server holds the state directory at this moment. */
export function isStateLocked(state: string): boolean {
  using lock = claimLock(join(state, LOCK));
  return lock === undefined;
}

const LOCAL = "local.json";

/** What the running server (or the last one) left, if it can be read. */
export function findLocalServer(state: string): LocalServer | undefined {
  try {
    const parsed = v.safeParse(LocalServer, JSON.parse(readFileSync(join(state, LOCAL), "utf8")));
    return parsed.success ? parsed.output : undefined;
  } catch {
    return undefined; // no server was started here
  }
}

/** Removes what a server has left that is dead: its pid may be another process's by now. For whoever has the lock only. */
export function forgetLocalServer(state: string): void {
  rmSync(join(state, LOCAL), { force: true });
}

/** Leaves the address and token for this user's own clients; whole or not at all. Throws `unavailable` on a full disk. */
export function leaveLocalServer(state: string, server: LocalServer): Disposable {
  const path = join(state, LOCAL);
  try {
    writeFileSync(`${path}.new`, JSON.stringify(server), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  } catch (error) {
    rmSync(`${path}.new`, { force: true });
    if (!isDiskFull(error)) throw error;
    const why = `the disk of "${state}" is full; make room`;
    throw new AppError("unavailable", `Cannot tell clients of this server: ${why}`, { cause: error });
  }
  return { [Symbol.dispose]: () => rmSync(path, { force: true }) };
}

function checkPrivate(state: string): void {
  if (process.platform === "win32") return;
  const found = statSync(state);
  const uid = process.getuid?.();
  if (found.uid !== uid) {
    throw new AppError(
      "state_unusable",
      `Cannot use state directory "${state}": it belongs to user ${found.uid}, not ${uid}`,
    );
  }
  if ((found.mode & 0o077) !== 0) {
    throw new AppError(
      "state_unusable",
      `Cannot use state directory "${state}": others may enter it; run chmod 700 ${quote(state)}`,
    );
  }
}
