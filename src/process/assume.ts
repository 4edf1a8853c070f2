import { dlopen, ptr } from "bun:ffi";
import { readdirSync, readFileSync } from "node:fs";
import type { Credentials } from "./credentials.ts";
import { openLinuxLibrary } from "./libc.ts";
import { errorCode } from "./program.ts";

// Linux's numbers, the same on x86-64 and arm64.
const PR_SET_DUMPABLE = 4;
const PR_SET_NO_NEW_PRIVS = 38;
const PR_GET_NO_NEW_PRIVS = 39;
const KEYCTL_GET_KEYRING_ID = 0;
const KEYCTL_JOIN_SESSION_KEYRING = 1;
const KEY_SPEC_SESSION_KEYRING = -3;
const CAPABILITY_VERSION = 0x20080522;
/** Three words for each of two halves of the sets: effective, permitted and inheritable ones. */
const CAPABILITY_WORDS = 6;

/** That we could not become somebody, or not for good. */
export class AssumeError extends Error {
  readonly code = "EPERM";
}

/**
 * Makes this whole process somebody else's, who must not be root, for good: nothing that it does or starts can be root again,
 * also not through a program with the set-user-id bit. Throws an `AssumeError` unless all that can be read back says so, after
 * which this process must do nothing more. Linux and macOS only.
 */
export function assume(credentials: Credentials): void {
  if (process.platform === "darwin") assumeOnDarwin(credentials);
  else assumeOnLinux(credentials);
}

function assumeOnLinux(credentials: Credentials): void {
  const { uid, gid, groups } = credentials;
  const { symbols } = openLinuxLibrary({
    setgroups: { args: ["u64", "ptr"], returns: "i32" },
    setresgid: { args: ["u32", "u32", "u32"], returns: "i32" },
    setresuid: { args: ["u32", "u32", "u32"], returns: "i32" },
    capset: { args: ["ptr", "ptr"], returns: "i32" },
    capget: { args: ["ptr", "ptr"], returns: "i32" },
    prctl: { args: ["i32", "u64", "u64", "u64", "u64"], returns: "i32" },
    syscall: { args: ["i64", "i64", "i64", "i64"], returns: "i64" },
  });
  const keyctl = (operation: number, keyring: number) =>
    symbols.syscall(process.arch === "x64" ? 250 : 219, operation, keyring, 0);
  // Keys of ours are whoever's that has our session's keyring, whatever his user. It is empty from here on, where there is one.
  const hasKeyring = () => keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING) >= 0;
  if (keyctl(KEYCTL_JOIN_SESSION_KEYRING, 0) < 0 && hasKeyring())
    throw new AssumeError("Cannot become another: our keys are left");
  // The library does these for all threads at once; the groups go first, since only root may change them.
  expect("setgroups", symbols.setgroups(BigInt(groups.length), ptr(toList(groups))));
  expect("setresgid", symbols.setresgid(gid, gid, gid));
  expect("setresuid", symbols.setresuid(uid, uid, uid));
  const [header, sets] = [new Uint32Array([CAPABILITY_VERSION, 0]), new Uint32Array(CAPABILITY_WORDS)];
  expect("capset", symbols.capset(ptr(header), ptr(sets)));
  expect("prctl", symbols.prctl(PR_SET_NO_NEW_PRIVS, 1n, 0n, 0n, 0n));
  // Until it becomes a program, nobody of that user may look into this process or stop it.
  expect("prctl", symbols.prctl(PR_SET_DUMPABLE, 0n, 0n, 0n, 0n));
  if (symbols.setresuid(0, 0, 0) === 0) throw new AssumeError("Cannot become another: the way back is open");
  for (const thread of readdirSync("/proc/self/task")) {
    const status = readStatus(thread);
    if (status !== undefined) checkThread(status, credentials);
  }
  // What this thread has is what a program that it starts gets.
  sets.fill(1);
  expect("capget", symbols.capget(ptr(header), ptr(sets)));
  if (sets.some((set) => set !== 0) || symbols.prctl(PR_GET_NO_NEW_PRIVS, 0n, 0n, 0n, 0n) !== 1)
    throw new AssumeError("Cannot become another: rights are left");
}

/** Undefined for a thread that has ended since: one that it made before is what it was. */
function readStatus(thread: string): string | undefined {
  try {
    return readFileSync(`/proc/self/task/${thread}/status`, "latin1");
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes(errorCode(error))) return undefined;
    throw error;
  }
}

function checkThread(status: string, { uid, gid, groups }: Credentials): void {
  const wanted = toSorted(groups).join();
  checkField(status, "Uid", (words) => words.length === 4 && words.every((word) => Number(word) === uid));
  checkField(status, "Gid", (words) => words.length === 4 && words.every((word) => Number(word) === gid));
  checkField(status, "Groups", (words) => toSorted(words.map(Number)).join() === wanted);
  for (const set of ["CapPrm", "CapEff"]) checkField(status, set, (words) => words.every(isNothing));
}

/** A line of /proc/PID/status. What is not told is as bad as what is wrong. */
function checkField(status: string, name: string, isRight: (words: readonly string[]) => boolean): void {
  const [, text] = new RegExp(`^${name}:[ \\t]*(.*)$`, "m").exec(status) ?? [];
  if (text === undefined || !isRight(text.split(/\s+/).filter((word) => word !== "")))
    throw new AssumeError(`Cannot become another: ${name} is ${text ?? "not told"}`);
}

function isNothing(set: string): boolean {
  return /^0+$/.test(set);
}

/** macOS has no capabilities, and forbids no program its set-user-id bit. */
function assumeOnDarwin({ uid, gid, groups }: Credentials): void {
  const { symbols } = dlopen("libSystem.B.dylib", {
    setgroups: { args: ["i32", "ptr"], returns: "i32" },
    setgid: { args: ["u32"], returns: "i32" },
    setuid: { args: ["u32"], returns: "i32" },
    seteuid: { args: ["u32"], returns: "i32" },
  });
  // Its first group is the primary one; more than sixteen it takes none.
  const all = [gid, ...groups.filter((group) => group !== gid)].slice(0, 16);
  expect("setgroups", symbols.setgroups(all.length, ptr(toList(all))));
  expect("setgid", symbols.setgid(gid));
  expect("setuid", symbols.setuid(uid));
  const ids = [process.getuid?.(), process.geteuid?.(), process.getgid?.(), process.getegid?.()];
  if (ids.join() !== [uid, uid, gid, gid].join() || symbols.seteuid(0) === 0)
    throw new AssumeError("Cannot become another: the way back is open");
}

/** An empty one has an address too. */
function toList(ids: readonly number[]): Uint32Array {
  return ids.length === 0 ? new Uint32Array(1) : new Uint32Array(ids);
}

function expect(call: string, result: number): void {
  if (result !== 0) throw new AssumeError(`Cannot become another: ${call} was refused`);
}

function toSorted(ids: readonly number[]): readonly number[] {
  return [...new Set(ids)].toSorted((a, b) => a - b);
}
