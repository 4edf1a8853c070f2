import { AppError, type AppErrorOptions, type ErrorCode } from "../protocol/error.ts";
import { toAppError } from "./attachment.ts";

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
