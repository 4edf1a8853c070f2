import { expect, test } from "bun:test";
import { parseSize } from "../../src/lib/size.ts";

test.each([
  ["0B", 0],
  ["512B", 512],
  ["64KiB", 65_536],
  ["1MiB", 1_048_576],
  ["1.5MiB", 1_572_864],
  ["2GiB", 2_147_483_648],
])("parseSize reads %s as %d bytes", (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test.each(["", "64", "64 KiB", "64KB", "64K", "64kib", "-1B", "1e3B", "KiB", "999999999999999GiB"])(
  "parseSize refuses %p with a sentence that says how to write one",
  (text) => {
    expect(() => parseSize(text)).toThrow(`Cannot read size "${text}": write a number with a unit`);
  },
);
