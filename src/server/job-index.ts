import { Database } from "bun:sqlite";
import * as v from "valibot";
import { after } from "../lib/abort.ts";
import { StartRecord } from "../ledger/start.ts";
import { AppError } from "../protocol/error.ts";
import { JobId } from "../protocol/id.ts";
import { Exit } from "../protocol/packet.ts";

const SCHEMA_VERSION = 1;
/** Milliseconds for which changes are collected into one transaction. */
const BATCH_DELAY = 100;

/** What the index knows of a job: enough to list it without opening its ledger. */
export const IndexedJob = v.object({
  start: StartRecord,
  exit: v.optional(Exit),
  /** Whether its ledger is complete. */
  closed: v.boolean(),
});
export type IndexedJob = v.InferOutput<typeof IndexedJob>;

const Row = v.object({ start: v.string(), exit: v.nullable(v.string()), closed: v.number() });

/** The index of jobs in `state.db`: written in batches, after the answer, because the ledgers can rebuild it. */
export class JobIndex implements Disposable {
  readonly #database: Database;
  readonly #pending = new Map<JobId, IndexedJob>();
  #batch: Disposable | undefined;

  /** Throws `state_unusable` on a database that a newer version wrote, or a damaged one. */
  constructor(path: string) {
    this.#database = openDatabase(path);
  }

  put(job: IndexedJob): void {
    this.#pending.set(job.start.job, job);
    this.#batch ??= after(BATCH_DELAY, () => this.flush());
  }

  /** Writes what is pending. */
  flush(): void {
    this.#batch?.[Symbol.dispose]();
    this.#batch = undefined;
    if (this.#pending.size === 0) return;
    const insert = this.#database.query(
      "INSERT OR REPLACE INTO jobs (id, number, start, exit, closed) VALUES (?, ?, ?, ?, ?)",
    );
    this.#database.transaction(() => {
      for (const [id, { start, exit, closed }] of this.#pending) {
        insert.run(
          id,
          start.number,
          JSON.stringify(start),
          exit === undefined ? null : JSON.stringify(exit),
          Number(closed),
        );
      }
    })();
    this.#pending.clear();
  }

  find(id: JobId): IndexedJob | undefined {
    return this.#pending.get(id) ?? this.#one("SELECT start, exit, closed FROM jobs WHERE id = ?", id);
  }

  findByNumber(number: number): IndexedJob | undefined {
    this.flush();
    return this.#one("SELECT start, exit, closed FROM jobs WHERE number = ?", number);
  }

  /** At most two jobs whose ids begin so: two mean that the prefix is ambiguous. */
  findByPrefix(prefix: string): IndexedJob[] {
    this.flush();
    const pattern = `${prefix.replaceAll(/[^0-9a-f-]/g, "")}%`;
    return this.#all("SELECT start, exit, closed FROM jobs WHERE id LIKE ? LIMIT 2", pattern);
  }

  /** Jobs with numbers below `before`, newest first. */
  list(before: number, limit: number): IndexedJob[] {
    this.flush();
    return this.#all(
      "SELECT start, exit, closed FROM jobs WHERE number < ? ORDER BY number DESC LIMIT ?",
      before,
      limit,
    );
  }

  /** The highest number ever given, also to a job that was removed since. */
  get lastNumber(): number {
    this.flush();
    const row = this.#database
      .query("SELECT max((SELECT last FROM counter), coalesce((SELECT max(number) FROM jobs), 0)) AS last")
      .get();
    return v.parse(v.object({ last: v.number() }), row).last;
  }

  get size(): number {
    this.flush();
    return v.parse(
      v.object({ size: v.number() }),
      this.#database.query("SELECT count(*) AS size FROM jobs").get(),
    ).size;
  }

  /** Ids of jobs whose ledgers are complete, oldest first. */
  listClosed(): JobId[] {
    this.flush();
    const rows = this.#database.query("SELECT id FROM jobs WHERE closed = 1 ORDER BY number").all();
    return v.parse(v.array(v.object({ id: JobId })), rows).map(({ id }) => id);
  }

  /** Forgets a job, but not that there was one of this id. `now`: wall clock, ms. */
  remove(id: JobId, now: number): void {
    this.flush();
    this.#database.transaction(() => {
      this.#database
        .query("UPDATE counter SET last = max(last, (SELECT number FROM jobs WHERE id = ?))")
        .run(id);
      this.#database.query("DELETE FROM jobs WHERE id = ?").run(id);
      this.#database.query("INSERT OR REPLACE INTO removed (id, at) VALUES (?, ?)").run(id, now);
    })();
  }

  wasRemoved(id: JobId): boolean {
    return this.#database.query("SELECT 1 FROM removed WHERE id = ?").get(id) !== null;
  }

  /** Forgets ids that were removed before `before`. */
  forgetRemoved(before: number): void {
    this.#database.query("DELETE FROM removed WHERE at < ?").run(before);
  }

  [Symbol.dispose](): void {
    this.flush();
    this.#database.close();
  }

  #one(sql: string, key: string | number): IndexedJob | undefined {
    const row = this.#database.query(sql).get(key);
    return row === null ? undefined : toJob(row);
  }

  #all(sql: string, ...keys: (string | number)[]): IndexedJob[] {
    return this.#database
      .query(sql)
      .all(...keys)
      .map(toJob);
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
  try {
    const database = new Database(path, { create: true });
    database.run("PRAGMA journal_mode = WAL");
    database.run("PRAGMA synchronous = NORMAL");
    database.run("PRAGMA busy_timeout = 200");
    database.run("PRAGMA foreign_keys = ON");
    migrate(database, path);
    return database;
  } catch (error) {
    if (error instanceof AppError || !(error instanceof Error)) throw error;
    const hint = "move it away to have it rebuilt from the ledgers";
    throw new AppError("state_unusable", `Cannot open "${path}": ${error.message}; ${hint}`, {
      cause: error,
    });
  }
}

function migrate(database: Database, path: string): void {
  const { user_version: found } = v.parse(
    v.object({ user_version: v.number() }),
    database.query("PRAGMA user_version").get(),
  );
  if (found > SCHEMA_VERSION) {
    throw new AppError(
      "state_unusable",
      `Cannot open "${path}": a newer farhandd wrote it (schema ${found}); use that version`,
    );
  }
  if (found === SCHEMA_VERSION) return;
  database.run(
    "CREATE TABLE jobs (id TEXT PRIMARY KEY, number INTEGER NOT NULL, start TEXT NOT NULL, exit TEXT, closed INTEGER NOT NULL) STRICT",
  );
  database.run("CREATE INDEX jobs_by_number ON jobs (number)");
  database.run("CREATE TABLE counter (last INTEGER NOT NULL) STRICT");
  database.run("INSERT INTO counter (last) VALUES (0)");
  database.run("CREATE TABLE removed (id TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT");
  database.run(`PRAGMA user_version = ${SCHEMA_VERSION}`);
}
