import * as v from "valibot";
import { ErrorBody } from "./error.ts";
import { JobId } from "./id.ts";
import { JobName } from "./job.ts";
import { Value } from "./value.ts";

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** A task's name: one server has one task of it. */
export const TaskName = v.pipe(
  v.string(),
  v.regex(
    /^[a-z0-9][a-z0-9._-]{0,62}$/,
    "is no name of a task: at most 63 small letters, digits and ._- after a letter or digit",
  ),
);
export type TaskName = v.InferOutput<typeof TaskName>;

/** A module's name: SHA-256 of its bundle, in hex. */
export const ModuleHash = v.pipe(
  v.string(),
  v.regex(/^[0-9a-f]{64}$/, "is no SHA-256 in lower-case hex"),
  v.brand("ModuleHash"),
);
export type ModuleHash = v.InferOutput<typeof ModuleHash>;

/** One execution of a task; made by the client, so that it can be looked up whatever happens. */
export const ExecutionId = v.pipe(
  v.string(),
  v.regex(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, "is no lower-case UUID"),
  v.brand("ExecutionId"),
);
export type ExecutionId = v.InferOutput<typeof ExecutionId>;

/** Whether a process that dies by itself is started again, with the state that was saved last. */
export const RestartPolicy = v.picklist(["never", "on-failure"]);
export type RestartPolicy = v.InferOutput<typeof RestartPolicy>;

/**
 * Arguments of a task: a value in the call or, where it takes more than 64 KiB there, `argBytes` bytes that are sent along, as
 * `encodeValue` writes it; `undefined` without either.
 */
export const TaskArgs = v.object({ args: v.optional(Value), argBytes: v.optional(count) });
export type TaskArgs = v.InferOutput<typeof TaskArgs>;

/** What a caller waits for: that an execution is queued, that it has answered, or that it has ended. */
export const ExecutionWait = v.picklist(["queued", "response", "end"]);
export type ExecutionWait = v.InferOutput<typeof ExecutionWait>;

/** Where an execution is. One that has failed is told as the error that it failed with. */
export const ExecutionReport = v.object({
  execution: ExecutionId,
  /** `responded`: it has answered, and goes on. */
  state: v.picklist(["queued", "running", "responded", "finished"]),
  /** Whether it has answered. */
  responded: v.boolean(),
  /** What it answered; of one that takes more than 64 KiB, how many bytes were said instead, as `encodeValue` writes it. */
  value: v.optional(Value),
  valueBytes: v.optional(count),
  /** How often the task's process had been started anew by then, and whether it then began with a state that was saved. */
  restarts: count,
  restored: v.boolean(),
});
export type ExecutionReport = v.InferOutput<typeof ExecutionReport>;

/**
 * `starting`: `init` has not returned yet. `waiting`: its process has died, and is started again after a while. `failed`: it has
 * ended by itself.
 */
export const TaskState = v.picklist(["starting", "running", "stopping", "waiting", "stopped", "failed"]);
export type TaskState = v.InferOutput<typeof TaskState>;

/** A task in a list. */
export const TaskSummary = v.object({
  name: TaskName,
  state: TaskState,
  /** The job that it is now, or was last. */
  job: v.optional(JobName),
  owner: v.string(),
  module: ModuleHash,
  restart: RestartPolicy,
  /** Whether its state is saved after each execution. */
  checkpoint: v.boolean(),
  /** When somebody started it, and how often its process was started anew since. */
  startedAt: v.string(),
  restarts: count,
  /** Whether its process began with a state that was saved. */
  restored: v.boolean(),
  /** Executions that wait, and the one that is under way. */
  waiting: count,
  execution: v.optional(ExecutionId),
  /** Why its process ended last, or could not be started. */
  error: v.optional(ErrorBody),
});
export type TaskSummary = v.InferOutput<typeof TaskSummary>;

/** Everything that is known of a task. */
export const TaskDetails = v.object({
  ...TaskSummary.entries,
  cwd: v.string(),
  role: v.optional(v.string()),
  /** Executions that have ended since it was started or the server was, whichever came last. */
  executed: v.object({ finished: count, threw: count, crashed: count }),
  /** The state that was saved last: when, and how many bytes it takes. */
  saved: v.optional(v.object({ at: v.string(), bytes: count })),
  /** When its process is started again. */
  restartsAt: v.optional(v.string()),
  /** Bytes of arguments that wait, and of its bundle. */
  waitingBytes: count,
  moduleBytes: count,
});
export type TaskDetails = v.InferOutput<typeof TaskDetails>;

/** What came of stopping a task. */
export const TaskEnd = v.object({
  name: TaskName,
  job: v.optional(JobId),
  /** `exited`: its `exit` has returned. `killed`: it had to be. `down`: it had no process. */
  end: v.picklist(["exited", "killed", "down"]),
  /** Executions that waited, and are not done. */
  dropped: count,
  /** Whether `exit` has answered, and what, as an execution's report tells it. */
  responded: v.boolean(),
  value: v.optional(Value),
  valueBytes: v.optional(count),
});
export type TaskEnd = v.InferOutput<typeof TaskEnd>;
