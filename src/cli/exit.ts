import { formatDuration } from "../lib/duration.ts";
import { toSignalNumber } from "../lib/signal.ts";
import type { ErrorBody } from "../protocol/error.ts";
import type { Outcome } from "../protocol/outcome.ts";

/** No line matches what was looked for, as grep has it. */
export const NO_MATCH = 1;
/** How long was to be waited is over, for a job or until it ends. */
export const TIMED_OUT = 124;
/** What was asked for is not there yet: try again later (EX_TEMPFAIL of sysexits.h). */
export const NOT_FINISHED = 75;
/** Everything that is Farhand's own failure, bad usage included. */
export const FAILURE = 125;
/** Our own stdout or stderr cannot be written (EX_IOERR of sysexits.h). */
export const WRITE_FAILURE = 74;

/** The exit code that says how a job ended. */
export function toExitCode(outcome: Outcome): number {
  switch (outcome.type) {
    case "exited":
      return toByte(outcome.code);
    case "signaled":
      return toSignalCode(outcome.signal);
    case "returned":
      return 0;
    case "threw":
      return 1;
    case "timed_out":
    case "idle_timed_out":
    case "output_limited":
      return TIMED_OUT;
    case "cancelled":
      return 130;
    case "not_started":
      return outcome.reason.code === "program_not_found" ? 127 : 126;
    case "lost":
      return FAILURE;
  }
}

/** The code for several jobs: that of the first which failed, in the order in which they were named. */
export function toCommonCode(codes: readonly number[]): number {
  return codes.find((code) => code !== 0) ?? 0;
}

/** 128 and the signal's number here, as a shell has it; 128 for one that only the server knows. `name`: with or without SIG. */
export function toSignalCode(name: string): number {
  return 128 + (toSignalNumber(name.startsWith("SIG") ? name : `SIG${name}`) ?? 0);
}

/** What a person must be told of an outcome besides the exit code; undefined if the program has said it all. */
export function explainOutcome(outcome: Outcome, job: string): string | undefined {
  switch (outcome.type) {
    case "exited":
    case "signaled":
    case "returned":
    case "cancelled":
      return undefined;
    case "threw":
      return describeThrown(outcome.error);
    case "timed_out":
      return `Job ${job} was ended: it ran longer than ${formatDuration(outcome.limit)}`;
    case "idle_timed_out":
      return `Job ${job} was ended: it wrote nothing for ${formatDuration(outcome.limit)}`;
    case "output_limited":
      return `Job ${job} was ended: it wrote more than ${outcome.limit} bytes`;
    case "not_started":
      return outcome.reason.message;
    case "lost":
      return `Job ${job} is lost since ${outcome.since}: nobody watched it, so how it ended is unknown`;
  }
}

/** The exit code that says how a call failed: a command of somebody's own that threw, crashed or took too long is no failure of ours. */
export function toFailureCode({ code, details = {} }: Pick<ErrorBody, "code" | "details">): number {
  const { code: own, signal, limit } = details;
  if (code === "threw") return 1;
  if (code === "timed_out" && typeof limit === "number") return TIMED_OUT;
  if (code !== "crashed") return FAILURE;
  if (typeof signal === "string") return toSignalCode(signal);
  return typeof own === "number" && own !== 0 ? toByte(own) : 1;
}

/** What was thrown, with the class that it had where that says something. */
export function describeThrown({ name, message }: Pick<ErrorBody, "name" | "message">): string {
  return name === undefined || message.startsWith(`${name}: `) ? message : `${name}: ${message}`;
}

/** A process has one byte for its code; one that is not zero must not become zero there. */
function toByte(code: number): number {
  return code !== 0 && (code & 0xff) === 0 ? 1 : code & 0xff;
}
