import type * as v from "valibot";
import { jobLabel } from "../commands/job-label.ts";
import { jobRemove } from "../commands/job-remove.ts";
import { jobShow } from "../commands/job-show.ts";
import { kill } from "../commands/kill.ts";
import { ping } from "../commands/ping.ts";
import { result } from "../commands/result.ts";
import { wait } from "../commands/wait.ts";
import type { From } from "../protocol/control.ts";
import { AppError } from "../protocol/error.ts";
import type { Welcome } from "../protocol/hello.ts";
import type { JobFilter } from "../protocol/filter.ts";
import type { JobDetails, JobName, JobResult, JobSummary } from "../protocol/job.ts";
import { DEFAULT_GRACE } from "../protocol/limits.ts";
import { type Completed, collect } from "./collect.ts";
import { feed, type Source } from "./feed.ts";
import { invoke } from "./invoke.ts";
import { type Attached, type ExecInput, launchAttached, launchDetached } from "./launch.ts";
import { Listener } from "./listener.ts";
import { type JobsInput, type JobsPage, listJobs, listPage, pruneJobs } from "./listing.ts";
import type { Accepted, ConnectionState, Session } from "./session.ts";
import { type JobEvent, watchJobs } from "./watch.ts";

/** A program with its arguments, or a line for the server's shell. */
export type Command = readonly string[] | { readonly shell: string };

export interface ExecOptions extends Omit<ExecInput, "argv" | "shell" | "stdin"> {
  /** What the program reads as its stdin, which is empty otherwise. */
  readonly stdin?: Source;
  /** False: answer a listener at once, instead of everything at the end. */
  readonly complete?: boolean;
  /** Milliseconds without a packet after which listening throws `timed_out`. The job goes on. */
  readonly maxInterval?: number;
}

export type StartOptions = Omit<ExecOptions, "stdin" | "complete" | "maxInterval">;

export interface FollowOptions {
  /** The first packet wanted (default 0). */
  readonly since?: number;
  /** The last so many packets, instead. */
  readonly recent?: number;
  /** Milliseconds without a packet after which listening throws `timed_out`. */
  readonly maxInterval?: number;
}

/** A reference to a job: its number, its id, a unique prefix of that, or `@last`. */
export type JobRef = string | number;

/** An open connection to a server. Disposing it closes it; jobs go on. */
export class Connection implements AsyncDisposable {
  readonly #session: Session;
  readonly welcome: Welcome;

  /** `welcome`: what the server said of itself. */
  constructor(session: Session, welcome: Welcome) {
    this.#session = session;
    this.welcome = welcome;
  }

  /** Whether the server can be reached at the moment. What is asked meanwhile is answered when it can be again. */
  get state(): ConnectionState {
    return this.#session.state;
  }

  /** Calls `listener` whenever that changes, until disposed. */
  onState(listener: (state: ConnectionState) => void): Disposable {
    return this.#session.onState(listener);
  }

  /** Aborted when the connection has ended for good; the reason is an `AppError` that says why. */
  get ended(): AbortSignal {
    return this.#session.ended;
  }

