import { expect, test } from "bun:test";
import { toDrives, toRoot } from "../../../src/server/files/mounts-windows.ts";

test("toDrives() reads the mask that GetLogicalDrives answers", () => {
  expect(toDrives(0b1101)).toEqual(["A:\\", "C:\\", "D:\\"]);
  expect(toDrives(0)).toEqual([]);
  expect(toDrives(2 ** 25)).toEqual(["Z:\\"]);
});

test("toRoot() answers the drive or the share of a path", () => {
  expect([toRoot(Buffer.from("C:\\a\\b")), toRoot(Buffer.from("\\\\server\\share\\a"))]).toEqual([
    "C:\\",
    "\\\\server\\share\\",
  ]);
});
