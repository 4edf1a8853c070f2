import { join } from "node:path";
import type { JobId } from "../../protocol/id.ts";
import type { Exit } from "../../protocol/packet.ts";
import type { StartRecord } from "../../ledger/start.ts";
import type { KeeperLink } from "../keepers/keeper-link.ts";
import { type Identity, isVisible, isWithin, type Scope, toScope } from "../auth/identity.ts";
import { Changes } from "./changes.ts";
import type { IndexedJob, JobIndex } from "./job-index.ts";
import { Job } from "./job.ts";

const LAST = "@last";
const NUMBER = /^\d{1,9}$/;

/** Whether a reference of somebody's may mean a job that has no number yet. He waits for none but what he may see, or started. */
export function mayMean(ref: string, { id, whose }: Unnumbered, viewer: Identity): boolean {
  if (ref === LAST) return isWithin(whose, toOwn(viewer));
  return !NUMBER.test(ref) && id.startsWith(ref.toLowerCase()) && isVisible(whose, viewer);
}

/** A job that is just being started. */
interface Unnumbered {
  readonly id: JobId;
  readonly whose: Pick<StartRecord, "owner" | "via">;
}

/** Those that were started with the very token that somebody presents. */
function toOwn({ owner, chain }: Identity): Scope {
  return { owner, link: chain.at(-1) };
}

/** Every job that is known: those that keepers keep, and through the index those that are over. */
export class Register {
  readonly index: JobIndex;
  /** What watchers are told of. */
  readonly changes = new Changes();
  readonly #ledgers: string;
  readonly #onEnded: (start: StartRecord, exit: Exit) => void;
  readonly #live = new Map<JobId, Job>();

  /**
   * `ledgers`: the directory that has one for each job. `onEnded`: told of how each job ended, before anybody else is, and at
   * least once: also by a server that finds out later than its predecessor did, and could not write it down any more.
   */
  constructor(ledgers: string, index: JobIndex, onEnded: (start: StartRecord, exit: Exit) => void) {
    this.#ledgers = ledgers;
    this.#onEnded = onEnded;
    this.index = index;
  }

  /** Jobs that are not over, as far as is known. */
  get live(): readonly Job[] {
    return [...this.#live.values()];
  }

  /** Those that this keeper keeps. */
  liveOf(link: KeeperLink): readonly Job[] {
    return this.live.filter(({ keeper }) => keeper === link);
  }

  findLive(id: JobId): Job | undefined {
    return this.#live.get(id);
  }

  find(id: JobId): Job | undefined {
    return this.#live.get(id) ?? this.#toJob(this.index.find(id));
  }

  /** The newest job of that owner and key, started by way of those links. */
  findByKey(owner: string, key: string, via: readonly string[]): Job | undefined {
    return this.#toJob(this.index.findByKey(owner, key, via));
  }

  /** The jobs that a reference of somebody's may mean: a number, an id, a prefix of one, or `@last`, his own last. */
  lookUp(ref: string, viewer: Identity): readonly Job[] {
    return this.#search(ref, viewer)
      .map((found) => this.toJob(found))
      .filter(({ start }) => isVisible(start, viewer));
  }

  /** A job as the index has it, or as it is by now. */
  toJob(indexed: IndexedJob): Job {
    return this.#live.get(indexed.start.job) ?? toPastJob(indexed);
  }

  directory(id: JobId): string {
    return join(this.#ledgers, id);
  }

  /** Takes in a job that is not over, and tells watchers whenever clients begin or cease to hold it. */
  admit(job: Job): void {
    this.#live.set(job.start.job, job);
    let wasHeld = false;
    job.subscribe(() => {
      if (job.holders > 0 === wasHeld) return;
      wasHeld = !wasHeld;
      this.changes.note(job.start.job, job.start);
    });
  }

  /** A job is over, or never began. */
  dismiss(id: JobId): void {
    this.#live.delete(id);
  }

  /** Writes down how a job stands. */
  note({ start, exit, isClosed }: Job): void {
    this.#put({ start, exit, closed: isClosed });
  }

  /** Writes down how a job has ended. */
  conclude(start: StartRecord, exit: Exit | undefined): void {
    this.#put({ start, exit, closed: true });
  }

  #put(job: IndexedJob): void {
    const { start, exit } = job;
    if (exit !== undefined && this.index.find(start.job)?.exit === undefined) this.#onEnded(start, exit);
    this.index.put(job);
    this.changes.note(job.start.job, job.start);
  }

  #search(ref: string, viewer: Identity): readonly IndexedJob[] {
    if (ref === LAST) return [this.index.findLast(toOwn(viewer)) ?? []].flat();
    if (NUMBER.test(ref)) return [this.index.findByNumber(Number(ref)) ?? []].flat();
    return /^[0-9a-f][0-9a-f-]{3,35}$/i.test(ref)
      ? this.index.findByPrefix(ref.toLowerCase(), toScope(viewer))
      : [];
  }

  #toJob(indexed: IndexedJob | undefined): Job | undefined {
    return indexed && this.toJob(indexed);
  }
}

function toPastJob({ start, exit }: IndexedJob): Job {
  return new Job(start, undefined, {
    next: Number.MAX_SAFE_INTEGER,
    position: Number.POSITIVE_INFINITY,
    exit,
  });
}
