import { writeFileSync } from "node:fs";

/** How this process is called by ps and pgrep, 15 bytes at most: run by way of /proc/self/exe it would be `exe`. */
export function nameProcess(name: string): void {
  if (process.platform !== "linux") return;
  try {
    writeFileSync("/proc/self/comm", name);
  } catch {
    // A /proc that cannot be written to: it is called as it was run.
  }
}
