import { Database } from "bun:sqlite";
import * as v from "valibot";
import { after } from "../lib/abort.ts";
import { describeError, type Log } from "../lib/log.ts";
import { StartRecord } from "../ledger/start.ts";
import { AppError } from "../protocol/error.ts";
import { JobId } from "../protocol/id.ts";
import { Exit } from "../protocol/packet.ts";

/** What each version of the schema adds to the one before it, in order: a new database takes them all. */
const MIGRATIONS: readonly ((database: Database) => void)[] = [createTables, addKeys];
const SCHEMA_VERSION = MIGRATIONS.length;
/** Milliseconds for which changes are collected into one transaction. */
const BATCH_DELAY = 100;
/** Milliseconds until what could not be written is tried again. */
const RETRY_DELAY = 1_000;

const HINT = "move it away to have it rebuilt from the ledgers";

/** What the index knows of a job: enough to list it without opening its ledger. */
export const IndexedJob = v.object({
  start: StartRecord,
  exit: v.optional(Exit),
  /** Whether its ledger is complete. */
  closed: v.boolean(),
});
export type IndexedJob = v.InferOutput<typeof IndexedJob>;

/** A job that is over. `endedAt`: wall clock in ISO 8601; empty where that is not known. */
const EndedJob = v.object({ id: JobId, number: v.number(), endedAt: v.string() });
export type EndedJob = v.InferOutput<typeof EndedJob>;

const COLUMNS = "start, exit, closed";
const Row = v.object({ start: v.string(), exit: v.nullable(v.string()), closed: v.number() });

/**
 * The index of jobs in `state.db`: written in batches, after the answer, because the ledgers can rebuild it. Look-ups never
 * write and count what is pending in, so that they are right however long the disk is full.
 */
export class JobIndex implements Disposable {
  readonly #database: Database;
  readonly #log: Log;
  /** Not written yet: newer than what the table says of the same jobs. */
  readonly #pending = new Map<JobId, IndexedJob>();
  #batch: Disposable | undefined;
  /** Whether the last attempt to write failed, which is logged once. */
  #failing = false;
  /** Told of each job that was removed. */
  onRemoved: (id: JobId) => void = () => {};

  /** Throws `state_unusable` on a database that a newer version wrote, or a damaged one. */
  constructor(path: string, log: Log) {
    this.#database = openDatabase(path);
    this.#log = log;
  }

  put(job: IndexedJob): void {
    this.#pending.set(job.start.job, job);
    this.#batch ??= after(BATCH_DELAY, () => this.flush());
  }

  /** Writes what is pending, which stays so and is tried again where that fails. */
  flush(): void {
    this.#batch?.[Symbol.dispose]();
    this.#batch = undefined;
    try {
      if (this.#pending.size > 0) this.#write(() => {});
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) this.#log.warn("index not written", { error: describeError(error) });
      this.#failing = true;
      this.#batch = after(RETRY_DELAY, () => this.flush());
    }
  }

  find(id: JobId): IndexedJob | undefined {
    const pending = this.#pending.get(id);
    if (pending !== undefined) return pending;
    const row = this.#database.query(`SELECT ${COLUMNS} FROM jobs WHERE id = ?`).get(id);
    return row === null ? undefined : toJob(row);
  }

  findByNumber(number: number): IndexedJob | undefined {
    const [found] = this.#select("number = ?", [number], ({ start }) => start.number === number);
    return found;
  }

  /** The newest of an owner's jobs with this idempotency key. */
  findByKey(owner: string, key: string): IndexedJob | undefined {
    const isMeant = ({ start }: IndexedJob) => start.owner === owner && start.key === key;
    return this.#select("owner = ? AND key = ? ORDER BY number DESC LIMIT 1", [owner, key], isMeant)
      .sort((a, b) => b.start.number - a.start.number)
      .at(0);
  }

  /** At most two jobs whose ids begin so: two mean that the prefix is ambiguous. */
  findByPrefix(prefix: string): IndexedJob[] {
    const plain = prefix.replaceAll(/[^0-9a-f-]/g, "");
    const begins = ({ start }: IndexedJob) => start.job.startsWith(plain);
    return this.#select("id LIKE ? LIMIT 2", [`${plain}%`], begins).slice(0, 2);
  }

  /** Jobs with numbers below `before`, newest first. */
  list(before: number, limit: number): IndexedJob[] {
    const isOlder = ({ start }: IndexedJob) => start.number < before;
    return this.#select("number < ? ORDER BY number DESC LIMIT ?", [before, limit], isOlder)
      .sort((a, b) => b.start.number - a.start.number)
      .slice(0, limit);
  }

