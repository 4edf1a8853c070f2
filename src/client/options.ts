import * as v from "valibot";
import type { CallTerms } from "../protocol/terms.ts";
import type { Source } from "./feed.ts";

const milliseconds = v.pipe(v.number(), v.finite(), v.minValue(0));

/** How a call is made, besides its input. */
export const CallOptions = v.strictObject({
  /** False: answer a listener at once, instead of everything at the end. */
  complete: v.optional(v.boolean()),
  /**
   * Milliseconds that the whole call may take; then it throws a `ClientError` of code `timeout`, whose `details.job` is the
   * job's id. The job goes on; a foreground call is cancelled.
   */
  timeout: v.optional(milliseconds),
  /** Copy what a job writes to our own stdout and stderr as it comes. */
  echoResponse: v.optional(v.boolean()),
  /** Milliseconds in which something must come; else reading throws a `ClientError` of code `listener_timeout`. The job goes on. */
  maxInterval: v.optional(milliseconds),
  /** Throw what the server refuses, what a program throws, and a job that did not end well, instead of answering it. */
  raiseError: v.optional(v.boolean()),
  /** Aborted: throw its reason. The job goes on; a foreground call is cancelled. */
  signal: v.optional(v.instance(AbortSignal)),
  /** The bytes that the call takes: all of them, or true for those that the listener's `sendInput` will send. Else it is empty. */
  stdin: v.optional(v.custom<Source | true>((value) => value !== null && value !== false)),
});
export type CallOptions = v.InferOutput<typeof CallOptions>;

/** The terms on which a job of a command of the server's own runs. */
export type JobTerms = Omit<v.InferInput<typeof CallTerms>, "stdin">;

/** The options by which the type of the answer is known. */
export interface CallFlags<Complete extends boolean, Raise extends boolean> extends Omit<
  CallOptions,
  "complete" | "raiseError" | "stdin"
> {
  complete?: Complete | undefined;
  raiseError?: Raise | undefined;
}

/** Those of a call that takes bytes. */
export interface InputFlags<Complete extends boolean, Raise extends boolean> extends CallFlags<
  Complete,
  Raise
> {
  stdin?: CallOptions["stdin"];
}
