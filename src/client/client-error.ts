import { AppError, type AppErrorOptions, type ErrorCode } from "../protocol/error.ts";
import { toAppError } from "./attachment.ts";
import type { Session } from "./session.ts";

/** What a session says of a call whose answer it does not know, or cannot read. */
const UNANSWERED: readonly ErrorCode[] = ["outcome_unknown", "protocol_error", "unsupported_version"];

/**
 * What went wrong on this side of a call: it took too long, or the connection, or what came over it, left its answer
 * unknown. What the server says instead is an `AppError` that is none of these.
 */
export class ClientError extends AppError {
  constructor(code: ErrorCode, message: string, options: Omit<AppErrorOptions, "name"> = {}) {
    super(code, message, { ...options, name: "ClientError" });
  }
}

export function toClientError(error: unknown): ClientError {
  if (error instanceof ClientError) return error;
  const { code, message, details } = toAppError(error);
  return new ClientError(code, message, { details, cause: error });
}

/** Settles as `work` does. What the server did not say, nor the signal, it throws as a `ClientError`. */
export async function answered<T>(work: Promise<T>, session: Session, signal?: AbortSignal): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw isAnswer(error, session) || signal?.aborted === true ? error : toClientError(error);
  }
}

/** Whether an error is what the server says of a call, and not that its answer is unknown. */
export function isAnswer(error: unknown, session: Session): error is AppError {
  if (!(error instanceof AppError) || error instanceof ClientError) return false;
  return error !== session.ended.reason && !UNANSWERED.includes(error.code);
}
