import * as v from "valibot";
import { ErrorBody } from "./error.ts";
import { JobId, KeeperId } from "./id.ts";
import { RecordedOutcome, ProcessEnd } from "./outcome.ts";
import { Totals, Usage } from "./packet.ts";
import { Terms } from "./terms.ts";

/** Where a job is in its life. */
export const JobState = v.picklist(["running", "exited", "closed", "lost"]);
export type JobState = v.InferOutput<typeof JobState>;

/** A process and the moment it started, in the system's own words: together never reused, whereas a bare pid is. */
export const ProcessIdentity = v.object({ pid: v.number(), startTime: v.string() });
export type ProcessIdentity = v.InferOutput<typeof ProcessIdentity>;

/** What became of the processes of a job that was ended. */
export const Ended = v.object({
  /** The signal that they were sent first. */
  signal: v.string(),
  /** How many have ended, and how many of these needed KILL. */
  processes: v.number(),
  killed: v.number(),
  /** Those that may not be signalled, or that the kernel does not end. */
  leftBehind: v.optional(v.array(ProcessIdentity)),
});
export type Ended = v.InferOutput<typeof Ended>;

/** What is told of a job besides its output. */
export const JobSummary = v.object({
  id: JobId,
  number: v.number(),
  command: v.string(),
  /** Cut after 32 KiB. */
  argv: v.array(v.string()),
  cwd: v.string(),
  owner: v.string(),
  state: JobState,
  /** Whether a client holds the job, so that it waits for that client. */
  attached: v.boolean(),
  startedAt: v.string(),
  ...Terms.entries,
  endedAt: v.optional(v.string()),
  outcome: v.optional(RecordedOutcome),
  totals: v.optional(Totals),
  /** Its processes that still live, with the start time that tells them from others of the same pid. */
  processes: v.optional(v.array(ProcessIdentity)),
});
export type JobSummary = v.InferOutput<typeof JobSummary>;

/** Everything that is known of a job. */
export const JobDetails = v.object({
  ...JobSummary.entries,
  /** Names of the variables that it was given; their values are kept nowhere. Cut after 64 KiB. */
  envNames: v.array(v.string()),
  merge: v.boolean(),
  /** Bytes of output kept; absent for all. */
  keepBytes: v.optional(v.number()),
  keeper: KeeperId,
  /** Clients that it waits for. */
  holders: v.number(),
  /** The packet that comes next: as many as there ever were. */
  next: v.number(),
  /** Bytes that its record takes on the disk, and in how many segments. */
  ledger: v.object({ bytes: v.number(), segments: v.number() }),
  usage: v.optional(Usage),
});
export type JobDetails = v.InferOutput<typeof JobDetails>;

/** A job that is gone from the list. */
export const JobName = v.object({ id: JobId, number: v.number() });
export type JobName = v.InferOutput<typeof JobName>;

const named = { id: JobId, number: v.number() };

/** What came of a job: one of five answers. A program that exited with 0 has its code for a value. */
export const JobResult = v.variant("type", [
  v.object({ type: v.literal("value"), ...named, value: v.unknown(), outcome: RecordedOutcome }),
  v.object({ type: v.literal("threw"), ...named, error: ErrorBody, outcome: RecordedOutcome }),
  v.object({
    type: v.literal("cancelled"),
    ...named,
    by: v.string(),
    end: v.optional(ProcessEnd),
    outcome: RecordedOutcome,
  }),
  v.object({ type: v.literal("failed"), ...named, outcome: RecordedOutcome }),
  v.object({ type: v.literal("not_finished"), ...named }),
]);
export type JobResult = v.InferOutput<typeof JobResult>;
