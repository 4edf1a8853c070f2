import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { delimiter } from "node:path";
import { after } from "../../lib/abort.ts";
import type { System } from "../../commands/define.ts";
import { errorCode, findProgram, StartError } from "../../process/program.ts";
import { AppError } from "../../protocol/error.ts";
import type { PowerAction } from "../../protocol/machine.ts";

/** Milliseconds for which a program may take to have the system do it. */
const PATIENCE = 30_000;
/** Milliseconds for which what it said is waited for once it has ended. */
const LAST_WORDS = 500;
/** Characters of what the system says that are passed on. */
const MAX_SAID = 500;
/** Where such programs are besides PATH, which often has no directories of the administrator's. */
const MORE_DIRECTORIES = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin"];

/** What a machine can do with its power. */
export interface PowerFacts {
  readonly system: System;
  /** systemd is its first process. */
  readonly isSystemd: boolean;
  /** What /sys/power/state says that the kernel can do. */
  readonly states: readonly string[];
  /** We may write there. */
  readonly mayWriteState: boolean;
}

/** What this machine can do with its power. */
export function readPowerFacts(): PowerFacts {
  return {
    system: process.platform as System, // Farhand runs on no other
    isSystemd: existsSync("/run/systemd/system"),
    states: readStates(),
    mayWriteState: mayWrite(POWER_STATE),
  };
}

/** Whether the machine can be suspended, as far as that shows without trying. */
export function canSuspend({ system, isSystemd, states, mayWriteState }: PowerFacts): boolean {
  if (system !== "linux") return true;
  return SLEEPS.some((sleep) => states.includes(sleep)) && (isSystemd || mayWriteState);
}

/** Argvs that do it, in the order in which they are tried: the first whose program exists is run. */
export function toCandidates(action: PowerAction, facts: PowerFacts): readonly (readonly string[])[] {
  switch (facts.system) {
    case "darwin":
      return MACOS[action];
    case "win32":
      return WINDOWS[action];
    case "linux":
      return toLinux(action, facts);
  }
}

const MACOS = {
  reboot: [["shutdown", "-r", "now"]],
  shutdown: [["shutdown", "-h", "now"]],
  sleep: [["pmset", "sleepnow"]],
} as const;

const WINDOWS = {
  reboot: [["shutdown.exe", "/r", "/t", "0"]],
  shutdown: [["shutdown.exe", "/s", "/t", "0"]],
  sleep: [["rundll32.exe", "powrprof.dll,SetSuspendState", "0,1,0"]],
} as const;

const POWER_STATE = "/sys/power/state";
/** The kernel's kinds of sleep, the deepest first. */
const SLEEPS = ["mem", "standby", "freeze"];

function toLinux(action: PowerAction, { isSystemd, states }: PowerFacts): readonly (readonly string[])[] {
  // Without a password: nobody is there to be asked for one.
  const systemd = (verb: string) => (isSystemd ? [["systemctl", "--no-ask-password", verb]] : []);
  switch (action) {
    case "reboot":
      return [...systemd("reboot"), ["shutdown", "-r", "now"], ["reboot"]];
    case "shutdown":
      return [...systemd("poweroff"), ["shutdown", "-h", "now"], ["poweroff"]];
    case "sleep": {
      const [sleep = "mem"] = SLEEPS.filter((sleep) => states.includes(sleep));
      return [...systemd("suspend"), ["sh", "-c", `echo ${sleep} > ${POWER_STATE}`]];
    }
  }
}

/** The argv that does it here, with its program's file. `path`: where that is looked for first. Throws `os_error` where there is none. */
export function planPower(
  action: PowerAction,
  facts: PowerFacts,
  path: string | undefined,
): readonly string[] {
  const candidates = toCandidates(action, facts);
  const more = facts.system === "win32" ? [] : MORE_DIRECTORIES;
  const directories = [...(path ? [path] : []), ...more].join(delimiter);
  for (const [name = "", ...rest] of candidates) {
    const file = find(name, directories);
    if (file !== undefined) return [file, ...rest];
  }
  const names = candidates.map(([name]) => name).join(", ");
  throw new AppError("os_error", `Cannot ${action}: this system has none of ${names} (ENOENT)`, {
    details: { os: "ENOENT" },
  });
}

function find(name: string, path: string): string | undefined {
  try {
    return findProgram(name, "/", path);
  } catch (error) {
    if (error instanceof StartError) return undefined;
    throw error;
  }
}

/** Runs such an argv to its end. Throws `os_error` with what it says when it cannot be run, fails, or does not end. */
export async function runPower(
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<void> {
  const child = start(argv, env);
  const said = child.stderr.text();
  await child.exited;
  if (child.exitCode === 0) return;
  const how = child.signalCode === null ? `exit code ${child.exitCode}` : child.signalCode;
  // Somebody whom it left behind may hold its stderr.
  const late = Promise.withResolvers<string>();
  using _limit = after(LAST_WORDS, () => late.resolve(""));
  const why = (await Promise.race([said, late.promise])).replace(/\s+/g, " ").trim().slice(0, MAX_SAID);
  throw new AppError("os_error", `The system refuses: ${argv[0]} ended with ${how}${why && `: ${why}`}`, {
    details: { argv: [...argv], ...(child.exitCode !== null && { exitCode: child.exitCode }) },
  });
}

function start(
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
): Bun.Subprocess<"ignore", "ignore", "pipe"> {
  try {
    return Bun.spawn([...argv], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
      env: { ...env },
      timeout: PATIENCE,
    });
  } catch (error) {
    const os = errorCode(error);
    throw new AppError("os_error", `Cannot run ${argv[0]}: the system refuses to start it (${os})`, {
      details: { os, argv: [...argv] },
      cause: error,
    });
  }
}

function readStates(): readonly string[] {
  try {
    return readFileSync(POWER_STATE, "latin1").trim().split(" ");
  } catch {
    return []; // another system, or a kernel that cannot sleep
  }
}

function mayWrite(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
