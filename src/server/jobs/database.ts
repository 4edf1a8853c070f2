import { Database } from "bun:sqlite";
import { accessSync, constants, existsSync, rmSync, statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import * as v from "valibot";
import { toErrorCode } from "../../lib/error-code.ts";
import { isDiskFull } from "../../lib/disk.ts";
import { AppError } from "../../protocol/error.ts";

/** What each version of the schema adds to the one before it, in order: a new database takes them all. */
const MIGRATIONS: readonly ((database: Database) => void)[] = [createTables, addKeys];
const SCHEMA_VERSION = MIGRATIONS.length;

const HINT = "run farhandd repair, which sets it aside and rebuilds it from the ledgers";

/** What is wrong with an index, for those who can do something about it. */
export type IndexFault = "damaged" | "newer" | "unusable";

/**
 * Opens `state.db`, makes it if it is missing, and migrates an older one. Throws `state_unusable`, with an `IndexFault`
 * as its detail `fault`, on one that is damaged, that a newer version wrote, or that cannot be used as things are; it is
 * then left as it is. `isNew`: whether one that has nothing in it may be one whose making was cut short.
 */
export function openDatabase(path: string, isNew: boolean): Database {
  let database: Database | undefined;
  const exists = existsSync(path);
  try {
    // SQLite is content with reading where it may not write.
    if (exists) accessSync(path, constants.R_OK | constants.W_OK);
    database = new Database(path, { create: true });
    database.run("PRAGMA busy_timeout = 200");
    // Before anything is set, so that what is not ours stays as it is.
    const version = check(database, path, exists && !isNew);
    database.run("PRAGMA journal_mode = WAL");
    database.run("PRAGMA synchronous = NORMAL");
    database.run("PRAGMA foreign_keys = ON");
    if (version < SCHEMA_VERSION) migrate(database, version);
    return database;
  } catch (error) {
    database?.close();
    // What has nothing in it yet would be taken for one that has lost it.
    if (!exists && statSync(path, { throwIfNoEntry: false })?.size === 0) rmSync(path);
    throw error instanceof AppError ? error : toRefusal(path, error);
  }
}

/** What an error in the use of an index that could be opened means to whoever asked it. */
export function toReadingError(error: unknown): unknown {
  if (error instanceof AppError || !(error instanceof Error)) return error;
  if (isDiskFull(error))
    return new AppError("unavailable", "Cannot write the index: the disk of the state directory is full", {
      cause: error,
    });
  const isOurs = error instanceof SyntaxError || error instanceof v.ValiError;
  if (!isOurs && !/^SQLITE_(CORRUPT|NOTADB)/.test(toErrorCode(error) ?? "")) return error;
  const advice = "stop the server and run farhandd repair, which rebuilds it from the ledgers";
  return new AppError("state_unusable", `Cannot read the index of jobs: it is damaged; ${advice}`, {
    cause: error,
  });
}

/** The version of a database that can be used; 0 for one that is still empty. */
function check(database: Database, path: string, isEmptied: boolean): number {
  const { user_version: version } = v.parse(
    v.object({ user_version: v.number() }),
    database.query("PRAGMA user_version").get(),
  );
  if (version > SCHEMA_VERSION) {
    const why = `a newer farhandd wrote it (schema ${version}); use that version`;
    throw refused(path, "newer", `${why}, or run farhandd repair --rebuild`);
  }
  if (database.query("SELECT 1 FROM sqlite_master").get() === null) {
    if (isEmptied || version !== 0) throw refused(path, "damaged", `it has lost all it had; ${HINT}`);
    return 0;
  }
  if (version <= 0) throw refused(path, "damaged", `it is no index of farhandd; ${HINT}`);
  const checked = v.parse(
    v.object({ quick_check: v.string() }),
    database.query("PRAGMA quick_check(1)").get(),
  );
  if (checked.quick_check !== "ok")
    throw refused(path, "damaged", `it is damaged (${checked.quick_check.replaceAll(/\s+/g, " ")}); ${HINT}`);
  return version;
}

function refused(path: string, fault: IndexFault, why: string, cause?: unknown): AppError {
  return new AppError("state_unusable", `Cannot open "${path}": ${why}`, { cause, details: { fault } });
}

function toRefusal(path: string, error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const full = refused(path, "unusable", "its disk is full; make room", error);
  if (isDiskFull(error)) return full;
  const { message } = error;
  switch (/^(SQLITE_)?[A-Z]+/.exec(toErrorCode(error) ?? "")?.[0]) {
    case "EACCES":
    case "EPERM":
    case "EROFS":
    case "SQLITE_CANTOPEN":
    case "SQLITE_READONLY":
    case "SQLITE_PERM":
      return refused(path, "unusable", `${message}; see that it is a file that this user may write`, error);
    case "SQLITE_BUSY":
    case "SQLITE_LOCKED":
      return refused(path, "unusable", `${message}; another program is using it`, error);
    case "SQLITE_IOERR":
      // Where SQLite shares memory a full disk is one too.
      if (statfsSync(dirname(path)).bavail === 0) return full;
      return refused(path, "unusable", `${message}; see whether its disk is sound`, error);
    default:
      return refused(path, "damaged", `${message}; ${HINT}`, error);
  }
}

/** In one transaction with the version, so that no half of it is ever found. */
function migrate(database: Database, version: number): void {
  database.transaction(() => {
    for (const add of MIGRATIONS.slice(version)) add(database);
    database.run(`PRAGMA user_version = ${SCHEMA_VERSION}`);
  })();
}

function createTables(database: Database): void {
  database.run(
    "CREATE TABLE jobs (id TEXT PRIMARY KEY, number INTEGER NOT NULL, start TEXT NOT NULL, exit TEXT, closed INTEGER NOT NULL) STRICT",
  );
  database.run("CREATE INDEX jobs_by_number ON jobs (number)");
  database.run("CREATE TABLE counter (last INTEGER NOT NULL) STRICT");
  database.run("INSERT INTO counter (last) VALUES (0)");
  database.run("CREATE TABLE removed (id TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT");
}

function addKeys(database: Database): void {
  for (const column of ["owner", "key"]) database.run(`ALTER TABLE jobs ADD COLUMN ${column} TEXT`);
  database.run("UPDATE jobs SET owner = json_extract(start, '$.owner'), key = json_extract(start, '$.key')");
  database.run("CREATE INDEX jobs_by_key ON jobs (owner, key, number) WHERE key IS NOT NULL");
}
