import { dlopen } from "bun:ffi";
import { closeSync, openSync } from "node:fs";
import { openLinuxLibrary } from "./libc.ts";
import { claimLock } from "./lock.ts";

/** Milliseconds between two tries to take a lock that another process has. */
const RETRY = 1;

/** A kernel lock that is held for a moment, again and again, at the cost of two system calls. Disposing gives it up for good. */
export interface BriefLock extends Disposable {
  /** Takes it, once whoever has it has let go, for which everything here stands still; undefined where that takes too long. */
  hold(): Disposable | undefined;
}

/** `path`: a file that is made if it is missing, and stays. `patience`: milliseconds. Throws the system's error. */
export function openBriefLock(path: string, patience: number): BriefLock {
  const lock = process.platform === "win32" ? createClaim(path) : openFlock(path);
  return {
    hold() {
      const deadline = performance.now() + patience;
      while (!lock.take()) {
        if (performance.now() > deadline) return undefined;
        pause();
      }
      return { [Symbol.dispose]: () => lock.leave() };
    },
    [Symbol.dispose]: () => lock.close(),
  };
}

interface Lock {
  /** Answers at once whether it has it. */
  take(): boolean;
  leave(): void;
  close(): void;
}

const LOCK_EX_NB = 2 | 4;
const LOCK_UN = 8;

/** flock(2), whose numbers Linux and macOS share. */
function openFlock(path: string): Lock {
  const symbols = { flock: { args: ["i32", "i32"], returns: "i32" } } as const;
  const library =
    process.platform === "darwin" ? dlopen("libSystem.B.dylib", symbols) : openLinuxLibrary(symbols);
  const { flock } = library.symbols;
  const fd = openSync(path, "a", 0o600);
  return {
    take: () => flock(fd, LOCK_EX_NB) === 0,
    leave: () => void flock(fd, LOCK_UN),
    close: () => closeSync(fd),
  };
}

function createClaim(path: string): Lock {
  let claim: Disposable | undefined;
  const leave = () => {
    claim?.[Symbol.dispose]();
    claim = undefined;
  };
  return { take: () => (claim = claimLock(path)) !== undefined, leave, close: leave };
}

function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY);
}
