import { AppError } from "../protocol/error.ts";

/** Whether something is no more than that one path is refused: by the system, or since its caller may not go there. */
export function isRefusal(error: unknown): error is AppError {
  return error instanceof AppError && (error.code === "os_error" || error.code === "forbidden");
}
