import type { BigIntStats } from "node:fs";
import type { FileStatus, FileType, Owner } from "../../protocol/file.ts";
import type { Names } from "./owners.ts";

/** Bytes of the blocks in which a system counts what a file takes, whatever the file system's own are. */
const BLOCK = 512;

/** What answers what something is: an entry of a directory, or what the system tells of a file. */
export interface Typed {
  isFile(): boolean;
  isDirectory(): boolean;
  isSymbolicLink(): boolean;
  isFIFO(): boolean;
  isSocket(): boolean;
  isBlockDevice(): boolean;
  isCharacterDevice(): boolean;
}

export function toType(typed: Typed): FileType {
  if (typed.isFile()) return "file";
  if (typed.isDirectory()) return "directory";
  if (typed.isSymbolicLink()) return "link";
  if (typed.isFIFO()) return "fifo";
  if (typed.isSocket()) return "socket";
  if (typed.isBlockDevice()) return "block_device";
  return typed.isCharacterDevice() ? "character_device" : "unknown";
}

/** What the system told, as callers are told. */
export function toStatus(stats: BigIntStats, names: Names): FileStatus {
  const type = toType(stats);
  return {
    type,
    size: Number(stats.size),
    links: Number(stats.nlink),
    device: String(stats.dev),
    inode: String(stats.ino),
    modifiedAt: toTime(stats.mtimeMs),
    accessedAt: toTime(stats.atimeMs),
    changedAt: toTime(stats.ctimeMs),
    ...(stats.birthtimeMs > 0n && { createdAt: toTime(stats.birthtimeMs) }),
    ...(type.endsWith("device") && { deviceType: toDeviceType(stats.rdev) }),
    ...(process.platform !== "win32" && toPosix(stats, names)),
  };
}

function toPosix(stats: BigIntStats, names: Names) {
  const mode = Number(stats.mode) & 0o7777;
  const [uid, gid] = [Number(stats.uid), Number(stats.gid)];
  return {
    allocated: Number(stats.blocks) * BLOCK,
    mode: mode.toString(8).padStart(4, "0"),
    permissions: toPermissions(mode),
    owner: toOwner(uid, names.findUser(uid)),
    group: toOwner(gid, names.findGroup(gid)),
  };
}

function toOwner(id: number, name: string | undefined): Owner {
  return name === undefined ? { id } : { id, name };
}

/** A mode as ls(1) writes it: `rwsr-xr-T`. */
export function toPermissions(mode: number): string {
  return [6, 3, 0]
    .map((shift, index) => toTriple(mode >> shift, (mode & (0o4000 >> index)) !== 0, index))
    .join("");
}

/** `special`: set-user-id, set-group-id or sticky, which take the place of the x. */
function toTriple(bits: number, special: boolean, index: number): string {
  const letter = index === 2 ? "t" : "s";
  const plain = bits & 1 ? "x" : "-";
  const last = special ? (bits & 1 ? letter : letter.toUpperCase()) : plain;
  return `${bits & 4 ? "r" : "-"}${bits & 2 ? "w" : "-"}${last}`;
}

/** What a Date cannot hold is written as the nearest that it can. */
function toTime(ms: bigint): string {
  const bound = 8_640_000_000_000_000;
  return new Date(Math.max(-bound, Math.min(bound, Number(ms)))).toISOString();
}

/** Linux packs the two numbers so, in glibc and in musl; macOS has 24 bits of minor. */
function toDeviceType(rdev: bigint): string {
  if (process.platform === "darwin") return `${(rdev >> 24n) & 0xffn}:${rdev & 0xff_ffffn}`;
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xffff_f000n);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffff_ff00n);
  return `${major}:${minor}`;
}
