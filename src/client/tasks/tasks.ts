import { taskList } from "../../commands/task-list.ts";
import { taskRestart } from "../../commands/task-restart.ts";
import { taskShow } from "../../commands/task-show.ts";
import { AppError } from "../../protocol/error.ts";
import type { ExecutionWait, TaskDetails, TaskSummary } from "../../protocol/task.ts";
import { createLimit } from "../calling.ts";
import { answered, ClientError } from "../client-error.ts";
import type { Connection, FollowOptions } from "../connection.ts";
import { invoke } from "../invoke.ts";
import type { LimitOptions } from "../limit.ts";
import type { JobListener } from "../listener.ts";
import type { Session } from "../session.ts";
import { createExecutionId, type Execution, execute, lookUp } from "./execution.ts";
import { startTask, type Stopped, stopTask, type TaskTerms } from "./lifecycle.ts";
import { withoutSkew } from "./skew.ts";
import { type TaskModule, toShipment } from "./shipment.ts";

export interface StartTaskOptions extends TaskTerms, LimitOptions {
  readonly module: TaskModule;
}

export interface ExecOptions extends LimitOptions {
  /** What is waited for: that it is `queued`, that it has answered (`response`), or that it has ended (default `end`). */
  readonly wait?: ExecutionWait;
  /** A UUID in lower case that names it: a second one of the same name is answered as the first, and not done again. */
  readonly execution?: string;
}

export interface StopTaskOptions extends LimitOptions {
  /** Milliseconds that what runs has to end; then its process is killed (default 5000). */
  readonly grace?: number;
}

/**
 * The tasks of a server. What a task throws, and what the server refuses, is thrown as an `AppError`; what keeps the answer from
 * being known, as a `ClientError`, whose details name the execution. `timeout` and `signal` end waiting, and nothing else.
 */
export class Tasks {
  readonly #session: Session;
  readonly #follow: Connection["follow"];

  constructor(session: Session, follow: Connection["follow"]) {
    this.#session = session;
    this.#follow = follow;
  }

  /** Ships a module and starts a task of it; answers when its `init` has returned. Throws `already_started`, `invalid_module`. */
  async start(name: string, options: StartTaskOptions): Promise<TaskSummary> {
    const { module, timeout, signal, ...terms } = options;
    const shipment = await toShipment(module);
    return await this.#within(name, { timeout, signal }, (signal) =>
      startTask(this.#session, { name, shipment, terms }, signal),
    );
  }

  /** Has a task do something, in the order in which all ask. Throws `threw`, `crashed`, `queue_full`, `not_started`. */
  async exec(name: string, args?: unknown, options: ExecOptions = {}): Promise<Execution> {
    const { wait = "end", execution = createExecutionId() } = options;
    const inquiry = { task: name, execution, wait };
    return await this.#about(execution, name, options, (signal) =>
      execute(this.#session, inquiry, args, signal),
    );
  }

  /** Tells what came of an execution, or comes; as `exec` does. */
  async await(name: string, execution: string, options: ExecOptions = {}): Promise<Execution> {
    const inquiry = { task: name, execution, wait: options.wait ?? "end" };
    return await this.#about(execution, name, options, (signal) => lookUp(this.#session, inquiry, signal));
  }

  /** Ends a task; its `exit` is given `args`. */
  async stop(name: string, args?: unknown, options: StopTaskOptions = {}): Promise<Stopped> {
    const asked = { name, value: args, grace: options.grace };
    return await this.#within(name, options, (signal) => stopTask(this.#session, asked, signal));
  }

  /** Starts its process anew, with the state that was saved last. */
  async restart(name: string, options: LimitOptions = {}): Promise<TaskSummary> {
    return await this.#within(name, options, (signal) =>
      invoke(this.#session, taskRestart, { task: name }, signal),
    );
  }

  /** All that one may see, by name. */
  async list(options: LimitOptions = {}): Promise<readonly TaskSummary[]> {
    const ask = (signal: AbortSignal) => invoke(this.#session, taskList, {}, signal);
    return (await this.#within("list", options, ask)).tasks;
  }

  async show(name: string, options: LimitOptions = {}): Promise<TaskDetails> {
    return await this.#within(name, options, (signal) =>
      invoke(this.#session, taskShow, { task: name }, signal),
    );
  }

  /** Reads what its process says, as a job's output is read: what it logs, and a value for each step. */
  async follow(name: string, options: FollowOptions = {}): Promise<JobListener> {
    const { job, state } = await this.show(name);
    if (job !== undefined) return await this.#follow(job.id, options);
    throw new AppError("not_running", `Cannot follow task "${name}": it is ${state}, and has no process`);
  }

  async #about<T>(
    execution: string,
    name: string,
    options: LimitOptions,
    ask: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    try {
      return await this.#within(name, options, ask);
    } catch (error) {
      throw withExecution(error, { task: name, execution });
    }
  }

  async #within<T>(
    name: string,
    options: LimitOptions,
    ask: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    using limit = createLimit(options, `task "${name}"`);
    return await answered(withoutSkew(ask(limit.signal)), this.#session, limit.signal);
  }
}

/** The same error, which names the execution that it is about. */
function withExecution(
  error: unknown,
  which: { readonly task: string; readonly execution: string },
): unknown {
  if (!(error instanceof AppError)) return error;
  const { code, message, details, name } = error;
  const more = { details: { ...details, ...which }, cause: error.cause };
  return error instanceof ClientError
    ? new ClientError(code, message, more)
    : new AppError(code, message, { ...more, name });
}
