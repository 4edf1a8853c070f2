import { readdirSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import type { JobAccess } from "../../commands/access/jobs.ts";
import type { Log } from "../../lib/log.ts";
import type { JobProgress } from "../../keeper/link.ts";
import { findProcess, findStart, type StartRecord } from "../../ledger/start.ts";
import { parseSignal } from "../../process/signal.ts";
import { ProcessTable } from "../../process/table.ts";
import { AppError } from "../../protocol/error.ts";
import { JobId, type KeeperId } from "../../protocol/id.ts";
import type { JobName, JobSummary, ProcessIdentity } from "../../protocol/job.ts";
import type { Exit } from "../../protocol/packet.ts";
import { demandFeeding, type Identity, isVisible } from "../auth/identity.ts";
import type { KeeperLink } from "../keepers/keeper-link.ts";
import { Aftermath } from "./aftermath.ts";
import type { JobIndex } from "./job-index.ts";
import { Job } from "./job.ts";
import { listPage, type Shelf } from "./listing.ts";
import { deliver } from "./delivery.ts";
import { endLost, findLiving, type LostJob, notRunning, signalLost } from "./lost.ts";
import { Records } from "./records.ts";
import { mayMean, Register } from "./register.ts";
import { type Answer, type JobRequest, Starter, type StarterOptions } from "./starter.ts";
import { toSummary } from "./summary.ts";

export interface JobsOptions extends Pick<StarterOptions, "currentKeeper" | "umask"> {
  readonly state: string;
  readonly index: JobIndex;
  readonly log: Log;
  /** Told of how each job ended, at least once. */
  readonly onEnded: (start: StartRecord, exit: Exit) => void;
  /** Aborted when the server stops. */
  readonly signal: AbortSignal;
}

/** Every job of this server: what keepers tell of them, and what callers may ask and do. */
export class Jobs {
  readonly #ledgers: string;
  readonly #register: Register;
  readonly #starter: Starter;
  readonly #aftermath: Aftermath;
  readonly #records: Records;
  readonly #table = new ProcessTable();
  /** Bytes of records that keepers have written since this server started. */
  #written = 0;

  constructor({ state, index, log, signal, currentKeeper, umask, onEnded }: JobsOptions) {
    this.#ledgers = join(state, "ledgers");
    const register = new Register(this.#ledgers, index, onEnded);
    this.#register = register;
    this.#aftermath = new Aftermath({ register, log, signal });
    this.#starter = new Starter({
      register,
      currentKeeper,
      umask,
      onBegun: (job, isGone) => this.#keep(job, isGone),
    });
    this.#starter.countFrom(index.lastNumber);
    this.#records = new Records({
      ledgers: this.#ledgers,
      index,
      changes: register.changes,
      summarize: (job) => this.#summarize(job),
      find: (id) => this.find(id),
    });
  }

  get running(): number {
    return this.#register.live.filter(({ exit }) => exit === undefined).length;
  }

  get total(): number {
    return this.#register.index.size;
  }

  /** Jobs that keepers keep, those included that are just being started. */
  async listLive(): Promise<readonly Job[]> {
    await this.#starter.waitFor(() => true);
    return this.#register.live;
  }

  get written(): number {
    return this.#written;
  }

  /** Has the keeper of a job drop its oldest output, until at most `bytes` are kept. */
  trim(job: JobId, bytes: number): void {
    this.#register.findLive(job)?.keeper?.send({ type: "trim", job, bytes });
  }

  countOf(link: KeeperLink): number {
    return this.#register.liveOf(link).length;
  }

  /** Takes over what a living keeper keeps, at first or again; what it keeps no more has ended meanwhile. */
  adopt(link: KeeperLink, standings: readonly JobProgress[]): void {
    const kept = new Set(standings.map(({ job }) => job));
    for (const job of this.#register.liveOf(link)) if (!kept.has(job.start.job)) this.#leave(job);
    for (const standing of standings) {
      const { job: id } = standing;
      const start = findStart(this.#register.directory(id)) ?? this.#register.index.find(id)?.start;
      if (this.#register.findLive(id) !== undefined) this.progress(standing);
      else if (start !== undefined) this.#admit(new Job(start, link, standing));
    }
  }

  /** Looks how far the jobs of a keeper have come that lives but cannot be reached. */
  refresh(link: KeeperLink): void {
    for (const { start } of this.#register.liveOf(link)) this.#look(start.job, 1);
  }

  /**
   * Brings the index in line with the ledgers. Call it when every living keeper is known and the others' locks were
   * taken: a job of a keeper that `findUnreached` answers goes on, any other without an exit that nobody keeps is lost.
   */
  reconcile(findUnreached: (keeper: KeeperId) => KeeperLink | undefined): void {
    const { index } = this.#register;
    for (const id of index.listOpen()) if (!this.#register.findLive(id)) this.#aftermath.restore(id);
    for (const name of readdirSync(this.#ledgers)) {
      const id = v.safeParse(JobId, name);
      if (!id.success || this.#register.findLive(id.output) !== undefined) continue;
      const known = index.find(id.output);
      if (known?.closed === true) continue;
      const start = findStart(this.#register.directory(id.output)) ?? known?.start;
      if (start === undefined) {
        this.#aftermath.passOver(id.output);
        continue;
      }
      const link = findUnreached(start.keeper);
      this.#keep(new Job(start, link, { next: 0, position: 0 }, false), link === undefined);
    }
    this.#starter.countFrom(index.lastNumber);
  }

  /** A keeper is gone, its lock is taken: what it had not finished is lost. */
  lose(link: KeeperLink): void {
    this.#starter.lose(link);
    for (const job of this.#register.liveOf(link)) this.#leave(job);
  }

  progress({ job: id, ...standing }: JobProgress): void {
    const job = this.#register.findLive(id);
    if (job === undefined) return;
    const exited = job.exit === undefined && standing.exit !== undefined;
    this.#written += Math.max(0, standing.position - job.position);
    job.advance(standing);
    if (exited) this.#register.note(job);
  }

  closed({ job: id, ...standing }: JobProgress): void {
    const job = this.#register.findLive(id);
    if (job === undefined) return;
    this.#written += Math.max(0, standing.position - job.position);
    job.close(standing);
    this.#register.dismiss(id);
    this.#register.note(job);
  }

  /** Starts a job, or answers the one that has this id or this key already. From this call on `findSoon` finds it. */
  start(request: JobRequest): Promise<Job> {
    return this.#starter.start(request);
  }

  /** A job of this id is started for somebody, or refused, before this settles: if he looks for it meanwhile, he waits for that. */
  expect(id: JobId, identity: Identity, answer: Promise<Answer>): void {
    this.#starter.expect(id, identity, answer);
  }

  /** The job of this id that somebody may see, also one that is just being started. */
  async findSoon(id: JobId, viewer: Identity): Promise<Job | undefined> {
    const job = (await this.#starter.findSoon(id, viewer)) ?? this.find(id);
    return job && isVisible(job.start, viewer) ? job : undefined;
  }

  find(id: JobId): Job | undefined {
    return this.#register.find(id);
  }

  /** The first process of each job that runs and somebody may see, one by one, as each takes a look at the disk. */
  *leaders(
    viewer: Identity,
  ): Generator<{ readonly process: ProcessIdentity | undefined; readonly job: JobName }, void, void> {
    for (const { start, exit } of this.#register.live) {
      if (exit !== undefined || !isVisible(start, viewer)) continue;
      const { job: id, number } = start;
      yield { process: findProcess(this.#register.directory(id)), job: { id, number } };
    }
  }

  /** What commands may do with the jobs that somebody may see. */
  access(viewer: Identity): JobAccess {
    return {
      list: (query) => listPage(this.#toShelf(viewer), query, Date.now()),
      get: async (ref) => this.#summarize(await this.#resolve(ref, viewer)),
      show: async (ref) => this.#records.describe(await this.#resolve(ref, viewer)),
      label: async (ref, set, unset) => {
        const job = await this.#resolve(ref, viewer);
        this.#records.label(job, set, unset);
        this.#register.note(job);
        return this.#summarize(job);
      },
      remove: async (refs) =>
        this.#records.remove(await Promise.all(refs.map((ref) => this.#resolve(ref, viewer)))),
      changes: (cursor, filter, signal) => this.#records.changes({ cursor, filter, viewer }, signal),
      wait: async (ref, signal) => {
        const job = await this.#resolve(ref, viewer);
        await job.waitForExit(signal);
        return this.#summarize(job);
      },
      send: async (ref, piece, signal) => {
        const job = await this.#resolve(ref, viewer);
        demandFeeding(job.start, viewer);
        await deliver(job, piece, signal);
        return { id: job.start.job, number: job.start.number };
      },
      signal: async (ref, name) => {
        const job = await this.#resolve(ref, viewer);
        const signal = parseSignal(name);
        if (job.keeper === undefined) return signalLost(this.#toLost(job), signal);
        const asked = job.keeper.request({ type: "signal", job: job.start.job, signal });
        await toNumbered(asked, job.start);
      },
      cancel: async (ref, name, grace) => {
        const job = await this.#resolve(ref, viewer);
        const signal = parseSignal(name);
        if (job.keeper === undefined) return await endLost(this.#toLost(job), { signal, grace }, this.#table);
        const { job: id } = job.start;
        const asked = job.keeper.request({ type: "cancel", job: id, signal, grace, by: viewer.owner });
        const reply = await toNumbered(asked, job.start);
        return reply.type === "reply" ? reply.ended : undefined;
      },
    };
  }

  /** Nobody keeps a job any more. What nobody has begun yet goes to the next keeper, by whoever is about to start it. */
  #leave(job: Job): void {
    if (this.#starter.isAwaited(job.start.job)) return;
    job.keeper = undefined;
    this.#aftermath.settle(job.start.job);
  }

  /** Takes in a job whose keeper does not tell of it; of one that nobody keeps, only how it ended is left to find out. */
  #keep(job: Job, isLeft: boolean): void {
    this.#admit(job);
    if (isLeft) this.#aftermath.settle(job.start.job);
    else this.#look(job.start.job, Number.POSITIVE_INFINITY);
  }

  #admit(job: Job): void {
    this.#register.admit(job);
    this.#register.note(job);
  }

  #look(id: JobId, segments: number): void {
    const found = this.#aftermath.look(id, segments);
    if (found?.closed === true) this.closed(found.standing);
    else if (found !== undefined) this.progress(found.standing);
  }

  #toShelf(viewer: Identity): Shelf {
    return {
      list: (before, limit) => this.#register.index.list(before, limit),
      toJob: (indexed) => this.#register.toJob(indexed),
      isVisible: ({ start }) => isVisible(start, viewer),
      summarize: (job) => this.#summarize(job),
    };
  }

  #summarize(job: Job): JobSummary {
    return toSummary(job, () => findLiving(this.#toLost(job), this.#table));
  }

  #toLost({ start }: Job): LostJob {
    return { directory: this.#register.directory(start.job), start };
  }

  /** The job that a reference means, also one that is just being started. To whom may not see it, it is none. */
  async #resolve(ref: string, viewer: Identity): Promise<Job> {
    await this.#starter.waitFor((id, whose) => mayMean(ref, { id, whose }, viewer));
    const [job, ...others] = this.#register.lookUp(ref, viewer);
    if (others.length > 0)
      throw new AppError("ambiguous", `Cannot tell which job "${ref}" is: more than one id begins so`);
    if (job === undefined)
      throw new AppError("not_found", `Cannot find job "${ref}": see farhand jobs for those there are`);
    return job;
  }
}

/** What a keeper answers of a job, whose number it has no word for. */
async function toNumbered<T>(asked: Promise<T>, start: StartRecord): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    throw error instanceof AppError && error.code === "not_running" ? notRunning(start) : error;
  }
}
