import type { JobId } from "../../protocol/id.ts";
import type {
  ExecutionId,
  ExecutionReport,
  ExecutionWait,
  ModuleHash,
  RestartPolicy,
  TaskArgs,
  TaskDetails,
  TaskEnd,
  TaskName,
  TaskSummary,
} from "../../protocol/task.ts";
import type { JobLimits } from "../../protocol/terms.ts";

/** A bundle that a caller sends. */
export interface ModuleUpload {
  readonly hash: ModuleHash;
  readonly bytes: number;
}

/** Arguments with the bytes that the caller sends along. */
export interface SentArgs extends TaskArgs {
  readonly input: AsyncIterable<Uint8Array>;
}

export interface TaskStart {
  readonly name: TaskName;
  readonly module: ModuleHash;
  readonly args: SentArgs;
  readonly job: JobId | undefined;
  readonly replace: boolean;
  readonly restart: RestartPolicy;
  readonly checkpoint: boolean;
  readonly limits: JobLimits | undefined;
}

export interface TaskExecution {
  readonly task: TaskName;
  readonly execution: ExecutionId;
  readonly args: SentArgs;
  readonly wait: ExecutionWait;
}

export interface TaskInquiry {
  readonly task: TaskName;
  readonly execution: ExecutionId;
  readonly wait: ExecutionWait;
}

export interface TaskStop {
  readonly task: TaskName;
  /** Of the caller's own making; who asks again under it is answered what `exit` has answered. */
  readonly execution: ExecutionId | undefined;
  readonly args: SentArgs;
  readonly grace: number;
}

/** What an execution comes to; what it answered, where no frame has room for that, on the way. */
export type ExecutionStream = AsyncGenerator<Uint8Array, ExecutionReport, void>;

/** What came of stopping a task; what its `exit` answered, where no frame has room for that, on the way. */
export type EndStream = AsyncGenerator<Uint8Array, TaskEnd, void>;

/** The tasks that a caller may see. To whom may not see one it is none (`not_found`). */
export interface TaskAccess {
  /** Keeps a bundle, and answers whether it was there already; then it is not read. Throws `invalid_input` where the hash is not its own. */
  keepModule(module: ModuleUpload, content: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<boolean>;
  /**
   * Starts a task, and answers when its `init` has returned. Throws `unknown_module` for a bundle that was never sent,
   * `already_started`, and what `init` throws.
   */
  start(start: TaskStart, signal: AbortSignal): Promise<TaskSummary>;
  /** Has it do something, behind what waits already. Throws `queue_full`, `not_running`, `threw`, `crashed`, `no_response`. */
  execute(execution: TaskExecution, signal: AbortSignal): ExecutionStream;
  /** What came of an execution. Throws as that does, and `not_started` for one that was never begun, and is not going to be; `incomplete_output` where that cannot be told. */
  inquire(inquiry: TaskInquiry, signal: AbortSignal): ExecutionStream;
  /**
   * Ends it: what runs has `grace` ms, what waits is refused. What `exit` answers is told as an execution's answer is. Throws
   * what its `exit` throws; it has ended all the same.
   */
  stop(stop: TaskStop, signal: AbortSignal): EndStream;
  /** Ends its process as `stop` does, and starts it anew with the state that was saved last. */
  restart(name: TaskName, grace: number, signal: AbortSignal): Promise<TaskSummary>;
  list(): readonly TaskSummary[];
  show(name: TaskName): TaskDetails;
}
