import { closeSync, openSync, readdirSync, readSync } from "node:fs";
import type { ProcessIdentity } from "../protocol/job.ts";
import { readBootId } from "./boot.ts";

/**
 * What tells this run of a process from any other of the same pid, on this machine and ever, or undefined when it does not
 * run. Linux counts ticks since the boot, which another process of another boot may share: the boot's id goes before them.
 */
export function findStartTime(pid: number): string | undefined {
  if (process.platform !== "linux") return askSystem(pid);
  const stat = readStat(pid);
  return stat && toStartTime(readBootId(), stat.ticks);
}

function toStartTime(boot: string, ticks: string): string {
  return `${boot}/${ticks}`;
}

export function isAlive({ pid, startTime }: ProcessIdentity): boolean {
  return findStartTime(pid) === startTime;
}

/** Living members of the session that `leader` opened; only itself where the system does not show sessions. */
export function sessionMembers(leader: ProcessIdentity): ProcessIdentity[] {
  if (process.platform !== "linux") return isAlive(leader) ? [leader] : [];
  const boot = readBootId();
  // Those that a reboot ended have nobody left, whoever has their ids now.
  if (!leader.startTime.startsWith(toStartTime(boot, ""))) return [];
  const found = findStartTime(leader.pid);
  // A session's id is not given to a new process while members live, so another leader means that all are gone.
  if (found !== undefined && found !== leader.startTime) return [];
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const stat = readStat(Number(name));
      return stat?.session === leader.pid && stat.state !== "Z"
        ? [{ pid: Number(name), startTime: toStartTime(boot, stat.ticks) }]
        : [];
    });
}

/** Fields 3, 6 and 22 of proc_pid_stat(5). The name in field 2 may hold anything, so fields count from its last ")". */
function readStat(pid: number): { state: string; session: number; ticks: string } | undefined {
  try {
    const text = readStart(`/proc/${pid}/stat`);
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { state: fields[0] ?? "", session: Number(fields[3]), ticks: fields[19] ?? "" };
  } catch {
    return undefined; // it ended meanwhile, or never was
  }
}

/** The first kilobyte of a file, which is more than any process's line has. */
function readStart(path: string): string {
  const fd = openSync(path, "r");
  try {
    const buffer = Buffer.allocUnsafe(1024);
    return buffer.toString("latin1", 0, readSync(fd, buffer));
  } finally {
    closeSync(fd);
  }
}

function askSystem(pid: number): string | undefined {
  const command =
    process.platform === "win32"
      ? ["powershell", "-NoProfile", "-Command", `(Get-Process -Id ${pid}).StartTime.ToFileTimeUtc()`]
      : ["/bin/ps", "-o", "lstart=", "-p", String(pid)];
  const { exitCode, stdout } = Bun.spawnSync(command, { stdin: "ignore", stderr: "ignore" });
  const text = stdout.toString().trim();
  return exitCode === 0 && text !== "" ? text : undefined;
}