  /** The newest job of an owner. */
  findLast(owner: string): IndexedJob | undefined {
    const isOwn = ({ start }: IndexedJob) => start.owner === owner;
    return this.#select("owner = ? ORDER BY number DESC LIMIT 1", [owner], isOwn).sort(
      (a, b) => b.start.number - a.start.number,
    )[0];
  }

  /** The highest number ever given, also to a job that was removed since. */
  get lastNumber(): number {
    const row = this.#database
      .query("SELECT max((SELECT last FROM counter), coalesce((SELECT max(number) FROM jobs), 0)) AS last")
      .get();
    const { last } = v.parse(v.object({ last: v.number() }), row);
    return this.#pending.values().reduce((last, { start }) => Math.max(last, start.number), last);
  }

  get size(): number {
    const row = this.#database.query("SELECT count(*) AS size FROM jobs").get();
    const { size } = v.parse(v.object({ size: v.number() }), row);
    const written = this.#database.query("SELECT 1 FROM jobs WHERE id = ?");
    return this.#pending.keys().reduce((size, id) => size + (written.get(id) === null ? 1 : 0), size);
  }

  /** Jobs whose ledgers are complete, in the order in which they ended. */
  listEnded(): EndedJob[] {
    const rows = this.#database
      .query("SELECT id, number, coalesce(exit ->> 'endedAt', '') AS endedAt FROM jobs WHERE closed = 1")
      .all();
    const written = v.parse(v.array(EndedJob), rows).filter(({ id }) => !this.#pending.has(id));
    const pending = [...this.#pending.values()]
      .filter(({ closed }) => closed)
      .map(({ start, exit }) => ({ id: start.job, number: start.number, endedAt: exit?.endedAt ?? "" }));
    return [...written, ...pending].sort((a, b) =>
      a.endedAt === b.endedAt ? a.number - b.number : a.endedAt < b.endedAt ? -1 : 1,
    );
  }

  /** Ids of jobs whose ledgers are not complete, as far as is known. */
  listOpen(): JobId[] {
    const rows = this.#database.query("SELECT id FROM jobs WHERE closed = 0").all();
    const written = v.parse(v.array(v.object({ id: JobId })), rows).map(({ id }) => id);
    const pending = [...this.#pending.values()].filter(({ closed }) => !closed);
    return [...written.filter((id) => !this.#pending.has(id)), ...pending.map(({ start }) => start.job)];
  }

  /** Forgets a job, but not that there was one of this id. Throws what prevents it. `now`: wall clock, ms. */
  remove(id: JobId, now: number): void {
    this.#write(() => {
      this.#database
        .query("UPDATE counter SET last = max(last, (SELECT number FROM jobs WHERE id = ?))")
        .run(id);
      this.#database.query("DELETE FROM jobs WHERE id = ?").run(id);
      this.#database.query("INSERT OR REPLACE INTO removed (id, at) VALUES (?, ?)").run(id, now);
    });
    this.onRemoved(id);
  }

  wasRemoved(id: JobId): boolean {
    return this.#database.query("SELECT 1 FROM removed WHERE id = ?").get(id) !== null;
  }

  /** Forgets ids that were removed before `before`. Throws what prevents it. */
  forgetRemoved(before: number): void {
    this.#database.query("DELETE FROM removed WHERE at < ?").run(before);
  }

  /** What cannot be written now is found in the ledgers by the next server. */
  [Symbol.dispose](): void {
    this.flush();
    this.#batch?.[Symbol.dispose]();
    this.#database.close();
  }

  /** Writes all that is pending, and then something else, or nothing of either. */
  #write(next: () => void): void {
    const insert = this.#database.query(
      "INSERT OR REPLACE INTO jobs (id, number, start, exit, closed, owner, key) VALUES (?, ?, ?, ?, ?, ?, ?)",
    );
    this.#database.transaction(() => {
      for (const [id, { start, exit, closed }] of this.#pending) {
        insert.run(
          id,
          start.number,
          JSON.stringify(start),
          exit === undefined ? null : JSON.stringify(exit),
          Number(closed),
          start.owner,
          start.key ?? null,
        );
      }
      next();
    })();
    this.#pending.clear();
  }

  /** Rows for which a condition holds that `isMeant` tells of what is pending: of start records, which never change. */
  #select(condition: string, keys: (string | number)[], isMeant: (job: IndexedJob) => boolean): IndexedJob[] {
    const rows = this.#database.query(`SELECT ${COLUMNS} FROM jobs WHERE ${condition}`).all(...keys);
    const written = rows.map(toJob).filter(({ start }) => !this.#pending.has(start.job));
    return [...this.#pending.values().filter(isMeant), ...written];
  }
}

function toJob(row: unknown): IndexedJob {
  const { start, exit, closed } = v.parse(Row, row);
  return v.parse(IndexedJob, {
    start: JSON.parse(start),
    exit: exit === null ? undefined : JSON.parse(exit),
    closed: closed === 1,
  });
}

function openDatabase(path: string): Database {
  const refuse = (why: string, cause?: unknown) =>
    new AppError("state_unusable", `Cannot open "${path}": ${why}`, { cause });
  let database: Database | undefined;
  try {
    database = new Database(path, { create: true });
    database.run("PRAGMA busy_timeout = 200");
    const version = readVersion(database);
    // Before anything is set, so that what is not ours stays as it is.
    const fault = findFault(database, version);
    if (fault !== undefined) throw refuse(fault);
    database.run("PRAGMA journal_mode = WAL");
    database.run("PRAGMA synchronous = NORMAL");
    database.run("PRAGMA foreign_keys = ON");
    if (version < SCHEMA_VERSION) migrate(database, version);
    return database;
  } catch (error) {
    database?.close();
    if (error instanceof AppError || !(error instanceof Error)) throw error;
    throw refuse(`${error.message}; ${HINT}`, error);
  }
}

function readVersion(database: Database): number {
  const row = database.query("PRAGMA user_version").get();
  return v.parse(v.object({ user_version: v.number() }), row).user_version;
}

/** Why this version cannot use a database; undefined for one of its own, and for one that is still empty. */
function findFault(database: Database, version: number): string | undefined {
  if (version > SCHEMA_VERSION) return `a newer farhandd wrote it (schema ${version}); use that version`;
  const isEmpty = database.query("SELECT 1 FROM sqlite_master").get() === null;
  return version > 0 || isEmpty ? undefined : `it is no index of farhandd; ${HINT}`;
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
