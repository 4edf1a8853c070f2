import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { after, delay } from "../../lib/abort.ts";
import { backoff } from "../../lib/backoff.ts";
import { isDiskFull } from "../../lib/disk.ts";
import { describeError, type Log } from "../../lib/log.ts";
import type { JobProgress, KeeperMessage } from "../../keeper/link.ts";
import {
  findPid,
  type KeeperPlace,
  listPlaces,
  notePid,
  openPlace,
  removePlace,
} from "../../keeper/place.ts";
import { claimLock } from "../../process/lock.ts";
import { AppError } from "../../protocol/error.ts";
import { KeeperId } from "../../protocol/id.ts";
import { LINK_BEAT, LINK_PATIENCE } from "../../protocol/limits.ts";
import { timeLimit } from "../time-limit.ts";
import { KeeperLink, type KnownKeeper, type LinkBeat } from "./keeper-link.ts";
import type { Again } from "../../process/again.ts";

/** Milliseconds that a new keeper may take to answer. */
const START_TIMEOUT = 10_000;
/** Milliseconds between two looks whether it does. */
const START_POLL = 5;
/** Milliseconds that a start of the server waits for the keepers that run; one that takes longer is adopted later. */
const ADOPTION_PATIENCE = 1_000;
const BEAT: LinkBeat = { every: LINK_BEAT, patience: LINK_PATIENCE };
/** Milliseconds between tries to reach a living keeper. */
const RETRY = { first: 5, cap: 5_000, random: Math.random } as const;

export interface KeepersOptions {
  readonly state: string;
  readonly build: string;
  /** Milliseconds that a hold survives its client or this front. */
  readonly grace: number;
  readonly log: Log;
  /** The argv that runs this executable as the keeper of this id. */
  readonly toCommand: (id: KeeperId) => Again;
  readonly env: Readonly<Record<string, string>>;
  /** How long a keeper may give no sign of life (`LINK_BEAT`, `LINK_PATIENCE`). */
  readonly beat?: LinkBeat;
  /** A child was started, which nobody else is to wait for. */
  readonly onSpawn?: (pid: number, exited: Promise<unknown>) => void;
  /** This keeper is reached, at first or again, and keeps these jobs. */
  readonly onAdopt: (link: KeeperLink, jobs: readonly JobProgress[]) => void;
  readonly onProgress: (progress: JobProgress) => void;
  readonly onClosed: (progress: JobProgress) => void;
  /** This keeper lives but could not be reached; asked again and again. */
  readonly onUnreached: (link: KeeperLink) => void;
  /** This keeper is dead and its lock is taken. */
  readonly onDead: (link: KeeperLink) => void;
}

interface Keeper extends KnownKeeper {
  readonly place: KeeperPlace;
  /** When this front came to know it (monotonic, ms). */
  readonly since: number;
}

/** The living keepers of a state directory: found, adopted, started, reached again, and buried. */
export class Keepers implements Disposable {
  readonly #options: KeepersOptions;
  readonly #controller = new AbortController();
  readonly #signal: AbortSignal;
  readonly #living = new Map<KeeperId, Keeper>();
  /** The one that takes new jobs, as long as it can be reached. */
  #current: Keeper | undefined;
  #starting: Promise<Keeper> | undefined;
  #replacing: Promise<void> | undefined;
  #replacements = backoff(RETRY);

