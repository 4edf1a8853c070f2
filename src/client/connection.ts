import { exec } from "../commands/exec.ts";
import { builtins } from "../commands/index.ts";
import { ping } from "../commands/ping.ts";
import type { From } from "../protocol/control.ts";
import { AppError } from "../protocol/error.ts";
import type { JobFilter } from "../protocol/filter.ts";
import type { Welcome } from "../protocol/hello.ts";
import type { HolderId } from "../protocol/id.ts";
import type { JobSummary } from "../protocol/job.ts";
import { parseArguments } from "./arguments.ts";
import { Caller } from "./caller.ts";
import { createLimit, toListening } from "./calling.ts";
import { answered } from "./client-error.ts";
import { createCommands, toCamelCase } from "./custom.ts";
import { invoke } from "./invoke.ts";
import { JobReading } from "./job-reading.ts";
import { createHolderId, type ExecInput, launchDetached } from "./launch.ts";
import { type JobListener, Listener } from "./listener.ts";
import { findJobs, listJobs, pruneJobs } from "./listing.ts";
import type { AnyName, CallArguments, CalledAnswer, CommandMethods, Commands } from "./methods.ts";
import type { CallOptions } from "./options.ts";
import type { JobReply, JobSuccess } from "./reply.ts";
import type { Accepted, ConnectionState, Session } from "./session.ts";
import { Tasks } from "./tasks/tasks.ts";
import { toUnit, type Unit } from "./unit.ts";
import { seeEvent, seeJob, type SeenEvent, type SeenJob } from "./seen.ts";
import { watchJobs } from "./watch.ts";

/** A program with its arguments, or a line for the server's shell, as it is or named. */
export type Command = readonly string[] | string | { readonly shell: string };

/** How a program is run, and how the call for it is made. */
export interface ExecOptions extends Omit<ExecInput, "argv" | "shell" | "stdin">, CallOptions {}

export interface StartOptions extends Omit<ExecInput, "argv" | "shell" | "stdin"> {
  /** Leave its stdin open, for `sendInput`; else it is empty. */
  readonly stdin?: boolean;
}

export interface FollowOptions extends Omit<CallOptions, "complete" | "stdin"> {
  /** The first packet wanted, or the first value (default 0). */
  readonly since?: number;
  /** The last so many of them, instead. */
  readonly recent?: number;
  /** What those count (default: values of a command of the server's own, packets of a program). */
  readonly unit?: Unit;
}

/** A reference to a job: its number, its id, a unique prefix of that, or `@last`. */
export type JobRef = string | number;

/** Every command as a method, apart from those with more to them: `exec`, `ping` and `commands` stand in the class. */
export interface Connection extends Omit<CommandMethods, "exec" | "ping" | "commands"> {}

/** An open connection to a server. Disposing it closes it; jobs go on. */
export class Connection implements AsyncDisposable {
  readonly #session: Session;
  readonly #caller: Caller;
  readonly welcome: Welcome;
  /** Custom commands by their names: none hides a method of this class. */
  readonly commands: Commands = createCommands((name, args) =>
    name === "commands" ? this.#caller.method(name, args) : this.#caller.any(name, args),
  );

  /** What a client's own modules do there. */
  readonly tasks: Tasks;

  static {
    for (const command of Object.values(builtins)) {
      const method = toCamelCase(command.name);
      if (method in this.prototype || method === "commands") continue;
      const value = async function (this: Connection, ...args: readonly unknown[]) {
        return await this.#caller.method(command.name, args);
      };
      Object.defineProperty(this.prototype, method, { value, writable: true, configurable: true });
    }
  }

