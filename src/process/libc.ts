import { dlopen, ptr } from "bun:ffi";
import { closeSync, fstatSync, readdirSync } from "node:fs";
import { StartError } from "./program.ts";

/** What a pipe of a job's output may hold: more than Linux's 64 KiB, so that program and keeper wait less for each other. */
const PIPE_BYTES = 256 * 1024;

/** Descriptors that no pipe takes, so that whoever has to look at processes or write a record still can. */
const RESERVED_DESCRIPTORS = 16;

/** Descriptors that a program takes at most: six pipes, of which five ends stay, its ledger, and Bun's own for it. */
const PROGRAM_DESCRIPTORS = 16;

/** The few calls of the C library that Bun does not offer. Linux and macOS only. */
export interface Libc {
  /** Whether there are descriptors for another program besides so many; always true where that cannot be told. */
  hasRoom(programs: number): boolean;
  /** A real pipe, both ends closed on exec: `[read end, write end]`. Throws when descriptors run out. */
  pipe(): readonly [number, number];
  /** Bytes that a pipe holds. */
  pending(fd: number): number;
  /**
   * Makes reads of this pipe return at once when there is nothing, and lets it hold more where the system allows that, unless it is to
   * stay small: what a flood brings is then less at a time.
   */
  prepareReading(fd: number, size?: "small"): void;
  /** Sets the soft limit of open descriptors of a process to min(`soft`, its hard limit). Nothing where unsupported. */
  limitDescriptors(pid: number, soft: number): void;
  /** Makes whoever loses his parents among our descendants our child. Nothing where unsupported. */
  adoptOrphans(): void;
  /** Waits for a dead child, so that it is no zombie any more, and answers whether it was one. */
  reap(pid: number): boolean;
}

export function openLibc(): Libc {
  return process.platform === "darwin" ? openDarwin() : openLinux();
}

// Numbers are those of Linux's generic ABI, which x86-64 and arm64 share.
const O_CLOEXEC = 0o2000000;
const O_NONBLOCK = 0o4000;
const F_SETFL = 4;
const F_SETPIPE_SZ = 1031;
const FIONREAD = 0x541b;
const RLIMIT_NOFILE = 7;
const PR_SET_CHILD_SUBREAPER = 36;
const WNOHANG = 1;

function openLinux(): Libc {
  const { symbols } = openLinuxLibrary({
    pipe2: { args: ["ptr", "i32"], returns: "i32" },
    ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
    fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
    prlimit: { args: ["i32", "i32", "ptr", "ptr"], returns: "i32" },
    prctl: { args: ["i32", "u64", "u64", "u64", "u64"], returns: "i32" },
    waitpid: { args: ["i32", "ptr", "i32"], returns: "i32" },
  });
  const ends = new Int32Array(2);
  const held = new Int32Array(1);
  const limits = new BigUint64Array(2);
  symbols.prlimit(0, RLIMIT_NOFILE, null, ptr(limits));
  const last = Number(limits[0]);
  return {
    hasRoom(programs) {
      // Counting them takes a while, and is done only when they may be scarce.
      if (programs * PROGRAM_DESCRIPTORS < last / 2) return true;
      return readdirSync("/proc/self/fd").length + PROGRAM_DESCRIPTORS + RESERVED_DESCRIPTORS < last;
    },
    pipe() {
      if (symbols.pipe2(ptr(ends), O_CLOEXEC) !== 0) throw outOfDescriptors();
      const [read = 0, write = 0] = ends;
      // The lowest that are free are given: those above show that all others are taken.
      if (Math.max(read, write) + RESERVED_DESCRIPTORS < last) return [read, write];
      for (const end of ends) closeSync(end);
      throw outOfDescriptors();
    },
    pending: (fd) => (symbols.ioctl(fd, BigInt(FIONREAD), ptr(held)) === 0 ? (held[0] as number) : 0),
    prepareReading(fd, size) {
      symbols.fcntl(fd, F_SETFL, O_NONBLOCK);
      if (size === undefined) symbols.fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES);
    },
    limitDescriptors(pid, soft) {
      if (symbols.prlimit(pid, RLIMIT_NOFILE, null, ptr(limits)) !== 0) return;
      const hard = limits[1] as bigint;
      limits[0] = hard < BigInt(soft) ? hard : BigInt(soft);
      symbols.prlimit(pid, RLIMIT_NOFILE, ptr(limits), null);
    },
    adoptOrphans: () => void symbols.prctl(PR_SET_CHILD_SUBREAPER, 1n, 0n, 0n, 0n),
    reap: (pid) => symbols.waitpid(pid, null, WNOHANG) === pid,
  };
}

/**
 * On macOS `fcntl` and `ioctl` are variadic, which bun:ffi cannot call on Apple silicon. They are not needed: Bun
 * spawns with POSIX_SPAWN_CLOEXEC_DEFAULT and polls pipes with kqueue, and fstat(2) gives a pipe's fill as its size.
 */
function openDarwin(): Libc {
  const { symbols } = openFirst(["libSystem.B.dylib"], { pipe: { args: ["ptr"], returns: "i32" } });
  const ends = new Int32Array(2);
  return {
    hasRoom: () => true,
    pipe() {
      if (symbols.pipe(ptr(ends)) !== 0) throw outOfDescriptors();
      return [ends[0] as number, ends[1] as number];
    },
    pending: (fd) => fstatSync(fd).size,
    prepareReading() {},
    limitDescriptors() {},
    adoptOrphans() {},
    reap: () => false,
  };
}

function outOfDescriptors(): StartError {
  return new StartError("start_failed", "Cannot create a pipe: no descriptors left (EMFILE)");
}

/** The C library of a Linux, glibc's or musl's. */
export function openLinuxLibrary<const S extends Parameters<typeof dlopen>[1]>(symbols: S) {
  const arch = process.arch === "x64" ? "x86_64" : "aarch64";
  return openFirst(["libc.so.6", `libc.musl-${arch}.so.1`], symbols);
}

function openFirst<const S extends Parameters<typeof dlopen>[1]>(names: readonly string[], symbols: S) {
  const [name = "", ...others] = names;
  try {
    return dlopen(name, symbols);
  } catch (error) {
    if (others.length === 0) throw error;
    return openFirst(others, symbols);
  }
}
