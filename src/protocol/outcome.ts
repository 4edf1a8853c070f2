import * as v from "valibot";
import { ErrorBody } from "./error.ts";

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

/** How a job ended: exactly one of these, decided by the first cause. Limits are in milliseconds or bytes. */
export const Outcome = v.variant("type", [
  ...ProcessEnd.options,
  v.object({ type: v.literal("returned"), value: v.unknown() }),
  v.object({ type: v.literal("threw"), error: ErrorBody }),
  v.object({ type: v.literal("timed_out"), ...timeLimit }),
  v.object({ type: v.literal("idle_timed_out"), ...timeLimit }),
  v.object({ type: v.literal("output_limited"), ...timeLimit }),
  v.object({ type: v.literal("cancelled"), by: v.string(), end: v.optional(ProcessEnd) }),
  v.object({ type: v.literal("not_started"), reason: StartFailure }),
  v.object({ type: v.literal("lost"), since: v.string() }),
]);
export type Outcome = v.InferOutput<typeof Outcome>;
