import { AppError } from "../../protocol/error.ts";

/** What is told where a server refused a call about tasks: one that knows none is too old. Any other error as it is. */
export function explainSkew(error: unknown): unknown {
  if (!(error instanceof AppError) || error.code !== "unknown_command") return error;
  return new AppError(
    "unsupported_version",
    "Cannot use tasks: this server is too old to know them; upgrade it",
    { cause: error },
  );
}
