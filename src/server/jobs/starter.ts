import type { Program } from "../../commands/define.ts";
import { findStart, removeLedger, type StartRecord } from "../../ledger/start.ts";
import type { Credentials } from "../../process/credentials.ts";
import { AppError } from "../../protocol/error.ts";
import type { HolderId, JobId, KeeperId } from "../../protocol/id.ts";
import { type Identity, isVisible } from "../auth/identity.ts";
import type { Role } from "../auth/role.ts";
import type { KeeperLink, KnownKeeper } from "../keepers/keeper-link.ts";
import { Job } from "./job.ts";
import { Keys } from "./keys.ts";
import { toRecorded } from "./mask.ts";
import { Quota } from "./quota.ts";
import type { Register } from "./register.ts";

/** Keepers that a job is tried with; more than one freeze or die only on a machine that does nothing else. */
const SPAWN_TRIES = 3;

/** What a job is asked to be, by whom, and in which role. */
export interface JobRequest {
  readonly job: JobId;
  readonly holder: HolderId | undefined;
  readonly command: string;
  readonly identity: Identity;
  readonly role: Pick<Role, "name" | "limits">;
  readonly program: Program;
  /** As whom it runs, if not as the server. */
  readonly user?: Credentials | undefined;
  /** Called before a new one is begun, and not where one is answered that there is already. Throws what forbids it. */
  readonly onBegin?: () => void;
}

/** A job that is just being started. */
interface Starting {
  readonly job: Promise<Job>;
  readonly whose: Pick<StartRecord, "owner" | "via">;
}

/** A job that is to be started once it is known how. */
interface Expected extends Pick<Starting, "whose"> {
  /** Which one it is then, if it was not refused. */
  readonly settled: Promise<JobId | undefined>;
}

/** What a caller is answered: an accepted call names its job. */
export interface Answer {
  readonly type: string;
  readonly job?: JobId;
}

export interface StarterOptions {
  readonly register: Register;
  /** The keeper that takes new jobs. */
  readonly currentKeeper: () => Promise<KnownKeeper>;
  /** The umask of the front at its start. */
  readonly umask: number;
  /** A job turned out to have been begun by a keeper that cannot be asked any more; one that is gone is dead. */
  readonly onBegun: (job: Job, isGone: boolean) => void;
}

/** Has jobs started, each once, by a keeper that answers. */
export class Starter {
  readonly #options: StarterOptions;
  readonly #starting = new Map<JobId, Starting>();
  /** What is to be settled before some that are to be started are, or are refused. */
  readonly #expected = new Map<JobId, Expected>();
  readonly #quota: Quota;
  /** Links to keepers that are dead. */
  readonly #gone = new WeakSet<KeeperLink>();
  readonly #keys: Keys;
  #lastNumber = 0;

  constructor(options: StarterOptions) {
    this.#options = options;
    this.#keys = new Keys((owner, key, via) => options.register.findByKey(owner, key, via));
    this.#quota = new Quota(() => options.register.live);
  }

  /** Numbers go on behind this one. */
  countFrom(number: number): void {
    this.#lastNumber = number;
  }

  /** Starts a job, or answers the one that has this id or this key already. From this call on `waitFor` waits for it. */
  async start(request: JobRequest): Promise<Job> {
    const { job: id } = request;
    const { register } = this.#options;
    const known = this.#starting.get(id);
    if (known !== undefined)
      return known.job.then(
        (job) => checkVisible(job, request),
        () => this.start(request),
      );
    const existing = register.find(id);
    if (existing !== undefined) return checkVisible(existing, request);
    if (register.index.wasRemoved(id))
      throw new AppError(
        "not_found",
        `Cannot start job ${id}: one of that id ran, and its record was removed`,
      );
    const job = this.#startKeyed(request).finally(() => this.#starting.delete(id));
    this.#starting.set(id, { job, whose: toWhose(request.identity) });
    return job;
  }

