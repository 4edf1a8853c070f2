import { expect, test } from "bun:test";
import { findByPath, parseStatfs, STATFS_BYTES } from "../../../src/server/files/mounts-darwin.ts";

/** One `struct statfs` as sys/mount.h lays it out. */
function toEntry(path: string, source: string, system: string, flags: number): Buffer {
  const entry = Buffer.alloc(STATFS_BYTES);
  entry.writeUInt32LE(flags, 64);
  entry.write(system, 72);
  entry.write(path, 88, "latin1");
  entry.write(source, 1112);
  return entry;
}

const MOUNTS = Buffer.concat([
  toEntry("/", "/dev/disk3s1s1", "apfs", 0x1 | 0x4000),
  toEntry("/System/Volumes/Data", "/dev/disk3s5", "apfs", 0x4000),
  toEntry("/Volumes/a\xff b", "//guest@nas/share", "smbfs", 0),
]);

test("parseStatfs() reads the structures that getfsstat(2) fills", () => {
  expect(parseStatfs(MOUNTS)).toEqual([
    { path: Buffer.from("/"), source: Buffer.from("/dev/disk3s1s1"), system: "apfs", readOnly: true },
    {
      path: Buffer.from("/System/Volumes/Data"),
      source: Buffer.from("/dev/disk3s5"),
      system: "apfs",
      readOnly: false,
    },
    {
      path: Buffer.from("/Volumes/a\xff b", "latin1"),
      source: Buffer.from("//guest@nas/share"),
      system: "smbfs",
      readOnly: false,
    },
  ]);
  expect(parseStatfs(MOUNTS.subarray(0, STATFS_BYTES + 5))).toHaveLength(1);
});

test("findByPath() takes the nearest mount above a path, by whole names", () => {
  const find = (path: string) =>
    Buffer.from(findByPath(parseStatfs(MOUNTS), Buffer.from(path)).path).toString();
  expect([
    find("/"),
    find("/System/Volumes/Data"),
    find("/System/Volumes/Data/x"),
    find("/System/Volumes/Database"),
  ]).toEqual(["/", "/System/Volumes/Data", "/System/Volumes/Data", "/"]);
});
