import * as v from "valibot";

/** Every code that an error may carry across the wire or out of the CLI's `--json`. Codes never change meaning. */
export const ErrorCode = v.picklist([
  "internal",
  "invalid_input",
  "unknown_command",
  "not_found",
  "ambiguous",
  "already_exists",
  "already_started",
  "unauthenticated",
  "untrusted",
  "forbidden",
  "too_many",
  "input_closed",
  "not_running",
  "still_running",
  "unavailable",
  "cancelled",
  "os_error",
  "connection_refused",
  "connection_lost",
  "peer_lost",
  "timed_out",
  "timeout",
  "listener_timeout",
  "job_failed",
  "threw",
  "crashed",
  "no_response",
  "not_started",
  "queue_full",
  "invalid_module",
  "unknown_module",
  "outcome_unknown",
  "key_conflict",
  "session_replaced",
  "incomplete_output",
  "protocol_error",
  "sequence_gap",
  "unsupported_version",
  "shutting_down",
  "state_in_use",
  "state_unusable",
  "invalid_config",
]);
export type ErrorCode = v.InferOutput<typeof ErrorCode>;

export const ErrorBody = v.object({
  code: ErrorCode,
  message: v.string(),
  details: v.optional(v.record(v.string(), v.unknown())),
  /** The class of an error that a program of the user's threw. */
  name: v.optional(v.string()),
});
export type ErrorBody = v.InferOutput<typeof ErrorBody>;

export interface AppErrorOptions {
  readonly details?: Record<string, unknown> | undefined;
  readonly cause?: unknown;
  /** The class that it had where it was thrown (default: ours). */
  readonly name?: string | undefined;
}

const NAME = "AppError";

/** The only error that crosses the wire. The message is for people; the code is for programs and stable. */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly details: Record<string, unknown> | undefined;

  constructor(code: ErrorCode, message: string, { details, cause, name = NAME }: AppErrorOptions = {}) {
    super(message, { cause });
    this.name = name;
    this.code = code;
    this.details = details;
  }
}

/** What may be shown of an error: an `AppError` as it is, anything else as a fixed sentence that leaks nothing. */
export function toErrorBody(error: unknown): ErrorBody {
  if (!(error instanceof AppError)) {
    return { code: "internal", message: "The server failed unexpectedly: its log says why" };
  }
  const { code, message, details, name } = error;
  return { code, message, ...(details && { details }), ...(name !== NAME && { name }) };
}

export function fromErrorBody({ code, message, details, name }: ErrorBody): AppError {
  return new AppError(code, message, { details, name });
}
