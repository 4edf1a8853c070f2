import { readdirSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import type { JobAccess, Program } from "../commands/define.ts";
import { after, delay } from "../lib/abort.ts";
import { backoff } from "../lib/backoff.ts";
import { describeError, type Log } from "../lib/log.ts";
import type { JobProgress } from "../keeper/link.ts";
import { findEnding } from "../ledger/ending.ts";
import { findProcess, findStart, hasLedger, type StartRecord } from "../ledger/start.ts";
import { LedgerWriter } from "../ledger/writer.ts";
import { sessionMembers } from "../process/identity.ts";
import { parseSignal, signalGroup } from "../process/signal.ts";
import { AppError } from "../protocol/error.ts";
import { type HolderId, JobId, type KeeperId } from "../protocol/id.ts";
import type { JobSummary } from "../protocol/job.ts";
import { type Exit, NO_TOTALS } from "../protocol/packet.ts";
import { Job } from "./job.ts";
import type { IndexedJob, JobIndex } from "./job-index.ts";
import { Keys } from "./keys.ts";
import type { KeeperLink, KnownKeeper } from "./keeper-link.ts";

/** Bytes of summaries in one answer, so that it always fits into a control frame. */
const PAGE_BYTES = 48 * 1024;
const PAGE_JOBS = 200;
/** Characters of argv that a summary shows. */
const ARGV_CHARACTERS = 32 * 1024;
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
  readonly #keys = new Keys((owner, key) => this.#findByKey(owner, key));
  #lastNumber: number;
  /** Bytes of records that keepers have written since this server started. */
  #written = 0;

  constructor(options: JobsOptions) {
    this.#options = options;
    this.#lastNumber = options.index.lastNumber;
  }

  get running(): number {
    return [...this.#live.values()].filter(({ exit }) => exit === undefined).length;
  }

  get total(): number {
    return this.#options.index.size;
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
    for (const [id, { keeper }] of this.#live) if (keeper === link && !kept.has(id)) this.#settle(id);
    for (const standing of standings) {
      const start = findStart(this.#directory(standing.job));
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
    for (const id of this.#options.index.listOpen()) if (!hasLedger(this.#directory(id))) this.#miss(id);
    for (const name of readdirSync(join(this.#options.state, "ledgers"))) {
      const id = v.safeParse(JobId, name);
      if (!id.success || this.#live.has(id.output)) continue;
      const known = this.#options.index.find(id.output);
      if (known?.closed === true) continue;
      const start = findStart(this.#directory(id.output)) ?? known?.start;
      if (start === undefined) continue; // claimed, but nothing was started: the keeper died in between
      const link = findUnreached(start.keeper);
      this.#keep(new Job(start, link, { next: 0, position: 0 }, false));
      if (link === undefined) this.#settle(id.output);
      else this.#look(id.output, Number.POSITIVE_INFINITY);
    }
    this.#lastNumber = this.#options.index.lastNumber;
  }

  /** The ledger of a job that was not over is gone, and with it how it ended. */
  #miss(id: JobId): void {
    const { index, log } = this.#options;
    const start = index.find(id)?.start;
    if (start === undefined || this.#live.has(id)) return;
    const now = new Date().toISOString();
    log.warn("ledger gone", { job: id, number: start.number });
    const outcome = { type: "lost" as const, since: now };
    index.put({ start, exit: { outcome, totals: NO_TOTALS, endedAt: now }, closed: true });
  }

  /** A keeper is gone, its lock is taken: what it had not finished is lost. */
  lose(link: KeeperLink): void {
    for (const [id, job] of this.#live) {
      if (job.keeper !== link) continue;
      job.keeper = undefined;
      this.#settle(id);
    }
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
      list: (before) => this.#list(before ?? Number.MAX_SAFE_INTEGER),
      get: async (ref) => this.#summarize(await this.#resolve(ref)),
      wait: async (ref, signal) => {
        const job = await this.#resolve(ref);
        await job.waitForExit(signal);
        return this.#summarize(job);
      },
      signal: async (ref, name) => {
        const job = await this.#resolve(ref);
        const signal = parseSignal(name);
        if (job.keeper === undefined) return this.#signalLost(job, signal);
        await job.keeper.request({ type: "signal", job: job.start.job, signal });
      },
      cancel: async (ref, name, grace) => {
        const job = await this.#resolve(ref);
        const signal = parseSignal(name);
        if (job.keeper === undefined) return this.#cancelLost(job, signal, grace);
        await job.keeper.request({ type: "cancel", job: job.start.job, signal, grace, by: owner });
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

  async #start({ job: id, holder, command, owner, program }: JobRequest): Promise<Job> {
    const { id: keeper, link } = await this.#options.currentKeeper();
    const { argv, cwd, env, merge, stdin, keepBytes, terms } = program;
    const start: StartRecord = {
      format: 1,
      job: id,
      number: ++this.#lastNumber,
      command,
      argv: [...argv],
      cwd,
      envNames: Object.keys(env).sort(),
      owner,
      keeper,
      merge,
      ...(keepBytes !== undefined && { keepBytes }),
      startedAt: new Date().toISOString(),
      ...terms,
    };
    const job = new Job(start, link, { next: 0, position: 0 });
    job.startedFor = holder;
    this.#live.set(id, job);
    try {
      const { umask } = this.#options;
      const reply = await link.request({
        type: "spawn",
        start,
        env,
        umask,
        stdin,
        ...(holder && { holder }),
      });
      if (reply.type === "spawned" && !reply.created) {
        throw new AppError("already_exists", `Cannot start job ${id}: there is a ledger of that id`);
      }
    } catch (error) {
      this.#live.delete(id);
      throw error;
    }
    this.#note(job);
    return job;
  }

  #note({ start, exit, isClosed }: Job): void {
    this.#options.index.put({ start, exit, closed: isClosed });
  }

  #keep(job: Job): void {
    this.#live.set(job.start.job, job);
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
    this.#options.index.put({ start, exit, closed: true });
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

  /** A lost job has no keeper: its processes are signalled directly, if they are still the same ones. */
  #signalLost({ start }: Job, signal: NodeJS.Signals): void {
    const leader = findProcess(this.#directory(start.job));
    if (leader !== undefined && sessionMembers(leader).length > 0 && signalGroup(leader.pid, signal)) return;
    throw new AppError("not_running", `Cannot signal job ${start.number}: none of its processes is running`);
  }

  #cancelLost(job: Job, signal: NodeJS.Signals, grace: number): void {
    this.#signalLost(job, signal);
    after(grace, () => {
      try {
        this.#signalLost(job, "SIGKILL");
      } catch {
        // Nothing is left to kill: the signal was enough.
      }
    });
  }

  #list(before: number): { jobs: JobSummary[]; more: boolean } {
    const jobs: JobSummary[] = [];
    let bytes = 0;
    const found = this.#options.index.list(before, PAGE_JOBS + 1);
    for (const indexed of found) {
      const summary = this.#summarize(this.#live.get(indexed.start.job) ?? toPastJob(indexed));
      bytes += JSON.stringify(summary).length;
      if (jobs.length > 0 && (bytes > PAGE_BYTES || jobs.length === PAGE_JOBS)) break;
      jobs.push(summary);
    }
    return { jobs, more: jobs.length < found.length };
  }

  #summarize({ start, exit, isClosed, holders }: Job): JobSummary {
    const { job: id, number, command, argv, cwd, owner, startedAt } = start;
    const { labels, info, key, onDisconnect, limits } = start;
    const isLost = exit?.outcome.type === "lost";
    const leader = isLost ? findProcess(this.#directory(id)) : undefined;
    return {
      id,
      number,
      command,
      argv: cut(argv, ARGV_CHARACTERS),
      cwd,
      owner,
      state: isLost ? "lost" : isClosed ? "closed" : exit === undefined ? "running" : "exited",
      attached: holders > 0,
      startedAt,
      ...(labels && { labels }),
      ...(info !== undefined && { info }),
      ...(key !== undefined && { key }),
      ...(onDisconnect && { onDisconnect }),
      ...(limits && { limits }),
      ...(exit && { endedAt: exit.endedAt, outcome: exit.outcome, totals: exit.totals }),
      ...(leader && { processes: sessionMembers(leader) }),
    };
  }

  /** The job that a reference means, also one that is just being started. */
  async #resolve(ref: string): Promise<Job> {
    const isMeant = (id: JobId) => ref === "@last" || id.startsWith(ref.toLowerCase());
    await Promise.allSettled([...this.#starting].flatMap(([id, job]) => (isMeant(id) ? [job] : [])));
    const found = this.#lookUp(ref);
    if (found.length > 1)
      throw new AppError("ambiguous", `Cannot tell which job "${ref}" is: more than one id begins so`);
    const [indexed] = found;
    if (indexed === undefined)
      throw new AppError("not_found", `Cannot find job "${ref}": see farhand jobs for those there are`);
    return this.#live.get(indexed.start.job) ?? toPastJob(indexed);
  }

  #lookUp(ref: string): readonly IndexedJob[] {
    const { index } = this.#options;
    if (ref === "@last") return index.list(Number.MAX_SAFE_INTEGER, 1);
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

function cut(words: readonly string[], characters: number): string[] {
  let room = characters;
  return words.flatMap((word) => {
    const kept = word.slice(0, Math.max(0, room));
    room -= kept.length + 1;
    return room < -1 ? [] : [kept];
  });
}
