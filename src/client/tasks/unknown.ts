import { AppError } from "../../protocol/error.ts";

/** Whether the server was restarted before it answered, so that what came of the call must be asked for. */
export function isUnknown(error: unknown): boolean {
  return error instanceof AppError && error.code === "outcome_unknown";
}
