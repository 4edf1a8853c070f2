import type { Database } from "bun:sqlite";
import * as v from "valibot";
import { after } from "../../lib/abort.ts";
import { describeError, type Log } from "../../lib/log.ts";
import { StartRecord } from "../../ledger/start.ts";
import { JobId } from "../../protocol/id.ts";
import { Exit } from "../../protocol/packet.ts";
import { isWithin, type Scope } from "../auth/identity.ts";
import { openDatabase, toReadingError } from "./database.ts";

/** Milliseconds for which changes are collected into one transaction. */
const BATCH_DELAY = 100;
/** Milliseconds until what could not be written is tried again. */
const RETRY_DELAY = 1_000;

/** What the index knows of a job: enough to list it without opening its ledger. */
export const IndexedJob = v.object({
  start: StartRecord,
  exit: v.optional(Exit),
  /** Whether its ledger is complete. */
  closed: v.boolean(),
});
export type IndexedJob = v.InferOutput<typeof IndexedJob>;

/** A job that is over. `outcome`: the type of that. `endedAt`: wall clock in ISO 8601. Empty where they are not known. */
const EndedJob = v.object({ id: JobId, number: v.number(), outcome: v.string(), endedAt: v.string() });
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
  onRemoved: (id: JobId, whose: Pick<StartRecord, "owner" | "via"> | undefined) => void = () => {};

  /**
   * Throws `state_unusable` on a database that a newer version wrote, or a damaged one. `isNew`: whether one that has
   * nothing in it is no wonder.
   */
  constructor(path: string, log: Log, isNew = true) {
    this.#database = openDatabase(path, isNew);
    this.#log = log;
  }

  put(job: IndexedJob): void {
    this.#pending.set(job.start.job, job);
    this.#batch ??= after(BATCH_DELAY, () => this.flush());
  }

  /** Writes what is pending, which stays so and is tried again where that fails. Answers whether it is written. */
  flush(): boolean {
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
    return !this.#failing;
  }

  find(id: JobId): IndexedJob | undefined {
    const pending = this.#pending.get(id);
    if (pending !== undefined) return pending;
    return this.#select("id = ?", [id], () => false)[0];
  }

  findByNumber(number: number): IndexedJob | undefined {
    const [found] = this.#select("number = ?", [number], ({ start }) => start.number === number);
    return found;
  }

  /** The newest of an owner's jobs with this idempotency key that was started by way of these links of a narrowed token. */
  findByKey(owner: string, key: string, via: readonly string[]): IndexedJob | undefined {
    const links = JSON.stringify(via);
    const isMeant = ({ start }: IndexedJob) =>
      start.owner === owner && start.key === key && JSON.stringify(start.via ?? []) === links;
    const condition = `owner = ? AND key = ? AND coalesce(start -> '$.via', '[]') = ? ORDER BY number DESC LIMIT 1`;
    return this.#select(condition, [owner, key, links], isMeant)
      .sort((a, b) => b.start.number - a.start.number)
      .at(0);
  }

  /** At most two jobs among these whose ids begin so: two mean that the prefix is ambiguous. */
  findByPrefix(prefix: string, scope: Scope | undefined): IndexedJob[] {
    const plain = prefix.replaceAll(/[^0-9a-f-]/g, "");
    const begins = ({ start }: IndexedJob) =>
      start.job.startsWith(plain) && (scope === undefined || isWithin(start, scope));
    const { condition, keys } = toCondition(scope);
    return this.#select(`id LIKE ? AND ${condition} LIMIT 2`, [`${plain}%`, ...keys], begins).slice(0, 2);
  }

  /** Jobs with numbers below `before`, newest first. */
  list(before: number, limit: number): IndexedJob[] {
    const isOlder = ({ start }: IndexedJob) => start.number < before;
    return this.#select("number < ? ORDER BY number DESC LIMIT ?", [before, limit], isOlder)
      .sort((a, b) => b.start.number - a.start.number)
      .slice(0, limit);
  }

  /** The newest of these jobs. */
  findLast(scope: Scope): IndexedJob | undefined {
    const { condition, keys } = toCondition(scope);
    const isMeant = ({ start }: IndexedJob) => isWithin(start, scope);
    return this.#select(`${condition} ORDER BY number DESC LIMIT 1`, keys, isMeant).sort(
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
    const exit = (path: string) => `iif(json_valid(exit), coalesce(exit ->> '${path}', ''), '')`;
    const columns = `id, number, ${exit("$.outcome.type")} AS outcome, ${exit("$.endedAt")} AS endedAt`;
    const query = `SELECT ${columns} FROM jobs WHERE closed = 1`;
    const rows = attempt(() => v.parse(v.array(EndedJob), this.#database.query(query).all()));
    const written = rows.filter(({ id }) => !this.#pending.has(id));
    const pending = [...this.#pending.values()]
      .filter(({ closed }) => closed)
      .map(({ start: { job: id, number }, exit }) => ({
        id,
        number,
        outcome: exit?.outcome.type ?? "",
        endedAt: exit?.endedAt ?? "",
      }));
    return [...written, ...pending].sort((a, b) =>
      a.endedAt === b.endedAt ? a.number - b.number : a.endedAt < b.endedAt ? -1 : 1,
    );
  }

  /** Ids of jobs whose ledgers are not complete, as far as is known. */
  listOpen(): JobId[] {
    const query = "SELECT id FROM jobs WHERE closed = 0";
    const rows = attempt(() => v.parse(v.array(v.object({ id: JobId })), this.#database.query(query).all()));
    const written = rows.map(({ id }) => id);
    const pending = [...this.#pending.values()].filter(({ closed }) => !closed);
    return [...written.filter((id) => !this.#pending.has(id)), ...pending.map(({ start }) => start.job)];
  }

  /** Forgets a job, but not that there was one of this id. Throws what prevents it. `now`: wall clock, ms. */
  remove(id: JobId, now: number): void {
    const whose = this.#findOwner(id);
    const forget = () => {
      this.#database
        .query("UPDATE counter SET last = max(last, (SELECT number FROM jobs WHERE id = ?))")
        .run(id);
      this.#database.query("DELETE FROM jobs WHERE id = ?").run(id);
      this.#database.query("INSERT OR REPLACE INTO removed (id, at) VALUES (?, ?)").run(id, now);
    };
    attempt(() => this.#write(forget));
    this.onRemoved(id, whose);
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

  /** Whose a job is; undefined where that cannot be told any more. */
  #findOwner(id: JobId): Pick<StartRecord, "owner" | "via"> | undefined {
    try {
      return this.find(id)?.start;
    } catch {
      return undefined; // a damaged row is removed all the same
    }
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
    const query = `SELECT ${COLUMNS} FROM jobs WHERE ${condition}`;
    const rows = attempt(() =>
      this.#database
        .query(query)
        .all(...keys)
        .map(toJob),
    );
    const written = rows.filter(({ start }) => !this.#pending.has(start.job));
    return [...this.#pending.values().filter(isMeant), ...written];
  }
}

function toCondition(scope: Scope | undefined): { readonly condition: string; readonly keys: string[] } {
  if (scope === undefined) return { condition: "true", keys: [] };
  const { owner, link } = scope;
  if (link === undefined) return { condition: "owner = ?", keys: [owner] };
  const isVia = "EXISTS (SELECT 1 FROM json_each(start, '$.via') WHERE value = ?)";
  return { condition: `owner = ? AND ${isVia}`, keys: [owner, link] };
}

function toJob(row: unknown): IndexedJob {
  const { start, exit, closed } = v.parse(Row, row);
  return v.parse(IndexedJob, {
    start: JSON.parse(start),
    exit: exit === null ? undefined : JSON.parse(exit),
    closed: closed === 1,
  });
}

function attempt<T>(use: () => T): T {
  try {
    return use();
  } catch (error) {
    throw toReadingError(error);
  }
}
