import { closeSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";
import type { ProcessIdentity } from "../protocol/job.ts";
import { AppError } from "../protocol/error.ts";
import { readBootId } from "./boot.ts";
import { errorCode } from "./program.ts";

/**
 * What tells this run of a process from any other of the same pid, on this machine and ever, or undefined when it does not
 * run. Linux counts ticks since the boot, which another process of another boot may share: the boot's id goes before them.
 */
export function findStartTime(pid: number): string | undefined {
  return process.platform === "linux" ? findStat(pid)?.startTime : askSystem(pid);
}

function toStartTime(boot: string, ticks: string): string {
  return `${boot}/${ticks}`;
}

/** Whether this very process runs, and not another that has its pid by now. */
export function isAlive({ pid, startTime }: ProcessIdentity): boolean {
  return findStartTime(pid) === startTime;
}

/** Whether a process was started since the boot. One that a reboot ended has nobody left, whoever has its ids now. */
export function isOfThisBoot({ startTime }: ProcessIdentity, boot = readBootId()): boolean {
  return process.platform !== "linux" || startTime.startsWith(toStartTime(boot, ""));
}

/** A process as the system lists it. */
export interface ProcessRow extends ProcessIdentity {
  readonly parent: number;
  readonly group: number;
  /** Its group where the system does not show sessions. */
  readonly session: number;
  /** Dead, but not yet waited for by its parent. */
  readonly isZombie: boolean;
}

/** Every process there is. */
export function listProcesses(): ProcessRow[] {
  return finish(walkProcesses());
}

/** The same one by one, each of which may take some ten microseconds. */
export function walkProcesses(): Generator<void, ProcessRow[], void> {
  return process.platform === "linux" ? walkLinux(ask(readBootId)) : walkOthers();
}

function finish<T>(walk: Generator<void, T, void>): T {
  for (;;) {
    const { done, value } = walk.next();
    if (done) return value;
  }
}

// Their systems give the list as a whole.
function* walkOthers(): Generator<void, ProcessRow[], void> {
  return parseProcesses(run(process.platform === "win32" ? POWERSHELL_LIST : PS_LIST) ?? "");
}

/** Pids of our children, orphans too, which go to the first thread; undefined where the kernel has no list of them. */
export function findChildren(): number[] | undefined {
  try {
    const text = readFileSync(`/proc/self/task/${process.pid}/children`, "latin1").trim();
    return text === "" ? [] : text.split(" ").map(Number);
  } catch {
    return undefined;
  }
}

/** Living members of the session that `leader` opened; only itself where the system does not show sessions. */
export function sessionMembers(leader: ProcessIdentity): ProcessIdentity[] {
  if (process.platform !== "linux") return isAlive(leader) ? [leader] : [];
  const boot = readBootId();
  if (!isOfThisBoot(leader, boot)) return [];
  const found = findStartTime(leader.pid);
  // A session's id is not given to a new process while members live, so another leader means that all are gone.
  if (found !== undefined && found !== leader.startTime) return [];
  return finish(walkLinux(boot))
    .filter(({ session, isZombie }) => session === leader.pid && !isZombie)
    .map(({ pid, startTime }) => ({ pid, startTime }));
}

/** Rounds of looking for who was made while others were looked at: more only where processes come and go all the time. */
const MAX_ROUNDS = 5;

/** One that ended before it was looked at may have left a child that was not there when the names were read. */
function* walkLinux(boot: string): Generator<void, ProcessRow[], void> {
  const rows: ProcessRow[] = [];
  const met = new Set<string>();
  for (let round = 0, vanished = 1; vanished > 0 && round < MAX_ROUNDS; round++) {
    vanished = 0;
    for (const name of ask(() => readdirSync("/proc"))) {
      if (met.has(name) || !isPid(name)) continue;
      yield;
      met.add(name);
      try {
        rows.push(readStat(Number(name), boot));
      } catch (error) {
        expectAnswer(error);
        vanished++;
      }
    }
  }
  return rows;
}

function ask<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    expectAnswer(error);
    throw error;
  }
}

function isPid(name: string): boolean {
  return /^\d+$/.test(name);
}

/** What Linux says of a process; undefined when there is none. */
export function findStat(pid: number, boot = readBootId()): ProcessRow | undefined {
  try {
    return readStat(pid, boot);
  } catch {
    return undefined; // it ended meanwhile, or never was
  }
}

/** Fields 3 to 6 and 22 of proc_pid_stat(5). The name in field 2 may hold anything, so fields count from its last ")". */
function readStat(pid: number, boot: string): ProcessRow {
  const text = readStart(`/proc/${pid}/stat`);
  const [state, parent, group, session, ...rest] = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return {
    pid,
    startTime: toStartTime(boot, rest[15] ?? ""),
    parent: Number(parent),
    group: Number(group),
    session: Number(session),
    isZombie: state === "Z" || state === "X",
  };
}

/** Throws `unavailable` for an error that says nothing of a process: there is no descriptor left to look at it. */
export function expectAnswer(error: unknown): void {
  const code = errorCode(error);
  if (code !== "EMFILE" && code !== "ENFILE") return;
  throw new AppError(
    "unavailable",
    `Cannot look at processes: no descriptors left (${code}); end other jobs, or raise the limit (ulimit -n)`,
    { cause: error },
  );
}

/** What ps(1) of macOS and the BSDs says of every process; the start time is the last, since it has spaces. */
const PS_LIST = ["/bin/ps", "-axo", "pid=,ppid=,pgid=,stat=,lstart="];
/** The same of Windows, which knows no groups. */
const POWERSHELL_LIST = toPowershell(
  'Get-CimInstance Win32_Process | % { "$($_.ProcessId) $($_.ParentProcessId) 0 R $($_.CreationDate.ToFileTimeUtc())" }',
);

/** Reads such a list. */
export function parseProcesses(text: string): ProcessRow[] {
  return text.split("\n").flatMap((line) => {
    const [, pid, parent, group, state = "", startTime = ""] =
      /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(.*\S)\s*$/.exec(line) ?? [];
    if (pid === undefined) return [];
    const ids = { pid: Number(pid), parent: Number(parent), group: Number(group), session: Number(group) };
    return [{ ...ids, startTime, isZombie: state.startsWith("Z") }];
  });
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
  return run(
    process.platform === "win32"
      ? toPowershell(`(Get-CimInstance Win32_Process -Filter ProcessId=${pid}).CreationDate.ToFileTimeUtc()`)
      : ["/bin/ps", "-o", "lstart=", "-p", String(pid)],
  )?.trim();
}

function toPowershell(command: string): string[] {
  return ["powershell", "-NoProfile", "-Command", command];
}

/** What a command writes, or undefined when it fails or writes nothing. */
function run(command: string[]): string | undefined {
  const { exitCode, stdout } = Bun.spawnSync(command, { stdin: "ignore", stderr: "ignore" });
  const text = stdout.toString();
  return exitCode === 0 && text.trim() !== "" ? text : undefined;
}
