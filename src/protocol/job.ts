import * as v from "valibot";
import { JobId } from "./id.ts";
import { Outcome } from "./outcome.ts";
import { Totals } from "./packet.ts";
import { Terms } from "./terms.ts";

/** Where a job is in its life (DESIGN.md section 3). */
export const JobState = v.picklist(["running", "exited", "closed", "lost"]);
export type JobState = v.InferOutput<typeof JobState>;

/** A process and the moment it started: together never reused, whereas a bare pid is. */
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
  outcome: v.optional(Outcome),
  totals: v.optional(Totals),
  /** Its processes that still live, with the start time that tells them from others of the same pid. */
  processes: v.optional(v.array(ProcessIdentity)),
});
export type JobSummary = v.InferOutput<typeof JobSummary>;
