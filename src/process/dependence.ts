import { writeFileSync } from "node:fs";
import { openLinuxLibrary } from "./libc.ts";

// Linux's number.
const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;

/** We end with whoever started us, whatever we are doing then. `parent`: its pid when we began. Linux only; elsewhere the end of our orders must do. */
export function dieWithParent(parent: number): void {
  if (process.platform !== "linux") return;
  const { symbols } = openLinuxLibrary({
    prctl: { args: ["i32", "u64", "u64", "u64", "u64"], returns: "i32" },
  });
  symbols.prctl(PR_SET_PDEATHSIG, BigInt(SIGKILL), 0n, 0n, 0n);
  if (process.ppid !== parent) process.kill(process.pid, "SIGKILL"); // it was gone before we could say so
}

/** Where memory is short the system ends us, and what we start, before those whom it has no reason to blame. */
export function volunteer(): void {
  if (process.platform !== "linux") return;
  try {
    writeFileSync("/proc/self/oom_score_adj", "900");
  } catch {
    // A /proc that cannot be written to: then it chooses by size.
  }
}
