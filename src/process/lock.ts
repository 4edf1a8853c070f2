import { Database } from "bun:sqlite";

/**
 * Takes the lock that a file stands for, or answers undefined when another process holds it. It is a kernel lock (an
 * exclusive SQLite transaction), so it ends with its process and can never be stale.
 */
export function claimLock(path: string): Disposable | undefined {
  const database = new Database(path, { create: true });
  try {
    keepClean(database);
    database.run("BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if (isBusy(error)) return undefined;
    throw error;
  }
  return { [Symbol.dispose]: () => database.close() };
}

/** A lock of the same kind that is held for a moment, again and again. Disposing it gives it up for good. */
export interface MomentaryLock extends Disposable {
  /** Takes it, once whoever has it has let go; undefined where that takes too long. */
  hold(): Disposable | undefined;
}

/** `patience`: milliseconds for which everything here stands still while another process holds it. */
export function openMomentaryLock(path: string, patience: number): MomentaryLock {
  const database = new Database(path, { create: true });
  database.run(`PRAGMA busy_timeout = ${patience}`);
  let isClean = false;
  return {
    hold() {
      try {
        if (!isClean) keepClean(database);
        isClean = true;
        database.query("BEGIN EXCLUSIVE").run();
      } catch (error) {
        if (isBusy(error)) return undefined;
        throw error;
      }
      return { [Symbol.dispose]: () => void database.query("COMMIT").run() };
    },
    [Symbol.dispose]: () => database.close(),
  };
}

/** Nothing is ever written, so no journal need lie beside it. Another's lock is in the way of even that. */
function keepClean(database: Database): void {
  database.run("PRAGMA journal_mode = MEMORY");
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "SQLITE_BUSY";
}
