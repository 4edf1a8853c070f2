import * as v from "valibot";
import { abortable, after, delay } from "../lib/abort.ts";
import { describeError, type Log } from "../lib/log.ts";
import { findProcess } from "../ledger/start.ts";
import { sessionMembers } from "../process/identity.ts";
import { AppError } from "../protocol/error.ts";
import type { JobId } from "../protocol/id.ts";
import { MAX_GRACE } from "../protocol/limits.ts";
import { type Identity, isVisible } from "./auth/identity.ts";
import type { Job } from "./jobs/job.ts";

/** Milliseconds between two looks whether a job's processes are gone. */
const POLL = 50;
/** Milliseconds after KILL within which the kernel ends whatever it can. */
const KILL_PATIENCE = 10_000;

/** Milliseconds in which the answer to a call that stops the server goes out, before anybody is sent away. */
const ANSWER_TIME = 50;

/** What a server is asked to do as it stops: with `jobs` it ends them first, by TERM, and KILL after `grace` ms. */
export const StopRequest = v.object({
  jobs: v.optional(
    v.object({ grace: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_GRACE)) }),
  ),
});
export type StopRequest = v.InferOutput<typeof StopRequest>;

/** What became of the jobs that should end. */
export const StopReport = v.object({
  ended: v.number(),
  left: v.array(v.object({ job: v.string(), number: v.number(), reason: v.string() })),
});
export type StopReport = v.InferOutput<typeof StopReport>;

export interface ShutdownOptions {
  readonly log: Log;
  /** Jobs that keepers keep. */
  readonly listLive: () => Promise<readonly Job[]>;
  readonly toDirectory: (job: JobId) => string;
  /** Aborted by whoever wants the server to stop at once. */
  readonly signal: AbortSignal;
}

/** The end of a server: asked for, or begun by a signal; nothing new is accepted from then on. */
export class Shutdown {
  readonly #options: ShutdownOptions;
  readonly #asked = Promise.withResolvers<void>();
  #begun = false;

  constructor(options: ShutdownOptions) {
    this.#options = options;
  }

  get hasBegun(): boolean {
    return this.#begun || this.#options.signal.aborted;
  }

  /** Resolves when the server is to stop. */
  async wait(): Promise<void> {
    await abortable(this.#asked.promise, this.#options.signal).catch(() => {}); // a signal is just another way to ask
    this.#begun = true;
  }

  /** Stops the server, once those jobs have ended that somebody may see, if that is asked. Answers what became of them. */
  async stop({ jobs }: StopRequest, by: Identity): Promise<StopReport> {
    this.#begun = true;
    try {
      return jobs === undefined ? { ended: 0, left: [] } : await this.#endJobs(jobs.grace, by);
    } finally {
      this.#asked.resolve();
    }
  }

  /** The same on behalf of a call, whose answer goes out first. */
  async close({ jobs }: StopRequest, by: Identity): Promise<StopReport> {
    this.#begun = true;
    try {
      return jobs === undefined ? { ended: 0, left: [] } : await this.#endJobs(jobs.grace, by);
    } finally {
      after(ANSWER_TIME, () => this.#asked.resolve());
    }
  }

  async #endJobs(grace: number, by: Identity): Promise<StopReport> {
    const live = (await this.#options.listLive()).filter(({ start }) => isVisible(start, by));
    this.#options.log.info("ending jobs", { jobs: live.length, grace });
    const ends = await Promise.all(
      live.map(async (job) => ({ job, reason: await this.#end(job, grace, by.owner) })),
    );
    const left = ends.flatMap(({ job: { start }, reason }) =>
      reason === undefined ? [] : [{ job: start.job, number: start.number, reason }],
    );
    return { ended: live.length - left.length, left };
  }

  /** Ends a job, and waits until its processes are gone. Answers why they are not. */
  async #end(job: Job, grace: number, by: string): Promise<string | undefined> {
    const { start, keeper } = job;
    let isGone = false;
    try {
      const cancel = { type: "cancel" as const, job: start.job, signal: "SIGTERM" as const, grace, by };
      const reply = await keeper?.request(cancel);
      const ended = reply?.type === "reply" ? reply.ended : undefined;
      const left = ended?.leftBehind ?? [];
      if (left.length > 0)
        return `it may not end, or the system does not end, pid ${left.map(({ pid }) => pid).join(", ")}`;
      isGone = ended !== undefined;
    } catch (error) {
      // Without processes there is nothing to end: it does so by itself just now.
      if (!(error instanceof AppError && error.code === "not_running")) return this.#explain(job, error);
    }
    // A keeper of link 1.0 answers before they are gone.
    const leader = isGone ? undefined : findProcess(this.#options.toDirectory(start.job));
    const deadline = performance.now() + grace + KILL_PATIENCE;
    while (job.exit === undefined || (leader !== undefined && sessionMembers(leader).length > 0)) {
      if (performance.now() > deadline) return "some of its processes have not ended";
      await delay(POLL, this.#options.signal);
    }
    return undefined;
  }

  #explain({ start }: Job, error: unknown): string {
    this.#options.log.warn("job not ended", { job: start.job, error: describeError(error) });
    return error instanceof AppError ? error.message : "ending it failed: the server's log says why";
  }
}
