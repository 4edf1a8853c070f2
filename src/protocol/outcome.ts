import * as v from "valibot";
import { ErrorBody } from "./error.ts";
import { Value } from "./value.ts";

/** Why a program could not be started, and what is wrong with which path. */
export const StartFailure = v.object({
  code: v.picklist([
    "program_not_found",
    "program_not_executable",
    "bad_directory",
    "too_large",
    "start_failed",
  ]),
  message: v.string(),
});
export type StartFailure = v.InferOutput<typeof StartFailure>;

/** How the process itself ended; what time-outs and cancellation carry beside themselves. */
export const ProcessEnd = v.variant("type", [
  v.object({ type: v.literal("exited"), code: v.number() }),
  /** The name as the server's system has it: `SIGTERM`, or `SIGRTMIN+3` of Linux's real-time signals (SIGRTMIN is 34). */
  v.object({ type: v.literal("signaled"), signal: v.string() }),
]);
export type ProcessEnd = v.InferOutput<typeof ProcessEnd>;

const timeLimit = { limit: v.number(), end: v.optional(ProcessEnd) };

/**
 * What a job returned, as its record has it: the value, or the number of the first packet of the parts that hold it. They end
 * at the exit.
 */
export const Returned = v.variant("encoding", [
  ...Value.options,
  v.object({ encoding: v.literal("parts"), first: v.pipe(v.number(), v.safeInteger(), v.minValue(0)) }),
]);
export type Returned = v.InferOutput<typeof Returned>;

/** How a job ended: exactly one of these, decided by the first cause. Limits are in milliseconds or bytes. */
export const RecordedOutcome = v.variant("type", [
  ...ProcessEnd.options,
  v.object({ type: v.literal("returned"), value: Returned }),
  v.object({ type: v.literal("threw"), error: ErrorBody }),
  v.object({ type: v.literal("timed_out"), ...timeLimit }),
  v.object({ type: v.literal("idle_timed_out"), ...timeLimit }),
  v.object({ type: v.literal("output_limited"), ...timeLimit }),
  v.object({ type: v.literal("cancelled"), by: v.string(), end: v.optional(ProcessEnd) }),
  v.object({ type: v.literal("not_started"), reason: StartFailure }),
  v.object({ type: v.literal("lost"), since: v.string() }),
]);
export type RecordedOutcome = v.InferOutput<typeof RecordedOutcome>;

/**
 * The same as whoever reads the job sees it: what was returned is the value itself. It is left out where that takes more than a
 * summary of the job has room for: `result` and the job's output have it.
 */
export type Outcome =
  | Exclude<RecordedOutcome, { readonly type: "returned" }>
  | { readonly type: "returned"; readonly value?: unknown };
