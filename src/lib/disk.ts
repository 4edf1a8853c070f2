/** Whether an error of the file system or of SQLite is one that ends when somebody makes room. */
export function isDiskFull(error: unknown): boolean {
  if (!(error instanceof Error && "code" in error)) return false;
  return error.code === "ENOSPC" || error.code === "EDQUOT" || error.code === "SQLITE_FULL";
}
