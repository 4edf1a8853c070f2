import { expect, test } from "bun:test";
import { formatSize, parseSize } from "../../src/lib/size.ts";

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

test.each([
  [0, "0 B"],
  [312, "312 B"],
  [1_023, "1023 B"],
  [1_024, "1 KiB"],
  [65_536, "64 KiB"],
  [1_572_864, "1.5 MiB"],
  [10 * 1024 ** 4, "10240 GiB"],
])("formatSize writes %d bytes as %s", (bytes, text) => {
  expect(formatSize(bytes)).toBe(text);
});

test("formatSize rounds up into the next unit rather than write 1024 of one", () => {
  expect(formatSize(1024 ** 2 - 1)).toBe("1 MiB");
});
