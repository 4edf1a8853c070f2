import * as v from "valibot";
import { FileName } from "./path.ts";

/** What something in a directory is. */
export const FileType = v.picklist([
  "file",
  "directory",
  "link",
  "fifo",
  "socket",
  "block_device",
  "character_device",
  "unknown",
]);
export type FileType = v.InferOutput<typeof FileType>;

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const time = v.pipe(v.string(), v.isoTimestamp());

/** A user or a group: its number, and its name where the machine knows one. */
export const Owner = v.object({ id: count, name: v.optional(v.string()) });
export type Owner = v.InferOutput<typeof Owner>;

/** All that a system tells of a file. Windows knows no modes and no owners. */
export const FileStatus = v.object({
  type: FileType,
  /** Bytes. */
  size: count,
  /** Bytes on the disk, fewer than `size` where the file has holes. */
  allocated: v.optional(count),
  /** Octal: `0644`. */
  mode: v.optional(v.string()),
  /** The same as `rw-r--r--`. */
  permissions: v.optional(v.string()),
  links: count,
  owner: v.optional(Owner),
  group: v.optional(Owner),
  /** Of the file system, and within it: decimal, since they may have 64 bits. */
  device: v.string(),
  inode: v.string(),
  /** Of a device: `major:minor`. */
  deviceType: v.optional(v.string()),
  modifiedAt: time,
  accessedAt: time,
  /** When its name, mode or owner last changed, or what it holds. */
  changedAt: time,
  /** Absent where the file system does not keep it. */
  createdAt: v.optional(time),
  /** What a link says. */
  target: v.optional(FileName),
});
export type FileStatus = v.InferOutput<typeof FileStatus>;