  /** `welcome`: what the server said of itself. */
  constructor(session: Session, welcome: Welcome) {
    this.#session = session;
    this.#caller = new Caller(session);
    this.welcome = welcome;
    this.tasks = new Tasks(session, (job, options) => this.follow(job, options));
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
   * Runs a program. Answers when it has exited and every byte that it wrote is here, or with `complete: false` a listener at
   * once. A failing program is an outcome. Throws a `ClientError` when it cannot be known what came of it.
   */
  exec(command: Command, options: ExecOptions & { readonly complete: false }): Promise<JobListener>;
  exec(
    command: Command,
    options: ExecOptions & { readonly complete?: true; readonly raiseError: true },
  ): Promise<JobSuccess>;
  exec(
    command: Command,
    options?: ExecOptions & { readonly complete?: true; readonly raiseError?: false },
  ): Promise<JobReply>;
  exec(command: Command, options?: ExecOptions): Promise<JobListener | JobReply>;
  async exec(command: Command, { stdin, ...options }: ExecOptions = {}): Promise<JobListener | JobReply> {
    const { input, options: how } = parseArguments(exec, [{ ...options, ...toProgram(command) }]);
    return await this.#caller.exec({ input, options: { ...how, stdin } });
  }

  /** Starts a program that nobody waits for, and answers which job it is. */
  async start(command: Command, options: StartOptions = {}): Promise<Accepted> {
    const asked = { ...options, ...toProgram(command) };
    const { accepted } = launchDetached(this.#session, asked, { feeds: false });
    const { job, number } = await answered(accepted, this.#session);
    return { job, number };
  }

  /** Reads a job's output from its first packet, or where told, until nobody can add to it. The job does not wait for this. */
  follow(ref: JobRef, options: FollowOptions = {}): Promise<JobListener> {
    return this.#listen(ref, options, "closed");
  }

  /** Reads a job's output until it exits, as the listener does that `exec` answers: the job waits for this. */
  attach(ref: JobRef, options: FollowOptions = {}): Promise<JobListener> {
    return this.#listen(ref, options, "exit", createHolderId());
  }

  /** All jobs that a filter means, newest first. */
  async allJobs(filter: JobFilter = {}): Promise<readonly SeenJob[]> {
    return (await answered(listJobs(this.#session, { filter }), this.#session)).jobs.map(seeJob);
  }

  /** Tells of the jobs that a filter means, in one batch, and then of every change. Ends only by throwing the signal's reason. */
  async *watch(
    filter: JobFilter | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<readonly SeenEvent[], never, void> {
    const events = watchJobs(this.#session, filter, signal);
    for (;;) yield (await answered(events.next(), this.#session, signal)).value.map(seeEvent);
  }

  /** Removes all ended jobs that a filter means, page after page, or only tells which. */
  async prune(filter: JobFilter, { dryRun = false } = {}): Promise<readonly SeenJob[]> {
    return (await answered(pruneJobs(this.#session, { filter, dryRun }), this.#session)).map(seeJob);
  }

  /** Measures a round trip, in milliseconds. */
  async ping({ signal }: { readonly signal?: AbortSignal } = {}): Promise<number> {
    const start = performance.now();
    await answered(invoke(this.#session, ping, {}, signal), this.#session, signal);
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

  /** Calls any command by its name, in any of its spellings: a built-in one with its own types, a custom one with anything. */
  call<N extends AnyName, C extends boolean = true, T extends boolean = false>(
    name: N,
    ...args: CallArguments<N, C, T>
  ): Promise<CalledAnswer<N, C, T>>;
  call(name: string, ...args: readonly unknown[]): Promise<unknown> {
    return this.#caller.any(name, args);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#session[Symbol.asyncDispose]();
  }

  async #listen(
    ref: JobRef,
    { since = 0, recent, unit: counted, ...options }: FollowOptions,
    until: "exit" | "closed",
    holder?: HolderId,
  ): Promise<JobListener> {
    const summary = await this.#find(ref);
    const { id: job, number } = summary;
    const unit = counted ?? toUnit(summary);
    const isFirst = since === 0 && recent === undefined; // what comes before the first value is wanted too
    const from: From = {
      ...(recent === undefined
        ? ({ type: "since", number: since } as const)
        : ({ type: "recent", count: recent } as const)),
      ...(unit === "values" && !isFirst && { unit }),
    };
    const limit = createLimit(options, `job ${number}`, job);
    const output = this.#session.openOutput(job, from, holder);
    return new Listener(
      new JobReading(this.#session, { job, number, output, until }),
      toListening(options, limit),
    );
  }

  async #find(ref: JobRef): Promise<JobSummary> {
    const [summary] = await answered(findJobs(this.#session, [ref]), this.#session);
    if (summary === undefined) throw new AppError("not_found", `No job is known as "${ref}"`);
    return summary;
  }
}

function toProgram(command: Command): Pick<ExecInput, "argv" | "shell"> {
  if (typeof command === "string") return { shell: command };
  return "shell" in command ? { shell: command.shell } : { argv: [...command] };
}
