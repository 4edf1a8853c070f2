import * as v from "valibot";
import { MAX_FILTER_TEXT, MAX_LABELS } from "./limits.ts";

/** Where a job is, or how it ended, as people ask for it: states, types of outcomes, and words that gather several. */
export const StateWord = v.picklist([
  "running",
  /** Running, and a client holds it. */
  "attached",
  "exited",
  "signaled",
  "returned",
  "threw",
  "timed_out",
  "idle_timed_out",
  "output_limited",
  "cancelled",
  "not_started",
  "lost",
  /** Not running any more. */
  "ended",
  /** Ended well: exited with 0, or returned. */
  "succeeded",
  /** Ended neither well nor because it was cancelled. */
  "failed",
]);
export type StateWord = v.InferOutput<typeof StateWord>;

/** A moment: so many milliseconds ago by the server's clock, or a time as ISO 8601 has it. */
export const Moment = v.union([
  v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  v.pipe(v.string(), v.maxLength(64), v.isoTimestamp("is no time as ISO 8601 has it")),
]);
export type Moment = v.InferOutput<typeof Moment>;

const text = v.pipe(v.string(), v.maxLength(MAX_FILTER_TEXT, `has more than ${MAX_FILTER_TEXT} characters`));

/** Which jobs are meant: those that match everything that is given. Texts are compared as they are: none is a pattern. */
export const JobFilter = v.object({
  /** Any of these. */
  states: v.optional(v.array(StateWord)),
  /** The command's name, or the program's: what it was called by, with or without its directory. */
  command: v.optional(text),
  /** Stands somewhere in the program and its arguments, written with spaces between them. */
  match: v.optional(text),
  /** Has all of these labels: `name`, or `name=value`. */
  labels: v.optional(
    v.pipe(v.array(text), v.maxLength(MAX_LABELS, `asks for more than ${MAX_LABELS} labels`)),
  ),
  startedSince: v.optional(Moment),
  startedBefore: v.optional(Moment),
  endedBefore: v.optional(Moment),
});
export type JobFilter = v.InferOutput<typeof JobFilter>;