  /**
   * Runs a program. Answers when it has exited and every byte that it wrote is here, or with `complete: false` a
   * listener at once. A failing program is an outcome; throws `incomplete_output`, `connection_lost` and the like.
   */
  exec(command: Command, options: ExecOptions & { readonly complete: false }): Promise<Listener>;
  exec(command: Command, options?: ExecOptions & { readonly complete?: true }): Promise<Completed>;
  async exec(command: Command, options: ExecOptions = {}): Promise<Listener | Completed> {
    const { stdin, complete, maxInterval, ...rest } = options;
    const asked = { ...rest, ...toProgram(command), stdin: stdin !== undefined };
    const attached = launchAttached(this.#session, asked);
    const { output } = attached;
    const { job, number } = await attached.accepted;
    if (stdin !== undefined) feedOrFail(this.#session, attached, stdin);
    const listener = new Listener({ job, number, output, until: "exit", maxInterval });
    return complete === false ? listener : collect(listener);
  }

  /** Starts a program that nobody waits for, and answers which job it is. */
  async start(command: Command, options: StartOptions = {}): Promise<Accepted> {
    const asked = { ...options, ...toProgram(command) };
    const { job, number } = await launchDetached(this.#session, asked).accepted;
    return { job, number };
  }

  /** Reads a job's output from its first packet, or where told, until its end. The job does not wait for this. */
  async follow(ref: JobRef, { since, recent, maxInterval }: FollowOptions = {}): Promise<Listener> {
    const { id: job, number } = await this.#find(ref);
    const from: From =
      recent === undefined ? { type: "since", number: since ?? 0 } : { type: "recent", count: recent };
    const output = this.#session.openOutput(job, from);
    return new Listener({ job, number, output, until: "closed", maxInterval });
  }

  /** A page of jobs, newest first: those that the filter means, or with references only those. `next` is `before` for the next page. */
  jobs(input: JobsInput = {}): Promise<JobsPage> {
    return listPage(this.#session, input);
  }

  /** All jobs that a filter means, newest first. */
  async allJobs(filter: JobFilter = {}): Promise<readonly JobSummary[]> {
    return (await listJobs(this.#session, { filter })).jobs;
  }

  /** Tells of the jobs that a filter means, in one batch, and then of every change. Ends only by throwing the signal's reason. */
  watch(
    filter: JobFilter | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<readonly JobEvent[], never, void> {
    return watchJobs(this.#session, filter, signal);
  }

  /** Everything that is known of a job. */
  show(ref: JobRef): Promise<JobDetails> {
    return invoke(this.#session, jobShow, { job: String(ref) });
  }

  /** What came of a job, as it is now or, with `wait`, once it has ended. */
  result(
    ref: JobRef,
    { wait = false, signal }: { readonly wait?: boolean; readonly signal?: AbortSignal } = {},
  ): Promise<JobResult> {
    return invoke(this.#session, result, { job: String(ref), wait }, signal);
  }

  /** Sets labels of a job and takes others away. */
  label(
    ref: JobRef,
    changes: { readonly set?: Readonly<Record<string, string>>; readonly unset?: string[] },
  ): Promise<JobSummary> {
    return invoke(this.#session, jobLabel, { job: String(ref), ...changes });
  }

  /** Removes the records of at most 100 ended jobs: all or, where one has not ended (`still_running`), none. */
  async remove(...refs: readonly JobRef[]): Promise<readonly JobName[]> {
    return (await invoke(this.#session, jobRemove, { jobs: refs.map(String) })).removed;
  }

  /** Removes all ended jobs that a filter means, or only tells which. */
  prune(filter: JobFilter, { dryRun = false } = {}): Promise<readonly JobSummary[]> {
    return pruneJobs(this.#session, { filter, dryRun });
  }

  /** Waits until a job has exited. */
  wait(ref: JobRef, { signal }: { readonly signal?: AbortSignal } = {}): Promise<JobSummary> {
    return invoke(this.#session, wait, { job: String(ref) }, signal);
  }

  /**
   * Ends a job with all that came of it and answers when that is gone, or with `signal` alone only sends it. `grace` (ms) is
   * the time to KILL. What could not be ended stands in `ended.leftBehind`.
   */
  kill(
    ref: JobRef,
    options: Omit<v.InferInput<typeof kill.input>, "job"> = {},
  ): Promise<v.InferOutput<typeof kill.result>> {
    return invoke(this.#session, kill, { job: String(ref), ...options });
  }

  /** Measures a round trip, in milliseconds. */
  async ping({ signal }: { readonly signal?: AbortSignal } = {}): Promise<number> {
    const start = performance.now();
    await invoke(this.#session, ping, {}, signal);
    return performance.now() - start;
  }

  /** Whether the server answers within `timeout` milliseconds (default 5000). Never throws. */
  async heartbeat({ timeout = 5_000 }: { readonly timeout?: number } = {}): Promise<boolean> {
    try {
      await this.ping({ signal: AbortSignal.timeout(timeout) });
      return true;
    } catch {
      return false; // whatever the reason, it does not answer
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#session[Symbol.asyncDispose]();
  }

  async #find(ref: JobRef): Promise<JobSummary> {
    const [summary] = (await this.jobs({ refs: [String(ref)] })).jobs;
    if (summary === undefined) throw new AppError("not_found", `No job is known as "${ref}"`);
    return summary;
  }
}

function toProgram(command: Command): Pick<ExecInput, "argv" | "shell"> {
  return "shell" in command ? { shell: command.shell } : { argv: [...command] };
}

/** Feeds on its own. When the source fails, so does reading the job's output, and the job, which has no end of input, is cancelled. */
function feedOrFail(session: Session, { accepted, input, output }: Attached, source: Source): void {
  if (input === undefined) return;
  feed(input, source).catch((error: AppError) => {
    // As it was accepted, since another may have had its key. It may have ended meanwhile, or the connection has.
    accepted.then(({ job }) => invoke(session, kill, { job, grace: DEFAULT_GRACE })).catch(() => {});
    output.close(error);
  });
}
