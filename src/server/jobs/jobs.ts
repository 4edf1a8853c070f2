import { readdirSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import type { JobAccess, Program } from "../../commands/define.ts";
import { delay } from "../../lib/abort.ts";
import { backoff } from "../../lib/backoff.ts";
import { describeError, type Log } from "../../lib/log.ts";
import type { JobProgress } from "../../keeper/link.ts";
import { findEnding } from "../../ledger/ending.ts";
import {
  findStart,
  findStartFault,
  removeLedger,
  restoreStart,
  type StartRecord,
} from "../../ledger/start.ts";
import { LedgerWriter } from "../../ledger/writer.ts";
import { parseSignal } from "../../process/signal.ts";
import { AppError } from "../../protocol/error.ts";
import { type HolderId, JobId, type KeeperId } from "../../protocol/id.ts";
import type { JobSummary } from "../../protocol/job.ts";
import { type Exit, NO_TOTALS } from "../../protocol/packet.ts";
import { Changes } from "./changes.ts";
import { Job } from "./job.ts";
import type { IndexedJob, JobIndex } from "./job-index.ts";
import { Keys } from "./keys.ts";
import type { KeeperLink, KnownKeeper } from "../keepers/keeper-link.ts";
import { listPage, type Shelf } from "./listing.ts";
import { endLost, findLiving, type LostJob, signalLost } from "./lost.ts";
import { Records } from "./records.ts";
import { toSummary } from "./summary.ts";

/** Keepers that a job is tried with; more than one freeze or die only on a machine that does nothing else. */
const SPAWN_TRIES = 3;
/** Milliseconds between tries to write into a ledger how its job ended. */
const SETTLE_RETRY = { first: 250, cap: 5_000, random: Math.random } as const;

export interface JobsOptions {
  readonly state: string;
  readonly index: JobIndex;
  readonly log: Log;
  /** The keeper that takes new jobs. */
  readonly currentKeeper: () => Promise<KnownKeeper>;
  /** The umask of the front at its start. */
  readonly umask: number;
  /** Aborted when the server stops. */
  readonly signal: AbortSignal;
}

export interface JobRequest {
  readonly job: JobId;
  readonly holder: HolderId | undefined;
  readonly command: string;
  readonly owner: string;
  readonly program: Program;
}

/** Every job of this server: those that keepers keep, and those that are over and have a ledger. */
export class Jobs {
  readonly #options: JobsOptions;
  readonly #live = new Map<JobId, Job>();
  readonly #starting = new Map<JobId, Promise<Job>>();
  /** Links to keepers that are dead. */
  readonly #gone = new WeakSet<KeeperLink>();
  readonly #changes = new Changes();
  readonly #records: Records;
  readonly #keys = new Keys((owner, key) => this.#findByKey(owner, key));
  #lastNumber: number;
  /** Bytes of records that keepers have written since this server started. */
  #written = 0;

  constructor(options: JobsOptions) {
    this.#options = options;
    this.#lastNumber = options.index.lastNumber;
    this.#records = new Records({
      ledgers: join(options.state, "ledgers"),
      index: options.index,
      changes: this.#changes,
      summarize: (job) => this.#summarize(job),
      find: (id) => this.find(id),
    });
  }

  get running(): number {
    return [...this.#live.values()].filter(({ exit }) => exit === undefined).length;
  }

  get total(): number {
    return this.#options.index.size;
  }

  /** Jobs that keepers keep, those included that are just being started. */
  async listLive(): Promise<readonly Job[]> {
    await Promise.allSettled(this.#starting.values());
    return [...this.#live.values()];
  }

  get written(): number {
    return this.#written;
  }

  /** Has the keeper of a job drop its oldest output, until at most `bytes` are kept. */
  trim(job: JobId, bytes: number): void {
    this.#live.get(job)?.keeper?.send({ type: "trim", job, bytes });
  }

  countOf(link: KeeperLink): number {
    return [...this.#live.values()].filter(({ keeper }) => keeper === link).length;
  }

  /** Takes over what a living keeper keeps, at first or again; what it keeps no more has ended meanwhile. */
  adopt(link: KeeperLink, standings: readonly JobProgress[]): void {
    const kept = new Set(standings.map(({ job }) => job));
    for (const [id, job] of this.#live) if (job.keeper === link && !kept.has(id)) this.#leave(id, job);
    for (const standing of standings) {
      const start = findStart(this.#directory(standing.job)) ?? this.#options.index.find(standing.job)?.start;
      if (this.#live.has(standing.job)) this.progress(standing);
      else if (start !== undefined) this.#keep(new Job(start, link, standing));
    }
  }

  /** Looks how far the jobs of a keeper have come that lives but cannot be reached. */
  refresh(link: KeeperLink): void {
    for (const [id, { keeper }] of this.#live) if (keeper === link) this.#look(id, 1);
  }

  /**
   * Brings the index in line with the ledgers. Call it when every living keeper is known and the others' locks were
   * taken: a job of a keeper that `findUnreached` answers goes on, any other without an exit that nobody keeps is lost.
   */
  reconcile(findUnreached: (keeper: KeeperId) => KeeperLink | undefined): void {
    for (const id of this.#options.index.listOpen()) if (!this.#live.has(id)) this.#restore(id);
    for (const name of readdirSync(join(this.#options.state, "ledgers"))) {
      const id = v.safeParse(JobId, name);
      if (!id.success || this.#live.has(id.output)) continue;
      const known = this.#options.index.find(id.output);
      if (known?.closed === true) continue;
      const start = findStart(this.#directory(id.output)) ?? known?.start;
      if (start === undefined) {
        this.#passOver(id.output);
        continue;
      }
      const link = findUnreached(start.keeper);
      this.#keep(new Job(start, link, { next: 0, position: 0 }, false));
      if (link === undefined) this.#settle(id.output);
      else this.#look(id.output, Number.POSITIVE_INFINITY);
    }
    this.#lastNumber = this.#options.index.lastNumber;
  }

  /** Claimed, but nothing was started, where the keeper died in between; else something is wrong. */
  #passOver(job: JobId): void {
    const fault = findStartFault(this.#directory(job));
    if (fault !== "missing") this.#options.log.warn("job passed over: no start record", { job, fault });
  }

  /** Ledgers are not synced to the disk: a machine that failed may have taken all of one, which the index still knows. */
  #restore(id: JobId): void {
    const directory = this.#directory(id);
    const start = this.#options.index.find(id)?.start;
    if (start === undefined || findStart(directory) !== undefined) return;
    this.#options.log.warn("ledger gone", { job: id, number: start.number });
    try {
      restoreStart(directory, start);
    } catch (error) {
      this.#options.log.error("ledger not restored", { job: id, error: describeError(error) });
      const now = new Date().toISOString();
      const exit = { outcome: { type: "lost" as const, since: now }, totals: NO_TOTALS, endedAt: now };
      this.#options.index.put({ start, exit, closed: true });
    }
  }

  /** A keeper is gone, its lock is taken: what it had not finished is lost. */
  lose(link: KeeperLink): void {
    this.#gone.add(link);
    for (const [id, job] of this.#live) if (job.keeper === link) this.#leave(id, job);
  }

  /** Nobody keeps a job any more. What nobody has begun yet goes to the next keeper, by whoever is about to start it. */
  #leave(id: JobId, job: Job): void {
    if (this.#isAwaited(id)) return;
    job.keeper = undefined;
    this.#settle(id);
  }

  /** Whether a job is being started, and no keeper has begun it. */
  #isAwaited(id: JobId): boolean {
    return this.#starting.has(id) && findStart(this.#directory(id)) === undefined;
  }

  progress({ job: id, ...standing }: JobProgress): void {
    const job = this.#live.get(id);
    if (job === undefined) return;
    const exited = job.exit === undefined && standing.exit !== undefined;
    this.#written += Math.max(0, standing.position - job.position);
    job.advance(standing);
    if (exited) this.#note(job);
  }

  closed({ job: id, ...standing }: JobProgress): void {
    const job = this.#live.get(id);
    if (job === undefined) return;
    this.#written += Math.max(0, standing.position - job.position);
    job.close(standing);
    this.#live.delete(id);
    this.#note(job);
  }

  /** Starts a job, or answers the one that has this id already. From this call on `findSoon` finds it. */
  async start(request: JobRequest): Promise<Job> {
    const { job: id } = request;
    const known = this.#starting.get(id);
    if (known !== undefined) return known.catch(() => this.start(request));
    const existing = this.find(id);
    if (existing !== undefined) return existing;
    if (this.#options.index.wasRemoved(id))
      throw new AppError(
        "not_found",
        `Cannot start job ${id}: one of that id ran, and its record was removed`,
      );
    const starting = this.#startKeyed(request).finally(() => this.#starting.delete(id));
    this.#starting.set(id, starting);
    return starting;
  }

  /** The job of this id, also one that is just being started. */
  async findSoon(id: JobId): Promise<Job | undefined> {
    return (await this.#starting.get(id)?.catch(() => undefined)) ?? this.find(id);
  }

  find(id: JobId): Job | undefined {
    const live = this.#live.get(id);
    if (live !== undefined) return live;
    const over = this.#options.index.find(id);
    return over && toPastJob(over);
  }

  #findByKey(owner: string, key: string): Job | undefined {
    const found = this.#options.index.findByKey(owner, key);
    return found && (this.#live.get(found.start.job) ?? toPastJob(found));
  }

  /** What commands may do with jobs, on behalf of `owner`. */
  access(owner: string): JobAccess {
    return {
      list: (query) => listPage(this.#shelf, query, Date.now()),
      get: async (ref) => this.#summarize(await this.#resolve(ref, owner)),
      show: async (ref) => this.#records.describe(await this.#resolve(ref, owner)),
      label: async (ref, set, unset) => {
        const job = await this.#resolve(ref, owner);
        this.#records.label(job, set, unset);
        this.#note(job);
        return this.#summarize(job);
      },
      remove: async (refs) =>
        this.#records.remove(await Promise.all(refs.map((ref) => this.#resolve(ref, owner)))),
      changes: (cursor, filter, signal) => this.#records.changes(cursor, filter, signal),
      wait: async (ref, signal) => {
        const job = await this.#resolve(ref, owner);
        await job.waitForExit(signal);
        return this.#summarize(job);
      },
      signal: async (ref, name) => {
        const job = await this.#resolve(ref, owner);
        const signal = parseSignal(name);
        if (job.keeper === undefined) return signalLost(this.#toLost(job), signal);
        await job.keeper.request({ type: "signal", job: job.start.job, signal });
      },
      cancel: async (ref, name, grace) => {
        const job = await this.#resolve(ref, owner);
        const signal = parseSignal(name);
        if (job.keeper === undefined) return await endLost(this.#toLost(job), { signal, grace });
        const { job: id } = job.start;
        const reply = await job.keeper.request({ type: "cancel", job: id, signal, grace, by: owner });
        return reply.type === "reply" ? reply.ended : undefined;
      },
    };
  }

  /** The job that has the request's key already, if it has one. */
  #startKeyed(request: JobRequest): Promise<Job> {
    const { owner, command, program } = request;
    const { key } = program.terms;
    if (key === undefined) return this.#start(request);
    const { argv, cwd } = program;
    return this.#keys.claim({ owner, key, command, argv, cwd }, () => this.#start(request));
  }

  /**
   * Starts a job with a keeper that answers. One that froze or died meanwhile may still begin it, or have begun it: the
   * first to claim the ledger does, and whoever comes second says that there is one.
   */
  async #start(request: JobRequest): Promise<Job> {
    const start = this.#toStart(request);
    const tried = new Map<KeeperId, KeeperLink>();
    for (;;) {
      const { id: keeper, link } = await this.#options.currentKeeper();
      const adopted = this.#live.get(start.job);
      if (adopted !== undefined) return adopted; // from one that answers again
      tried.set(keeper, link);
      const job = new Job({ ...start, keeper }, link, { next: 0, position: 0 });
      try {
        if (await this.#spawn(job, request)) return job;
      } catch (error) {
        const begun = this.find(start.job);
        if (begun !== undefined) return begun; // by a keeper that died of it
        if (link.state.state === "reached" || tried.size === SPAWN_TRIES) throw error;
        continue;
      }
      const begun = this.#findBegun(start.job, tried);
      if (begun === undefined)
        throw new AppError("already_exists", `Cannot start job ${start.job}: there is a ledger of that id`);
      return begun;
    }
  }

  #toStart({ job, command, owner, program }: JobRequest): Omit<StartRecord, "keeper"> {
    const { argv, cwd, env, merge, keepBytes, terms } = program;
    return {
      format: 1,
      job,
      number: ++this.#lastNumber,
      command,
      argv: [...argv],
      cwd,
      envNames: Object.keys(env).sort(),
      owner,
      merge,
      ...(keepBytes !== undefined && { keepBytes }),
      startedAt: new Date().toISOString(),
      ...terms,
    };
  }

  /** Has a job's keeper start it. Answers false when there is a ledger of its id already. */
  async #spawn(job: Job, { holder, program: { env, stdin } }: JobRequest): Promise<boolean> {
    const { start, keeper } = job;
    const { umask } = this.#options;
    job.startedFor = holder;
    this.#live.set(start.job, job);
    this.#watchHolders(job);
    try {
      const spawn = { type: "spawn" as const, start, env, umask, stdin, ...(holder && { holder }) };
      const reply = await (keeper as KeeperLink).request(spawn);
      const isCreated = reply.type === "spawned" && reply.created;
      if (isCreated) this.#note(job);
      else this.#live.delete(start.job);
      return isCreated;
    } catch (error) {
      // What a dead keeper had begun was settled before this is thrown, or will be; what it had only claimed is free again.
      if (this.#isAwaited(start.job) && this.#gone.has(keeper as KeeperLink))
        removeLedger(this.#directory(start.job));
      if (job.keeper !== undefined) this.#live.delete(start.job);
      throw error;
    }
  }

  /** A job that a keeper which could not be reached any more has begun after all. */
  #findBegun(id: JobId, tried: ReadonlyMap<KeeperId, KeeperLink>): Job | undefined {
    const start = findStart(this.#directory(id));
    const keeper = start && tried.get(start.keeper);
    if (start === undefined || keeper === undefined || tried.size === 1) return undefined;
    const isGone = this.#gone.has(keeper);
    const job = new Job(start, isGone ? undefined : keeper, { next: 0, position: 0 }, false);
    this.#keep(job);
    if (isGone) this.#settle(id);
    else this.#look(id, Number.POSITIVE_INFINITY);
    return job;
  }

  #note({ start, exit, isClosed }: Job): void {
    this.#put({ start, exit, closed: isClosed });
  }

  #put(job: IndexedJob): void {
    this.#options.index.put(job);
    this.#changes.note(job.start.job);
  }

  #keep(job: Job): void {
    this.#live.set(job.start.job, job);
    this.#watchHolders(job);
    this.#note(job);
  }

  /** Reads from the newest segments of its ledger how far a job has come that its keeper cannot tell of. */
  #look(id: JobId, segments: number): void {
    try {
      const { closed, next, position, exit } = findEnding(this.#directory(id), id, segments);
      const standing = { job: id, next, position, exit: exit ?? this.#live.get(id)?.exit };
      if (closed) this.closed(standing);
      else this.progress(standing);
    } catch (error) {
      this.#options.log.warn("ledger not read", { job: id, error: describeError(error) });
    }
  }

  /** Settles a job that nobody keeps. Where that fails it is tried until it works: a full disk only delays it. */
  #settle(id: JobId): void {
    try {
      this.#end(id);
    } catch (error) {
      this.#options.log.error("ledger not settled yet", { job: id, error: describeError(error) });
      this.#settleLater(id).catch(() => {}); // it ends with the server
    }
  }

  async #settleLater(id: JobId): Promise<void> {
    for (const ms of backoff(SETTLE_RETRY)) {
      await delay(ms, this.#options.signal);
      if (this.#live.get(id)?.keeper !== undefined) return; // somebody keeps it after all
      try {
        return this.#end(id);
      } catch {
        // The first failure was logged; most likely this is the same.
      }
    }
  }

  /** Reads how a job ended that nobody keeps, and writes `lost` into the ledger of one that never did. */
  #end(id: JobId): void {
    const directory = this.#directory(id);
    const start = findStart(directory) ?? this.#live.get(id)?.start;
    if (start === undefined) return; // claimed, but nothing was started: the keeper died in between
    const found = findEnding(directory, id);
    if (!found.closed) this.#finish(directory, start, found.exit);
    const { exit } = found.closed ? found : findEnding(directory, id);
    const job = this.#live.get(id);
    this.#live.delete(id);
    this.#put({ start, exit, closed: true });
    job?.close({ next: job.next, position: Number.POSITIVE_INFINITY, exit });
  }

  #finish(directory: string, start: StartRecord, exit: Exit | undefined): void {
    const now = new Date().toISOString();
    using ledger = LedgerWriter.recover(directory, start.job, {
      keepBytes: undefined,
      clock: () => Math.max(0, Date.now() - Date.parse(start.startedAt)) * 1_000,
      released: () => 0,
    });
    ledger.close(exit ?? ledger.exit({ outcome: { type: "lost", since: now }, endedAt: now }));
  }

  get #shelf(): Shelf {
    return {
      list: (before, limit) => this.#options.index.list(before, limit),
      toJob: (indexed) => this.#live.get(indexed.start.job) ?? toPastJob(indexed),
      summarize: (job) => this.#summarize(job),
    };
  }

  #summarize(job: Job): JobSummary {
    return toSummary(job, () => findLiving(this.#toLost(job)));
  }

  #toLost({ start }: Job): LostJob {
    return { directory: this.#directory(start.job), start };
  }

  /** Tells watchers whenever clients begin or cease to hold a job. */
  #watchHolders(job: Job): void {
    let wasHeld = false;
    job.subscribe(() => {
      if (job.holders > 0 === wasHeld) return;
      wasHeld = !wasHeld;
      this.#changes.note(job.start.job);
    });
  }

  /** The job that a reference means, also one that is just being started. `owner`: of the caller. */
  async #resolve(ref: string, owner: string): Promise<Job> {
    const isMeant = (id: JobId) => ref === "@last" || id.startsWith(ref.toLowerCase());
    await Promise.allSettled([...this.#starting].flatMap(([id, job]) => (isMeant(id) ? [job] : [])));
    const found = this.#lookUp(ref, owner);
    if (found.length > 1)
      throw new AppError("ambiguous", `Cannot tell which job "${ref}" is: more than one id begins so`);
    const [indexed] = found;
    if (indexed === undefined)
      throw new AppError("not_found", `Cannot find job "${ref}": see farhand jobs for those there are`);
    return this.#live.get(indexed.start.job) ?? toPastJob(indexed);
  }

  #lookUp(ref: string, owner: string): readonly IndexedJob[] {
    const { index } = this.#options;
    if (ref === "@last") return [index.findLast(owner) ?? []].flat();
    if (/^\d{1,9}$/.test(ref)) return [index.findByNumber(Number(ref)) ?? []].flat();
    return /^[0-9a-f][0-9a-f-]{3,35}$/i.test(ref) ? index.findByPrefix(ref.toLowerCase()) : [];
  }

  #directory(id: JobId): string {
    return join(this.#options.state, "ledgers", id);
  }
}

function toPastJob({ start, exit }: IndexedJob): Job {
  return new Job(start, undefined, {
    next: Number.MAX_SAFE_INTEGER,
    position: Number.POSITIVE_INFINITY,
    exit,
  });
}
