import { ptr, read } from "bun:ffi";
import { closeSync, constants as files, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { constants } from "node:os";
import * as v from "valibot";
import { Environment } from "../protocol/environment.ts";
import { StartFailure } from "../protocol/outcome.ts";
import { SAID_FD } from "../protocol/said.ts";
import { assume } from "./assume.ts";
import { Credentials } from "./credentials.ts";
import { toSwapped } from "./held-directory.ts";
import { openLinuxLibrary } from "./libc.ts";
import { checkDirectory, errorCode, explainRefusal, findProgram, StartError } from "./program.ts";

/** The descriptors of a launcher behind the program's own: what it is told, and what it tells. */
const ORDER_FD = SAID_FD + 1;
const REPORT_FD = SAID_FD + 2;

/** What a launcher does to itself, and which program it becomes then. */
export const LaunchOrder = v.object({
  file: v.string(),
  argv: v.array(v.string()),
  env: Environment,
  /** The soft limit of descriptors. */
  descriptors: v.number(),
  nice: v.optional(v.number()),
  /** Bytes of address space. */
  memoryBytes: v.optional(v.number()),
  /** Processes and threads besides those that its user has already. */
  processes: v.optional(v.number()),
  /** Files of control groups to join by writing to them. */
  doors: v.array(v.string()),
  /** It keeps the descriptor on which runners say values. */
  speaks: v.optional(v.boolean()),
  /** Its stdin is a terminal, which it is to control. */
  hasTerminal: v.optional(v.boolean()),
  /**
   * Whom it becomes before. `file` is then a name that is looked for as him, in this directory and the environment's PATH:
   * what he may not see, he is not told of.
   */
  user: v.optional(v.object({ ...Credentials.entries, cwd: v.string(), exact: v.boolean() })),
});
export type LaunchOrder = v.InferOutput<typeof LaunchOrder>;

/** What it tells: what it used itself, and why it could not become the program if that is so. */
export const LaunchReport = v.object({
  userMs: v.number(),
  systemMs: v.number(),
  rssBytes: v.number(),
  failure: v.optional(
    v.object({
      step: v.picklist(["nice", "limits", "groups", "terminal", "user", "program"]),
      code: v.string(),
      /** In words, where only it can tell. */
      reason: v.optional(StartFailure),
    }),
  ),
});
export type LaunchReport = v.InferOutput<typeof LaunchReport>;

type Step = NonNullable<LaunchReport["failure"]>["step"];

// Linux's numbers, the same on x86-64 and arm64.
const LAST_SIGNAL = 64;
const SIG_SETMASK = 2;
const F_SETFD = 2;
const FD_CLOEXEC = 1;
const TIOCSCTTY = 0x540en;
const RLIMIT_NPROC = 6;
const RLIMIT_NOFILE = 7;
const RLIMIT_AS = 9;

/**
 * Does what it is ordered and becomes the program, which is thus bound from its first instruction on, has its own argv and
 * environment, and is the process that was started. Returns only if it cannot, which it has reported then. Linux only.
 */
export function launch(): void {
  const order = readOrder();
  if (order === undefined) return;
  const libc = openCalls();
  const report = (failure?: LaunchReport["failure"]) =>
    void writeSync(REPORT_FD, `${JSON.stringify({ ...measure(), failure })}\n`);
  const attempt = (step: Step, act: () => void) => {
    try {
      act();
      return true;
    } catch (error) {
      const reason = error instanceof StartError ? error.reason : undefined;
      report({ step, code: errorCode(error), ...(reason && { reason }) });
      return false;
    }
  };
  const { user } = order;
  let { file } = order;
  let doors: readonly number[] = [];
  if (!attempt("nice", () => order.nice !== undefined && libc.setNice(order.nice))) return;
  // Whoever opened them decides what may be written, on every Linux that matters here.
  if (!attempt("groups", () => (doors = order.doors.map((door) => openSync(door, files.O_WRONLY))))) return;
  if (!attempt("terminal", () => order.hasTerminal && libc.takeTerminal())) return;
  libc.closeOnExecution(order.speaks ? SAID_FD : 2);
  libc.resetSignals();
  if (user !== undefined) {
    if (!attempt("user", () => assume(user))) return;
    if (!attempt("program", () => (file = settleAs(user, order)))) return;
  }
  if (!attempt("limits", () => setLimits(order, libc))) return;
  const execute = libc.prepare({ ...order, file });
  report();
  // The groups come last: what we are is not to count for what the program will be.
  if (!attempt("groups", () => doors.forEach((door) => writeSync(door, "0")))) return;
  attempt("program", () => {
    try {
      execute();
    } catch (error) {
      throw user === undefined ? error : explainRefusal(errorCode(error), order.argv[0] ?? "", file);
    }
  });
}

/** Goes to the directory, and finds the program, both as whom we are by now. Throws a `StartError`. */
function settleAs({ cwd, exact }: NonNullable<LaunchOrder["user"]>, { file, env }: LaunchOrder): string {
  checkDirectory(cwd);
  process.chdir(cwd);
  if (exact && process.cwd() !== cwd) throw toSwapped(cwd);
  return findProgram(file, cwd, env["PATH"]);
}

/** Undefined for whoever runs a launcher by hand. */
function readOrder(): LaunchOrder | undefined {
  try {
    const order = v.parse(LaunchOrder, JSON.parse(readFileSync(ORDER_FD, "utf8")));
    closeSync(ORDER_FD);
    return order;
  } catch {
    return undefined;
  }
}

function measure(): Omit<LaunchReport, "failure"> {
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  return { userMs: userCPUTime / 1_000, systemMs: systemCPUTime / 1_000, rssBytes: maxRSS * 1024 };
}

/** As somebody who is not root too: none is ever raised. */
function setLimits({ descriptors, memoryBytes, processes }: LaunchOrder, libc: Calls): void {
  libc.lowerLimit(RLIMIT_NOFILE, descriptors);
  if (processes !== undefined) libc.setLimit(RLIMIT_NPROC, countOthers() + processes);
  if (memoryBytes !== undefined) libc.setLimit(RLIMIT_AS, memoryBytes);
}

/** Processes and threads of our user besides our own: the system counts them all together. */
function countOthers(): number {
  const uid = String(process.getuid?.());
  let count = 0;
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const status = readStatus(name);
    if (/^Uid:\s+(\d+)/m.exec(status)?.[1] === uid)
      count += Number(/^Threads:\s+(\d+)/m.exec(status)?.[1] ?? 1);
  }
  return count;
}