  /** A job of this id is started for somebody, or one of the same key is answered, or it is refused, before this settles. */
  expect(id: JobId, identity: Identity, answer: Promise<Answer>): void {
    const settled = answer.then(
      ({ job }) => job,
      () => undefined,
    );
    const expected = { settled, whose: toWhose(identity) };
    this.#expected.set(id, expected);
    settled.finally(() => {
      if (this.#expected.get(id) === expected) this.#expected.delete(id);
    });
  }

  /** The job that somebody is just starting under this id, which may be another of the same key; undefined for none that he may see. */
  async findSoon(id: JobId, viewer: Identity): Promise<Job | undefined> {
    const expected = this.#expected.get(id);
    if (expected !== undefined && isVisible(expected.whose, viewer)) {
      const job = await expected.settled;
      return job && this.#options.register.find(job);
    }
    const starting = this.#starting.get(id);
    if (starting === undefined || !isVisible(starting.whose, viewer)) return undefined;
    return await starting.job.catch(() => undefined);
  }

  /** Resolves once those that are just being started have been or will not be. */
  async waitFor(isMeant: (id: JobId, whose: Starting["whose"]) => boolean): Promise<void> {
    const isOne = ([id, { whose }]: readonly [JobId, Pick<Starting, "whose">]) => isMeant(id, whose);
    await Promise.allSettled([...this.#expected].filter(isOne).map(([, { settled }]) => settled));
    await Promise.allSettled([...this.#starting].filter(isOne).map(([, { job }]) => job));
  }

  /** Whether a job is being started, and no keeper has begun it: it then goes to the next. */
  isAwaited(id: JobId): boolean {
    return this.#starting.has(id) && findStart(this.#options.register.directory(id)) === undefined;
  }

  /** A keeper is dead. */
  lose(link: KeeperLink): void {
    this.#gone.add(link);
  }

  /** The job that has the request's key already, if it has one. */
  #startKeyed(request: JobRequest): Promise<Job> {
    const { identity, command, program, role } = request;
    const { owner, chain: via } = identity;
    const { key } = program.terms;
    if (key === undefined) return this.#start(request);
    const { cwd } = program;
    const argv = toRecorded(program);
    const keyed = { owner, key, via, command, argv, cwd, role: role.name };
    return this.#keys.claim(keyed, () => this.#start(request));
  }

  /**
   * Starts a job with a keeper that answers. One that froze or died meanwhile may still begin it, or have begun it: the
   * first to claim the ledger does, and whoever comes second says that there is one.
   */
  async #start(request: JobRequest): Promise<Job> {
    const { register, currentKeeper } = this.#options;
    using _place = this.#quota.claim(request);
    request.onBegin?.();
    const start = this.#toStart(request);
    const tried = new Map<KeeperId, KeeperLink>();
    for (;;) {
      const { id: keeper, link } = await currentKeeper();
      const adopted = register.findLive(start.job);
      if (adopted !== undefined) return adopted; // from one that answers again
      tried.set(keeper, link);
      const job = new Job({ ...start, keeper }, link, { next: 0, position: 0 });
      try {
        if (await this.#spawn(job, link, request)) return job;
      } catch (error) {
        const begun = register.find(start.job);
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

  #toStart({ job, command, identity, role, program }: JobRequest): Omit<StartRecord, "keeper"> {
    const { cwd, env, merge, keepBytes, terms } = program;
    const { owner, via } = toWhose(identity);
    return {
      format: 1,
      job,
      number: ++this.#lastNumber,
      command,
      argv: [...toRecorded(program)],
      cwd,
      envNames: Object.keys(env).sort(),
      owner,
      ...(via && { via }),
      role: role.name,
      merge,
      ...(keepBytes !== undefined && { keepBytes }),
      startedAt: new Date().toISOString(),
      ...terms,
    };
  }

  /** Has a keeper start a job. Answers false when there is a ledger of its id already. */
  async #spawn(job: Job, link: KeeperLink, { holder, program, user }: JobRequest): Promise<boolean> {
    const { register, umask } = this.#options;
    const { start } = job;
    const { env, stdin, file, exact, order } = program;
    job.startedFor = holder;
    register.admit(job);
    try {
      const spawn = {
        type: "spawn" as const,
        start,
        env,
        umask,
        stdin,
        ...(holder && { holder }),
        ...(file && { file }),
        ...(exact && { exact }),
        ...((program.secrets?.length || program.recorded) && { argv: [...program.argv] }),
        ...(user && { user }),
        ...(order && { speaks: true }),
      };
      const reply = await link.request(spawn, order);
      const isCreated = reply.type === "spawned" && reply.created;
      if (isCreated) register.note(job);
      else register.dismiss(start.job);
      return isCreated;
    } catch (error) {
      // What a dead keeper had begun was settled before this is thrown, or will be; what it had only claimed is free again.
      if (this.isAwaited(start.job) && this.#gone.has(link)) removeLedger(register.directory(start.job));
      if (job.keeper !== undefined) register.dismiss(start.job);
      throw error;
    }
  }

  /** A job that a keeper which could not be reached any more has begun after all. */
  #findBegun(id: JobId, tried: ReadonlyMap<KeeperId, KeeperLink>): Job | undefined {
    const start = findStart(this.#options.register.directory(id));
    const keeper = start && tried.get(start.keeper);
    if (start === undefined || keeper === undefined || tried.size === 1) return undefined;
    const isGone = this.#gone.has(keeper);
    const job = new Job(start, isGone ? undefined : keeper, { next: 0, position: 0 }, false);
    this.#options.onBegun(job, isGone);
    return job;
  }
}

function toWhose({ owner, chain }: Identity): Pick<StartRecord, "owner" | "via"> {
  return { owner, ...(chain.length > 0 && { via: [...chain] }) };
}

/** Throws `already_exists` where an id that somebody made up is a job's that he may not see. */
function checkVisible(job: Job, { job: id, identity }: JobRequest): Job {
  if (isVisible(job.start, identity)) return job;
  throw new AppError("already_exists", `Cannot start job ${id}: there is one of that id`);
}
