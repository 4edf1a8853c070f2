import { Database } from "bun:sqlite";
import { chmodSync, linkSync, rmSync, type Stats, statSync } from "node:fs";
import * as v from "valibot";
import { toErrorCode } from "../../lib/error-code.ts";
import { isDiskFull } from "../../lib/disk.ts";
import { quote } from "../../lib/quote.ts";
import { AppError } from "../../protocol/error.ts";

const SCHEMA_VERSION = 1;

/** Milliseconds that another process, such as `farhandd token`, may be writing. */
const BUSY_TIMEOUT = 2_000;

/**
 * Opens `auth.db`, which the server and the verbs of its administrator share, and makes it if it is missing. What it holds is
 * written nowhere else, so every commit is on the disk before it returns. Throws `state_unusable` for one that is damaged, newer,
 * or open to others; what is there is left as it is.
 */
export function openAuthDatabase(path: string): Database {
  let database: Database | undefined;
  const found = statSync(path, { throwIfNoEntry: false });
  try {
    if (found === undefined) makeDatabase(path);
    else checkPrivate(path, found);
    database = new Database(path, { readwrite: true });
    database.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT}`);
    const version = findVersion(database);
    if (version > SCHEMA_VERSION)
      throw refused(path, `a newer farhandd wrote it (schema ${version}); use that version`);
    if (version === 0) throw refused(path, `there is nothing in it${ADVICE}`);
    database.run("PRAGMA synchronous = FULL");
    return database;
  } catch (error) {
    database?.close();
    if (error instanceof AppError || !(error instanceof Error)) throw error;
    if (isDiskFull(error)) throw refused(path, "its disk is full; make room", error);
    throw refused(path, `${error.message}${toAdvice(error)}`, error);
  }
}

/** What can be done about it. A database that is whole must not be given up for its disk's sake. */
function toAdvice(error: Error): string {
  const code = toErrorCode(error) ?? "";
  if (/^SQLITE_(CORRUPT|NOTADB)/.test(code)) return ADVICE;
  return code.startsWith("SQLITE_IOERR") ? "; see whether its disk is full, or broken" : "";
}

const ADVICE = "; put back a copy of it, or remove it, which makes every token and password invalid";

/** Makes it whole under another name first: what is found empty later has lost what it held. */
function makeDatabase(path: string): void {
  const draft = `${path}.${crypto.randomUUID()}`;
  try {
    const database = new Database(draft, { create: true });
    try {
      database.run("PRAGMA journal_mode = WAL");
      createTables(database);
    } finally {
      database.close();
    }
    chmodSync(draft, 0o600); // whatever the umask is
    linkSync(draft, path);
  } catch (error) {
    // Somebody else has made it in the meantime.
    if (toErrorCode(error) !== "EEXIST") throw error;
  } finally {
    for (const end of ["", "-wal", "-shm"]) rmSync(`${draft}${end}`, { force: true });
  }
}

function checkPrivate(path: string, { uid, mode }: Stats): void {
  if (process.platform === "win32") return;
  if (uid !== process.getuid?.()) throw refused(path, `it belongs to user ${uid}; run chown on it`);
  if ((mode & 0o077) !== 0) throw refused(path, `others may read it; run chmod 600 ${quote(path)}`);
}

/** What an error in the use of it means to whoever wanted something written or read. */
export function toStoreError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof AppError) return error;
  const code = toErrorCode(error) ?? "";
  if (isDiskFull(error)) return unusable("the disk of the state directory is full; make room", error);
  if (code === "SQLITE_BUSY") return unusable("another process writes to it for too long; try again", error);
  const isOurs = error instanceof SyntaxError || error instanceof v.ValiError;
  if (!isOurs && !/^SQLITE_(CORRUPT|NOTADB)/.test(code)) return error;
  return unusable(`it is damaged${ADVICE}`, error);
}

function unusable(why: string, cause: Error): AppError {
  return new AppError("unavailable", `Cannot use auth.db: ${why}`, { cause });
}

function findVersion(database: Database): number {
  return v.parse(v.object({ user_version: v.number() }), database.query("PRAGMA user_version").get())
    .user_version;
}

function refused(path: string, why: string, cause?: unknown): AppError {
  return new AppError("state_unusable", `Cannot open "${path}": ${why}`, { cause });
}

/** Moments are milliseconds since 1970. */
function createTables(database: Database): void {
  database
    .transaction(() => {
      // `key`: the public one. `roles`: JSON. `origin`: what it was made by. `expires` is null for never, `used` for not yet.
      // One that was rotated keeps its name beside the new one until its time is over.
      database.run(
        `CREATE TABLE tokens (id TEXT PRIMARY KEY, name TEXT NOT NULL, user TEXT NOT NULL, roles TEXT NOT NULL, origin TEXT NOT NULL,
         key BLOB NOT NULL, created INTEGER NOT NULL, expires INTEGER, used INTEGER, source TEXT) STRICT`,
      );
      database.run("CREATE INDEX tokens_by_name ON tokens (name)");
      // `hash`: argon2id, in its own notation.
      database.run(
        "CREATE TABLE users (name TEXT PRIMARY KEY, hash TEXT NOT NULL, roles TEXT NOT NULL, created INTEGER NOT NULL) STRICT",
      );
      // `digest`: SHA-256 of the secret in the line. `lifetime`: of the token that it is traded for, in milliseconds.
      database.run(
        `CREATE TABLE invites (digest BLOB PRIMARY KEY, user TEXT NOT NULL, roles TEXT NOT NULL, expires INTEGER NOT NULL,
         lifetime INTEGER) STRICT`,
      );
      // `link`: the public key of a narrowed token's link that says how often it may be used, in base64url.
      database.run(
        "CREATE TABLE uses (link TEXT PRIMARY KEY, token TEXT NOT NULL, count INTEGER NOT NULL, expires INTEGER) STRICT",
      );
      database.run("CREATE INDEX uses_by_token ON uses (token)");
      // Jobs that a link was used for, as long as they may be asked for again.
      database.run(
        "CREATE TABLE spent (link TEXT, job TEXT, at INTEGER NOT NULL, PRIMARY KEY (link, job)) STRICT, WITHOUT ROWID",
      );
      database.run("CREATE INDEX spent_by_age ON spent (at)");
      database.run(`PRAGMA user_version = ${SCHEMA_VERSION}`);
    })
    .immediate();
}
