import { toErrorCode } from "./error-code.ts";

/** Whether an error of the file system or of SQLite is one that ends when somebody makes room. */
export function isDiskFull(error: unknown): boolean {
  return ["ENOSPC", "EDQUOT", "SQLITE_FULL"].includes(toErrorCode(error) ?? "");
}
