import { readFileSync } from "node:fs";
import { uptime } from "node:os";

/** A name for this run of the machine: it differs after a reboot. */
export function readBootId(): string {
  switch (process.platform) {
    case "linux":
      return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    case "darwin":
      return Bun.spawnSync(["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]).stdout.toString().trim();
    default:
      // Windows names no boot; the minute in which it happened will do, and only a clock set by hand moves it.
      return `boot-${Math.round((Date.now() / 1_000 - uptime()) / 60)}`;
  }
}
