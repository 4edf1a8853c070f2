import { dlopen, ptr, read, type Pointer } from "bun:ffi";
import { openLinuxLibrary } from "../../process/libc.ts";

/** A stretch of a file that is no hole. */
export interface Extent {
  readonly start: number;
  readonly end: number;
}

/** Nanoseconds since 1970. */
export interface Times {
  readonly atimeNs: bigint;
  readonly mtimeNs: bigint;
}

/** What of files only the system's own library offers. Each call is one that answers at once. */
export interface Native {
  /** Sets a file's times exactly. Answers whether it did. */
  setTimes(fd: number, times: Times): boolean;
  /** The same of a link itself. */
  setLinkTimes(path: Uint8Array, times: Times): boolean;
  /** Sets the times of what is at a path to now, as whoever may write it may. Answers whether it did. */
  setNow(path: Uint8Array): boolean;
  /** The next data at or after a position; undefined when only a hole follows. */
  findData(fd: number, from: number, size: number): Extent | undefined;
  /** Takes the lock of an open file, which ends with the process. Answers whether nobody else has it. */
  lock(fd: number): boolean;
  /** Renames unless there is something. `unsupported`: neither was done. */
  renameNew(from: Uint8Array, to: Uint8Array): "done" | "exists" | "unsupported";
}

/** Those of this system; undefined on Windows. */
export function openNative(): Native | undefined {
  if (process.platform === "win32") return undefined;
  return process.platform === "darwin" ? openDarwin() : openLinux();
}

const common = {
  futimens: { args: ["i32", "ptr"], returns: "i32" },
  utimensat: { args: ["i32", "ptr", "ptr", "i32"], returns: "i32" },
  lseek: { args: ["i32", "i64", "i32"], returns: "i64" },
  flock: { args: ["i32", "i32"], returns: "i32" },
} as const;

const LOCK_EX_NB = 2 | 4;
const EEXIST = 17;
const ENXIO = 6;

/** Where systems differ in their numbers. */
interface Numbers {
  readonly cwd: number;
  readonly noFollow: number;
  readonly seekData: number;
  readonly seekHole: number;
}

interface Library {
  futimens(fd: number, times: Pointer): number;
  utimensat(directory: number, path: Pointer, times: Pointer | null, flags: number): number;
  lseek(fd: number, offset: bigint, whence: number): bigint;
  flock(fd: number, operation: number): number;
}

function openLinux(): Native {
  // renameat2(2) is younger than the C libraries that we run on: it is called by its number.
  const number = process.arch === "x64" ? 316n : 276n;
  const { symbols } = openLinuxLibrary({
    ...common,
    syscall: { args: ["i64", "i64", "ptr", "i64", "ptr", "i64"], returns: "i64" },
    __errno_location: { args: [], returns: "ptr" },
  });
  const numbers = { cwd: -100, noFollow: 0x100, seekData: 3, seekHole: 4 };
  const errno = () => read.i32(symbols.__errno_location() as Pointer, 0);
  const cwd = BigInt(numbers.cwd);
  return {
    ...toCommon(symbols, numbers, errno),
    renameNew: (from, to) =>
      toRenamed(
        symbols.syscall(number, cwd, ptr(toCString(from)), cwd, ptr(toCString(to)), 1n) === 0n,
        errno,
      ),
  };
}

function openDarwin(): Native {
  const { symbols } = dlopen("libSystem.B.dylib", {
    ...common,
    renamex_np: { args: ["ptr", "ptr", "u32"], returns: "i32" },
    __error: { args: [], returns: "ptr" },
  });
  const numbers = { cwd: -2, noFollow: 0x20, seekData: 4, seekHole: 3 };
  const errno = () => read.i32(symbols.__error() as Pointer, 0);
  const exclusively = 4;
  return {
    ...toCommon(symbols, numbers, errno),
    renameNew: (from, to) =>
      toRenamed(symbols.renamex_np(ptr(toCString(from)), ptr(toCString(to)), exclusively) === 0, errno),
  };
}

function toCommon(library: Library, { cwd, noFollow, seekData, seekHole }: Numbers, errno: () => number) {
  const seek = (fd: number, from: number, whence: number) => Number(library.lseek(fd, BigInt(from), whence));
  return {
    setTimes: (fd: number, times: Times) => library.futimens(fd, ptr(toTimes(times))) === 0,
    setLinkTimes: (path: Uint8Array, times: Times) =>
      library.utimensat(cwd, ptr(toCString(path)), ptr(toTimes(times)), noFollow) === 0,
    setNow: (path: Uint8Array) => library.utimensat(cwd, ptr(toCString(path)), null, noFollow) === 0,
    findData(fd: number, from: number, size: number): Extent | undefined {
      const start = seek(fd, from, seekData);
      if (start < 0) return errno() === ENXIO ? undefined : { start: from, end: size };
      const end = seek(fd, start, seekHole);
      return { start, end: end < 0 ? size : end };
    },
    lock: (fd: number) => library.flock(fd, LOCK_EX_NB) === 0,
  };
}

function toRenamed(isDone: boolean, errno: () => number): ReturnType<Native["renameNew"]> {
  if (isDone) return "done";
  return errno() === EEXIST ? "exists" : "unsupported";
}

/** Two of `struct timespec`. */
function toTimes({ atimeNs, mtimeNs }: Times): BigInt64Array {
  return new BigInt64Array([atimeNs, mtimeNs].flatMap(toTimespec));
}

function toTimespec(ns: bigint): [bigint, bigint] {
  const rest = ((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  return [(ns - rest) / 1_000_000_000n, rest];
}

function toCString(path: Uint8Array): Buffer {
  return Buffer.concat([path, Buffer.of(0)]);
}
