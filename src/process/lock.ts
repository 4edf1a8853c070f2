import { Database } from "bun:sqlite";
import { closeSync, openSync } from "node:fs";
import { toErrorCode } from "../lib/error-code.ts";

/**
 * Takes the lock that a file stands for, or answers undefined when another process holds it. It is a kernel lock (an
 * exclusive SQLite transaction), so it ends with its process and can never be stale.
 */
export function claimLock(path: string): Disposable | undefined {
  closeSync(openSync(path, "a", 0o600)); // SQLite would make it as the umask has it
  const database = new Database(path);
  try {
    database.run("PRAGMA journal_mode = MEMORY"); // nothing is ever written, so no journal need lie beside it
    database.run("BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if (toErrorCode(error) === "SQLITE_BUSY") return undefined;
    throw error;
  }
  return { [Symbol.dispose]: () => database.close() };
}
