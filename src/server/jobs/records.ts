import { join } from "node:path";
import * as v from "valibot";
import type { JobChanges } from "../../commands/access/jobs.ts";
import { findEnding } from "../../ledger/ending.ts";
import { writeLabels } from "../../ledger/labels.ts";
import { measureLedger } from "../../ledger/segment.ts";
import { hasLedger, removeLedger } from "../../ledger/start.ts";
import { AppError } from "../../protocol/error.ts";
import type { JobFilter } from "../../protocol/filter.ts";
import type { JobId } from "../../protocol/id.ts";
import type { JobDetails, JobName, JobSummary } from "../../protocol/job.ts";
import { Labels } from "../../protocol/terms.ts";
import { type Identity, isVisible } from "../auth/identity.ts";
import type { Change, Changes } from "./changes.ts";
import { toPredicate } from "./job-filter.ts";
import type { JobIndex } from "./job-index.ts";
import type { Job } from "./job.ts";
import { PAGE_BYTES, weigh } from "./listing.ts";
import { toMessage } from "../../lib/message.ts";

/** Characters of argv, and of the names of variables, that are shown of one job alone. */
const DETAIL_CHARACTERS = 64 * 1024;

/** Milliseconds that the close of a job may take after its exit when nobody else has its output open. */
const CLOSE_PATIENCE = 1_000;

export interface RecordsOptions {
  /** The directory of all ledgers. */
  readonly ledgers: string;
  readonly index: JobIndex;
  readonly changes: Changes;
  readonly summarize: (job: Job) => JobSummary;
  readonly find: (id: JobId) => Job | undefined;
}

/** What changed since when, which of it, and for whom. */
export interface ChangesQuery {
  readonly cursor: string | undefined;
  readonly filter: JobFilter | undefined;
  readonly viewer: Identity;
}

/** What is kept of jobs besides what they said: shown, labelled, removed, and watched. */
export class Records {
  readonly #options: RecordsOptions;

  constructor(options: RecordsOptions) {
    this.#options = options;
    options.index.onRemoved = (id, whose) => options.changes.note(id, whose);
  }

  /** Everything that start record, ledger and keeper tell of a job. */
  describe(job: Job): JobDetails {
    const { start, exit, holders, isClosed } = job;
    const { envNames, merge, keepBytes, keeper, argv } = start;
    const directory = this.#toDirectory(start.job);
    return {
      ...this.#options.summarize(job),
      argv: cut(argv, DETAIL_CHARACTERS),
      envNames: cut(envNames, DETAIL_CHARACTERS),
      merge,
      ...(keepBytes !== undefined && { keepBytes }),
      keeper,
      holders,
      ...(hasLedger(directory)
        ? {
            next: isClosed ? findEnding(directory, start.job).next : job.next,
            ledger: measureLedger(directory),
          }
        : { next: 0, ledger: { bytes: 0, segments: 0 } }), // lost with the disk that it was on
      ...(exit?.usage && { usage: exit.usage }),
    };
  }

  /** Sets labels and takes others away. Throws `invalid_input`, or `unavailable` when they cannot be written. */
  label(job: Job, set: Labels, unset: readonly string[]): void {
    const { labels, job: id, number } = job.start;
    const changed = v.safeParse(Labels, mergeLabels(labels ?? {}, set, unset));
    if (!changed.success)
      throw new AppError("invalid_input", `Cannot label job ${number}: it ${changed.issues[0].message}`);
    try {
      writeLabels(this.#toDirectory(id), changed.output);
    } catch (error) {
      const why = toMessage(error);
      throw new AppError("unavailable", `Cannot label job ${number}: ${why}`, { cause: error });
    }
    job.relabel(changed.output);
  }

  /** Removes all or, where one cannot be, none. Jobs that have just exited are given a moment to be closed. */
  async remove(jobs: readonly Job[]): Promise<JobName[]> {
    const exited = jobs.filter(({ exit, isClosed }) => exit !== undefined && !isClosed);
    const late = AbortSignal.timeout(CLOSE_PATIENCE);
    await Promise.allSettled(exited.map((job) => job.waitForClose(late)));
    for (const job of jobs) this.#expectOver(job);
    const removed = new Map(jobs.map(({ start }) => [start.job, start.number]));
    for (const id of removed.keys()) {
      removeLedger(this.#toDirectory(id));
      this.#options.index.remove(id, Date.now());
    }
    return [...removed].map(([id, number]) => ({ id, number }));
  }

  /** Throws `still_running` while there may be more of a job, or somebody to be killed. */
  #expectOver(job: Job): void {
    const { number } = job.start;
    const refuse = (why: string) => new AppError("still_running", `Cannot remove job ${number}: ${why}`);
    if (job.exit === undefined) throw refuse(`it is running; farhand kill ${number} ends it`);
    if (!job.isClosed) throw refuse("a process that it left behind still has its output open");
    if (this.#options.summarize(job).processes?.length)
      throw refuse(`processes of it are still alive; farhand kill ${number} ends them`);
  }

  /** What changed since a cursor, as much of it as one answer has room for, as soon as there is something that he may see. */
  async changes({ cursor, filter, viewer }: ChangesQuery, signal: AbortSignal): Promise<JobChanges> {
    const { changes } = this.#options;
    if (cursor === undefined) return { ...NO_CHANGES, cursor: changes.cursor() };
    for (let from = cursor; ;) {
      const found = await changes.since(from, signal);
      if (found === undefined) return { ...NO_CHANGES, cursor: changes.cursor(), isReset: true };
      const told = this.#tell(found, filter, viewer);
      if (told.changed.length > 0 || told.removed.length > 0) return told;
      from = told.cursor;
    }
  }

  #tell(changes: readonly Change[], filter: JobFilter | undefined, viewer: Identity): JobChanges {
    const isMeant = toPredicate(filter ?? {}, Date.now());
    const changed: JobChanges["changed"][number][] = [];
    const removed: JobId[] = [];
    let [bytes, revision] = [0, 0];
    for (const { id, whose, revision: at } of changes) {
      const job = this.#options.find(id);
      if (job === undefined) {
        if (whose === undefined ? viewer.grants.seesAllJobs : isVisible(whose, viewer)) removed.push(id);
      } else if (isVisible(job.start, viewer)) {
        const summary = this.#options.summarize(job);
        bytes += weigh(summary);
        if (changed.length > 0 && bytes > PAGE_BYTES) break; // the rest is told when it is asked for
        changed.push({ job: summary, isMeant: isMeant(job) });
      }
      revision = at;
    }
    return { cursor: this.#options.changes.cursor(revision), isReset: false, changed, removed };
  }

  #toDirectory(id: JobId): string {
    return join(this.#options.ledgers, id);
  }
}

const NO_CHANGES = { isReset: false, changed: [], removed: [] };

function mergeLabels(labels: Labels, set: Labels, unset: readonly string[]): Labels {
  const entries = Object.entries({ ...labels, ...set });
  return Object.fromEntries(entries.filter(([name]) => Object.hasOwn(set, name) || !unset.includes(name)));
}

/** The first words that have so many characters together; the last of them may be cut. */
export function cut(words: readonly string[], characters: number): string[] {
  let room = characters;
  return words.flatMap((word) => {
    const kept = word.slice(0, Math.max(0, room));
    room -= kept.length + 1;
    return room < -1 ? [] : [kept];
  });
}