function readStatus(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/status`, "latin1");
  } catch {
    return ""; // it ended meanwhile
  }
}

interface Calls {
  setNice(nice: number): void;
  setLimit(resource: number, value: number): void;
  /** Sets the soft limit alone, to no more than the hard one. */
  lowerLimit(resource: number, soft: number): void;
  /** Makes stdin the terminal of this session. */
  takeTerminal(): void;
  /** Leaves the program no descriptor behind this one. */
  closeOnExecution(last: number): void;
  /** Bun ignores SIGPIPE for one, and a program that is executed keeps that. */
  resetSignals(): void;
  /** Makes everything ready, and answers what executes the program. */
  prepare(order: LaunchOrder): () => never;
}

function openCalls(): Calls {
  const { symbols } = openLinuxLibrary({
    setpriority: { args: ["i32", "u32", "i32"], returns: "i32" },
    prlimit: { args: ["i32", "i32", "ptr", "ptr"], returns: "i32" },
    signal: { args: ["i32", "ptr"], returns: "ptr" },
    pthread_sigmask: { args: ["i32", "ptr", "ptr"], returns: "i32" },
    fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
    ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
    execve: { args: ["cstring", "ptr", "ptr"], returns: "i32" },
    __errno_location: { args: [], returns: "ptr" },
  });
  // Found beforehand: nothing may come between a call that fails and the look at why.
  const errno = symbols.__errno_location();
  const fail = (): never => {
    const number = errno === null ? 0 : read.i32(errno);
    const [code = `errno ${number}`] = Object.entries(constants.errno).find(([, n]) => n === number) ?? [];
    throw Object.assign(new Error(code), { code });
  };
  const limits = new BigUint64Array(2);
  const setBoth = (resource: number) => {
    if (symbols.prlimit(0, resource, ptr(limits), null) !== 0) fail();
  };
  const readHard = (resource: number): bigint => {
    if (symbols.prlimit(0, resource, null, ptr(limits)) !== 0) fail();
    return limits[1] as bigint;
  };
  return {
    setNice: (nice) => void (symbols.setpriority(0, 0, nice) === 0 || fail()),
    setLimit(resource, value) {
      const hard = readHard(resource);
      limits.fill(hard < BigInt(value) ? hard : BigInt(value));
      setBoth(resource);
    },
    lowerLimit(resource, soft) {
      const hard = readHard(resource);
      limits[0] = hard < BigInt(soft) ? hard : BigInt(soft);
      setBoth(resource);
    },
    takeTerminal: () => void (symbols.ioctl(0, TIOCSCTTY, null) === 0 || fail()),
    resetSignals() {
      for (let signal = 1; signal <= LAST_SIGNAL; signal++) symbols.signal(signal, null);
      symbols.pthread_sigmask(SIG_SETMASK, ptr(new Uint8Array(128)), null);
    },
    closeOnExecution(last) {
      for (const fd of readdirSync("/proc/self/fd").map(Number))
        if (fd > last) symbols.fcntl(fd, F_SETFD, FD_CLOEXEC);
    },
    prepare({ file, argv, env }) {
      const path = toCString(file);
      const words = toVector(argv);
      const variables = toVector(Object.entries(env).map(([name, value]) => `${name}=${value}`));
      return () => {
        symbols.execve(ptr(path), ptr(words.pointers), ptr(variables.pointers));
        return fail();
      };
    },
  };
}

function toCString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}

/** Texts as C has an array of them. They are kept with it: memory that nobody refers to is reused. */
function toVector(texts: readonly string[]): { pointers: BigUint64Array; strings: readonly Uint8Array[] } {
  const strings = texts.map(toCString);
  const pointers = new BigUint64Array([...strings.map((string) => BigInt(ptr(string))), 0n]);
  return { pointers, strings };
}
