import { dlopen, ptr } from "bun:ffi";
import { realpath } from "node:fs/promises";
import type { Mount } from "../../commands/access/mounts.ts";
import type { MountTable } from "./mounts.ts";

/** Do not wait for file systems that do not answer: what the kernel knows of them will do (sys/mount.h). */
const MNT_NOWAIT = 2;
const MNT_RDONLY = 1;

/** `struct statfs` of sys/mount.h with 64-bit inodes: bytes of all of it, and where its fields are. */
export const STATFS_BYTES = 2168;
const FLAGS = 64;
const SYSTEM = { at: 72, bytes: 16 };
const PATH = { at: 88, bytes: 1024 };
const SOURCE = { at: 1112, bytes: 1024 };

/** Mounts beyond those that were counted, which may come meanwhile. */
const SPARE = 8;

/** macOS: getfsstat(2), which on Intel has the old, narrow structure under the plain name. */
export function openDarwinMounts(): MountTable {
  const name = process.arch === "x64" ? "getfsstat$INODE64" : "getfsstat";
  const { symbols } = dlopen("libSystem.B.dylib", {
    [name]: { args: ["ptr", "i32", "i32"], returns: "i32" },
  });
  const getfsstat = symbols[name] as unknown as (target: unknown, bytes: number, flags: number) => number;
  const list = async () => {
    const buffer = new Uint8Array((getfsstat(null, 0, MNT_NOWAIT) + SPARE) * STATFS_BYTES);
    const count = getfsstat(ptr(buffer), buffer.length, MNT_NOWAIT);
    return parseStatfs(buffer.subarray(0, Math.max(0, count) * STATFS_BYTES));
  };
  return { list, find: async (absolute) => findByPath(await list(), await realpath(absolute, "buffer")) };
}

/** Reads an array of `struct statfs`. */
export function parseStatfs(bytes: Uint8Array): readonly Mount[] {
  const mounts: Mount[] = [];
  for (let at = 0; at + STATFS_BYTES <= bytes.length; at += STATFS_BYTES) {
    const entry = Buffer.from(bytes.subarray(at, at + STATFS_BYTES));
    mounts.push({
      path: readText(entry, PATH),
      source: readText(entry, SOURCE),
      system: readText(entry, SYSTEM).toString(),
      readOnly: (entry.readUInt32LE(FLAGS) & MNT_RDONLY) !== 0,
    });
  }
  return mounts;
}

/** The mount whose place is the longest that a real path begins with. */
export function findByPath(mounts: readonly Mount[], path: Uint8Array): Mount {
  const holding = mounts.filter((mount) => isWithin(Buffer.from(path), Buffer.from(mount.path)));
  const [mount] = holding.toSorted((a, b) => b.path.length - a.path.length);
  if (mount !== undefined) return mount;
  throw Object.assign(new Error("No mount holds it"), { code: "ENODEV" });
}

function isWithin(path: Buffer, directory: Buffer): boolean {
  if (path.equals(directory)) return true;
  const prefix = directory.at(-1) === 0x2f ? directory : Buffer.concat([directory, Buffer.from("/")]);
  return path.subarray(0, prefix.length).equals(prefix);
}

function readText(entry: Buffer, { at, bytes }: { readonly at: number; readonly bytes: number }): Buffer {
  const field = entry.subarray(at, at + bytes);
  const end = field.indexOf(0);
  return Buffer.from(end < 0 ? field : field.subarray(0, end));
}
