import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { delay } from "../lib/abort.ts";
import { describeError, type Log } from "../lib/log.ts";
import type { JobProgress } from "../keeper/link.ts";
import { type KeeperPlace, listPlaces, openPlace, removePlace } from "../keeper/place.ts";
import { claimLock } from "../process/lock.ts";
import { AppError } from "../protocol/error.ts";
import { KeeperId } from "../protocol/id.ts";
import { KeeperLink, type KnownKeeper } from "./keeper-link.ts";

/** Milliseconds that a keeper may take to listen or to answer. */
const START_TIMEOUT = 10_000;
/** Milliseconds between two looks whether it listens. */
const START_POLL = 5;

export interface KeepersOptions {
  readonly state: string;
  readonly build: string;
  readonly log: Log;
  /** The argv that runs this executable as the keeper of this id. */
  readonly toCommand: (id: KeeperId) => { readonly argv: readonly string[]; readonly argv0: string };
  readonly env: Readonly<Record<string, string>>;
  readonly onAdopt: (link: KeeperLink, jobs: readonly JobProgress[]) => void;
  readonly onProgress: (progress: JobProgress) => void;
  readonly onClosed: (progress: JobProgress) => void;
  /** This keeper is dead and its lock is taken. */
  readonly onDead: (link: KeeperLink) => void;
}

/** The keepers of a state directory: found, adopted, started, and buried. */
export class Keepers {
  readonly #options: KeepersOptions;
  readonly #signal: AbortSignal;
  readonly #known = new Map<KeeperId, KnownKeeper>();
  #starting: Promise<KnownKeeper> | undefined;

  constructor(options: KeepersOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
  }

  get known(): readonly KnownKeeper[] {
    return [...this.#known.values()];
  }

  /** Adopts every keeper that runs, and removes the places of those that do not. */
  async adoptAll(): Promise<void> {
    for (const place of listPlaces(this.#options.state)) {
      if (this.#bury(place)) continue;
      try {
        const keeper = await this.#connect(place);
        if (keeper.build !== this.#options.build) keeper.link.send({ type: "retire" });
      } catch (error) {
        this.#options.log.error("keeper not adopted", { keeper: place.id, error: describeError(error) });
      }
    }
  }

  /** The keeper that takes new jobs: one of this build, started if there is none. */
  async current(): Promise<KnownKeeper> {
    const found = this.known.find(({ build }) => build === this.#options.build);
    if (found !== undefined) return found;
    this.#starting ??= this.#start().finally(() => (this.#starting = undefined));
    return this.#starting;
  }

  /** Leaves all of them to their jobs. */
  close(): void {
    for (const { link } of this.#known.values()) link.close();
    this.#known.clear();
  }

  async #start(): Promise<KnownKeeper> {
    const { state, env, toCommand, log } = this.#options;
    const place = openPlace(state, v.parse(KeeperId, crypto.randomUUID()));
    const { argv, argv0 } = toCommand(place.id);
    const errors = openSync(join(state, "logs", "keeper.err"), "a", 0o600);
    const child = Bun.spawn([...argv], {
      argv0,
      cwd: state,
      env,
      stdio: ["ignore", errors, errors],
      detached: true,
    });
    closeSync(errors);
    child.unref();
    const deadline = AbortSignal.any([this.#signal, AbortSignal.timeout(START_TIMEOUT)]);
    for (;;) {
      if (child.exitCode !== null || child.signalCode !== null) {
        throw new AppError(
          "unavailable",
          `Cannot start a keeper: it ended at once; see logs/keeper.err in "${state}"`,
        );
      }
      try {
        const keeper = await this.#connect(place);
        log.info("keeper started", { keeper: keeper.id, pid: keeper.pid });
        return keeper;
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        await delay(START_POLL, deadline);
      }
    }
  }

  async #connect(place: KeeperPlace): Promise<KnownKeeper> {
    const { build, onAdopt, onProgress, onClosed } = this.#options;
    const deadline = AbortSignal.any([this.#signal, AbortSignal.timeout(START_TIMEOUT)]);
    const { link, hello } = await KeeperLink.connect(
      { socket: place.socket, build, onProgress, onClosed, onLost: () => this.#startBurying(place) },
      deadline,
    );
    const keeper = { id: place.id, pid: hello.pid, build: hello.build, link };
    this.#known.set(place.id, keeper);
    onAdopt(link, hello.jobs);
    return keeper;
  }

  /** Runs by itself: the link ends a moment before the kernel frees a dead keeper's lock. */
  #startBurying(place: KeeperPlace): void {
    const keeper = this.#known.get(place.id);
    if (keeper === undefined) return;
    this.#known.delete(place.id);
    this.#buryWhenDead(place, keeper).catch((error) => {
      if (!this.#signal.aborted)
        this.#options.log.error("keeper not buried", { keeper: place.id, error: describeError(error) });
    });
  }

  async #buryWhenDead(place: KeeperPlace, { link, pid }: KnownKeeper): Promise<void> {
    const deadline = AbortSignal.any([this.#signal, AbortSignal.timeout(START_TIMEOUT)]);
    while (!this.#bury(place)) await delay(START_POLL, deadline);
    this.#options.log.warn("keeper gone", { keeper: place.id, pid });
    this.#options.onDead(link);
  }

  /** Removes a keeper's place if its lock is free, which means that it is dead. */
  #bury(place: KeeperPlace): boolean {
    using lock = claimLock(place.lock);
    if (lock === undefined) return false;
    removePlace(this.#options.state, place);
    return true;
  }
}
