import { closeSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";
import { readBootId } from "../../process/boot.ts";
import { findMarks } from "../../process/census.ts";
import { expectAnswer } from "../../process/identity.ts";
import type { ProcessState } from "../../protocol/machine.ts";
import { fromBytes, toFileName } from "../../protocol/path.ts";
import type { PasswdEntry } from "../passwd.ts";
import type { FoundProcess } from "./processes.ts";

/** Bytes of a command line that are shown: an event has room for them whatever they are. */
const MAX_LINE_BYTES = 16 * 1024;
/** Ticks in a second, which Linux tells all programs to be so many. */
const TICKS = 100;
const NO_BYTES = Buffer.alloc(0);

const STATES: Readonly<Record<string, ProcessState>> = {
  R: "running",
  S: "sleeping",
  D: "blocked",
  T: "stopped",
  t: "stopped",
  Z: "zombie",
  X: "zombie",
  I: "idle",
};

/** What /proc/PID/stat says of a process. */
export interface Stat {
  /** Bytes that may be anything. */
  readonly name: Uint8Array;
  readonly state: ProcessState;
  readonly parent: number;
  readonly session: number;
  readonly cpuMs: number;
  /** Ticks from the boot to its start, as it is written. */
  readonly start: string;
}

/** What /proc/PID/status says besides. */
export interface Status {
  /** The effective one. */
  readonly uid: number;
  readonly rssBytes: number;
}

/** Every process that /proc shows, in the order of their numbers; one that ends meanwhile is passed over. */
export function* walkLinux(
  users: ReadonlyMap<number, PasswdEntry>,
): Generator<FoundProcess | undefined, void, void> {
  const boot = readBootId();
  const bootTime = parseBootTime(readFileSync("/proc/stat", "latin1"));
  const names = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  for (const pid of names.map(Number).sort((a, b) => a - b)) yield find(pid, { boot, bootTime, users });
}

interface Surroundings {
  readonly boot: string;
  /** ms since 1970. */
  readonly bootTime: number;
  readonly users: ReadonlyMap<number, PasswdEntry>;
}

function find(pid: number, { boot, bootTime, users }: Surroundings): FoundProcess | undefined {
  try {
    const { start, ...stat } = parseStat(readHead(`/proc/${pid}/stat`, 4096));
    const { uid, rssBytes } = parseStatus(readHead(`/proc/${pid}/status`, 8192).toString("latin1"));
    const line = readHead(`/proc/${pid}/cmdline`, MAX_LINE_BYTES);
    return {
      pid,
      ppid: stat.parent,
      user: users.get(uid)?.name ?? String(uid),
      uid,
      state: stat.state,
      cpuMs: stat.cpuMs,
      startedAt: new Date(bootTime + (Number(start) * 1_000) / TICKS).toISOString(),
      rssBytes,
      ...toFileName(stat.name),
      argv: parseCommandLine(line),
      ...(line.length === MAX_LINE_BYTES && { isCut: true as const }),
      session: stat.session,
      startTime: `${boot}/${start}`,
      marks: findMarks(pid),
    };
  } catch (error) {
    expectAnswer(error);
    return undefined; // it ended meanwhile
  }
}

/** Fields 2 to 22 of proc_pid_stat(5). The name in field 2 may hold anything, so fields count from its last ")". */
export function parseStat(bytes: Uint8Array): Stat {
  const end = bytes.lastIndexOf(0x29);
  const [state = "", parent, , session, ...rest] = Buffer.from(bytes.subarray(end + 2))
    .toString("latin1")
    .split(" ");
  return {
    name: bytes.subarray(bytes.indexOf(0x28) + 1, end),
    state: STATES[state] ?? "unknown",
    parent: Number(parent),
    session: Number(session),
    cpuMs: ((Number(rest[7]) + Number(rest[8])) * 1_000) / TICKS,
    start: rest[15] ?? "",
  };
}

/** A part of the kernel has no memory of its own. */
export function parseStatus(text: string): Status {
  const [, uid = "0"] = /^Uid:\s+\d+\s+(\d+)/m.exec(text) ?? [];
  const [, kilobytes = "0"] = /^VmRSS:\s+(\d+) kB/m.exec(text) ?? [];
  return { uid: Number(uid), rssBytes: Number(kilobytes) * 1024 };
}

/** The words of /proc/PID/cmdline, each of which a NUL ends. Some programs write over them, and end with several. */
export function parseCommandLine(bytes: Uint8Array): FoundProcess["argv"] {
  const end = bytes.findLastIndex((byte) => byte !== 0);
  const words: FoundProcess["argv"] = [];
  for (let start = 0; start <= end;) {
    const found = bytes.indexOf(0, start);
    const next = found < 0 ? bytes.length : found;
    words.push(fromBytes(bytes.subarray(start, next)));
    start = next + 1;
  }
  return words;
}

/** When the machine was started, as ms since 1970: a line of /proc/stat. */
export function parseBootTime(text: string): number {
  return Number(/^btime (\d+)$/m.exec(text)?.[1] ?? 0) * 1_000;
}

/** The first bytes of a file whose size is not known before; fewer where it has no more. */
function readHead(path: string, bytes: number): Buffer {
  const fd = openSync(path, "r");
  try {
    const buffer = Buffer.allocUnsafe(bytes);
    const length = readSync(fd, buffer);
    return length === 0 ? NO_BYTES : buffer.subarray(0, length);
  } finally {
    closeSync(fd);
  }
}