  constructor(options: KeepersOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = AbortSignal.any([signal, this.#controller.signal]);
  }

  get living(): readonly KnownKeeper[] {
    return [...this.#living.values()];
  }

  /** Whether new jobs can be started at once. */
  get isReady(): boolean {
    return this.#current?.link.state.state === "reached";
  }

  /** Adopts every keeper that lives, at once or as soon as it answers, and removes the places of those that are dead. */
  async adoptAll(): Promise<void> {
    const { state, log } = this.#options;
    const tried: Promise<void>[] = [];
    for (const place of listPlaces(state)) {
      if (!this.#bury(place)) tried.push(this.#startTending(this.#know(place)));
    }
    await Promise.race([Promise.all(tried), delay(ADOPTION_PATIENCE, this.#signal)]);
    for (const { id, link } of this.#living.values())
      if (link.state.state === "unreached")
        log.warn("keeper lives but does not answer: its jobs go on", { keeper: id, pid: link.state.pid });
  }

  /** The link to a keeper that lives but could not be reached so far, which has told nothing of its jobs. */
  findUnreached(id: KeeperId): KeeperLink | undefined {
    const link = this.#living.get(id)?.link;
    return link?.state.state === "reached" ? undefined : link;
  }

  /** The keeper that takes new jobs: one that can be reached, started if there is none. */
  async current(): Promise<KnownKeeper> {
    if (this.#current?.link.state.state === "reached") return this.#current;
    this.#starting ??= this.#start().finally(() => (this.#starting = undefined));
    return this.#starting;
  }

  /** Leaves all of them to their jobs. */
  [Symbol.dispose](): void {
    this.#controller.abort(new AppError("shutting_down", "The server stops"));
    for (const { link } of this.#living.values()) link.close();
    this.#living.clear();
  }

  async #start(): Promise<Keeper> {
    const { state } = this.#options;
    const place = openPlace(state, v.parse(KeeperId, crypto.randomUUID()));
    const child = this.#spawn(place.id);
    const keeper = this.#know(place);
    this.#current = keeper;
    try {
      notePid(state, place.id, child.pid);
      await this.#waitUntilReached(keeper, child);
    } catch (error) {
      child.kill("SIGKILL"); // what never answered has no jobs
      await child.exited;
      this.#forget(keeper);
      this.#bury(place);
      if (!isDiskFull(error)) throw error;
      throw new AppError("unavailable", "Cannot start a keeper: the disk of the state directory is full", {
        cause: error,
      });
    }
    this.#startTending(keeper);
    return keeper;
  }

  #spawn(id: KeeperId): Bun.Subprocess {
    const { state, env, toCommand } = this.#options;
    const { argv, argv0 } = toCommand(id);
    const errors = openSync(join(state, "logs", "keeper.err"), "a", 0o600);
    try {
      const stdio: ["ignore", number, number] = ["ignore", errors, errors];
      const child = Bun.spawn([...argv], { argv0, cwd: state, env, stdio, detached: true });
      child.unref();
      this.#options.onSpawn?.(child.pid, child.exited);
      return child;
    } finally {
      closeSync(errors);
    }
  }

  async #waitUntilReached({ link }: Keeper, child: Bun.Subprocess): Promise<void> {
    const seconds = START_TIMEOUT / 1_000;
    const late = `Cannot start a keeper: pid ${child.pid} did not answer within ${seconds} s`;
    const signal = AbortSignal.any([this.#signal, timeLimit(START_TIMEOUT, late)]);
    while (!(await canReach(link, signal))) {
      if (child.exitCode !== null || child.signalCode !== null) {
        throw new AppError(
          "unavailable",
          `Cannot start a keeper: it ended at once; see logs/keeper.err in "${this.#options.state}"`,
        );
      }
      await delay(START_POLL, signal);
    }
  }

  #know(place: KeeperPlace): Keeper {
    const { id, socket } = place;
    const { state, build, grace, log, onProgress, onClosed } = this.#options;
    const link = new KeeperLink({
      socket,
      build,
      grace,
      pid: findPid(state, id),
      log,
      onReached: (hello) => this.#adopt(keeper, hello),
      onProgress,
      onClosed,
    });
    const keeper = { id, place, link, since: performance.now() };
    this.#living.set(id, keeper);
    return keeper;
  }

  #forget(keeper: Keeper): void {
    this.#living.delete(keeper.id);
    if (this.#current === keeper) this.#current = undefined;
  }

  /** One keeper takes new jobs; all others end with the jobs that they have. */
  #adopt(keeper: Keeper, { build, pid, jobs }: KeeperMessage & { type: "hello" }): void {
    this.#options.onAdopt(keeper.link, jobs);
    if (build === this.#options.build) this.#current ??= keeper;
    const isCurrent = this.#current === keeper;
    if (!isCurrent) keeper.link.send({ type: "retire" });
    this.#options.log.info("keeper reached", {
      keeper: keeper.id,
      pid,
      jobs: jobs.length,
      retired: !isCurrent,
    });
  }

  /** Runs by itself for as long as the keeper lives. Resolves when it was reached, or could not be at once. */
  #startTending(keeper: Keeper): Promise<void> {
    const tried = Promise.withResolvers<void>();
    this.#tend(keeper, tried.resolve).catch((error) => {
      if (!this.#signal.aborted)
        this.#options.log.error("keeper not tended", { keeper: keeper.id, error: describeError(error) });
    });
    return tried.promise;
  }

  /** Reaches the keeper whenever the link to it is lost, until its lock is free. */
  async #tend(keeper: Keeper, onTried: () => void): Promise<void> {
    const { log, onUnreached, onDead } = this.#options;
    const { id, place, link } = keeper;
    let delays = backoff(RETRY);
    let complaint = "";
    for (;;) {
      const began = performance.now();
      try {
        if (this.#bury(place)) break;
        await this.#connect(keeper);
        onTried();
        complaint = "";
        const isFrozen = await link.watch(this.#options.beat ?? BEAT, this.#signal);
        onUnreached(link);
        if (isFrozen) this.#giveUp(keeper);
        if (performance.now() - began > RETRY.cap) delays = backoff(RETRY);
      } catch (error) {
        if (this.#signal.aborted) return;
        if (String(error) !== complaint) log.warn("keeper not reached", { keeper: id, error: String(error) });
        complaint = String(error);
        this.#giveUp(keeper);
        onUnreached(link);
        onTried();
      }
      await delay(delays.next().value, this.#signal);
    }
    const wasCurrent = this.#current === keeper;
    this.#forget(keeper);
    log.warn("keeper gone", { keeper: id, pid: link.state.pid });
    onDead(link);
    link.bury();
    if (wasCurrent) this.#startReplacing(keeper);
  }

  /** Reaches a keeper, however long it takes to answer; nobody else waits for longer than for one that is linked. */
  async #connect(keeper: Keeper): Promise<void> {
    const { every, patience } = this.#options.beat ?? BEAT;
    using _late = after(every * patience, () => this.#giveUp(keeper));
    await keeper.link.connect(this.#signal);
  }

  /** One that cannot be reached: until it can, what waits for it is done elsewhere, or told so. */
  #giveUp(keeper: Keeper): void {
    keeper.link.giveUp();
    if (this.#current === keeper) this.#startReplacing(keeper);
  }

  /** Has another keeper take new jobs, by itself, so that the server is ready again before somebody asks. */
  #startReplacing({ since }: Keeper): void {
    if (performance.now() - since > RETRY.cap) this.#replacements = backoff(RETRY);
    this.#replacing ??= this.#replace()
      .catch(() => {}) // it ends with the server
      .finally(() => (this.#replacing = undefined));
  }

  /** Tries until there is one, ever more slowly: what ends a keeper at once may last. */
  async #replace(): Promise<void> {
    for (;;) {
      await delay(this.#replacements.next().value, this.#signal);
      try {
        return void (await this.current());
      } catch (error) {
        this.#options.log.error("keeper not started", { error: describeError(error) });
      }
    }
  }

  /** Removes a keeper's place if its lock is free, which means that it is dead. */
  #bury(place: KeeperPlace): boolean {
    using lock = claimLock(place.lock);
    if (lock === undefined) return false;
    removePlace(this.#options.state, place);
    return true;
  }
}

async function canReach(link: KeeperLink, signal: AbortSignal): Promise<boolean> {
  try {
    await link.connect(signal);
    return true;
  } catch (error) {
    if (signal.aborted || !(error instanceof AppError)) throw error;
    return false; // it does not listen yet
  }
}
