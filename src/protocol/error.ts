import * as v from "valibot";

/** Every code that an error may carry across the wire or out of the CLI's `--json`. Codes never change meaning. */
export const ErrorCode = v.picklist([
  "internal",
  "invalid_input",
  "unknown_command",
  "not_found",
  "ambiguous",
  "already_exists",
  "unauthenticated",
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
});
export type ErrorBody = v.InferOutput<typeof ErrorBody>;

export interface AppErrorOptions {
  readonly details?: Record<string, unknown>;
  readonly cause?: unknown;
}

/** The only error that crosses the wire. The message is for people; the code is for programs and stable. */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly details: Record<string, unknown> | undefined;

  constructor(code: ErrorCode, message: string, { details, cause }: AppErrorOptions = {}) {
    super(message, { cause });
    this.name = "AppError";
    this.code = code;
    this.details = details;
  }
}

/** What may be shown of an error: an `AppError` as it is, anything else as a fixed sentence that leaks nothing. */
export function toErrorBody(error: unknown): ErrorBody {
  if (!(error instanceof AppError)) {
    return { code: "internal", message: "The server failed unexpectedly: its log says why" };
  }
  const { code, message, details } = error;
  return details === undefined ? { code, message } : { code, message, details };
}

export function fromErrorBody({ code, message, details }: ErrorBody): AppError {
  return new AppError(code, message, details === undefined ? {} : { details });
}
