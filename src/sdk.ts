export type { CallOutcome, CallPacket } from "./client/call-reading.ts";
export { ClientError } from "./client/client-error.ts";
export type {
  Command,
  Connection,
  ExecOptions,
  FollowOptions,
  JobRef,
  StartOptions,
} from "./client/connection.ts";
export type { Source } from "./client/feed.ts";
export type { Accepted, ConnectionState } from "./client/session.ts";
export type { CallListener, JobListener, Listener, SendInputOptions } from "./client/listener.ts";
export type { CallOptions, JobTerms } from "./client/options.ts";
export type { ErrorPacket, KillOptions } from "./client/reading.ts";
export type { CallReply, CallSuccess, JobReply, JobSuccess, Said } from "./client/reply.ts";
export { narrowText as narrowToken } from "./client/narrow.ts";
export type { ConnectOptions, Member } from "./client/member.ts";
export { type AddOptions, Pool } from "./client/pool.ts";
export type {
  SeenDetails as JobDetails,
  SeenEvent as JobEvent,
  SeenJob as JobSummary,
  SeenResult as JobResult,
} from "./client/seen.ts";
export { type StartedServer, startServer, type StartServerOptions } from "./client/start-server.ts";
export type { Execution } from "./client/tasks/execution.ts";
export type { Stopped } from "./client/tasks/lifecycle.ts";
export type {
  ExecOptions as TaskExecOptions,
  StartTaskOptions,
  StopTaskOptions,
  Tasks,
} from "./client/tasks/tasks.ts";
export {
  type CommandContext,
  type CommandDefinition,
  defineCommand,
  definePack,
  defineTask,
  type ModuleContext,
  type PackDefinition,
  type TaskContext,
  type TaskDefinition,
  v,
} from "./module/authoring.ts";
export { AppError, type ErrorCode } from "./protocol/error.ts";
export type { HolderId, JobId } from "./protocol/id.ts";
export type { JobFilter } from "./protocol/filter.ts";
export type { Ended, JobName, JobState } from "./protocol/job.ts";
export type { Outcome } from "./protocol/outcome.ts";
export type { Packet } from "./protocol/packet.ts";
export type { Restriction } from "./protocol/restriction.ts";
export type { RestartPolicy, TaskDetails, TaskState, TaskSummary } from "./protocol/task.ts";
