import { expect, test } from "bun:test";
import { parseMoment, parseSizeBounds, toMs } from "../../src/commands/bounds.ts";

test("parseSizeBounds() reads at least, at most and exactly", () => {
  expect(["+10M", "-4k", "512", "+1.5G", "0", "+2KiB", "-1TB"].map(parseSizeBounds)).toEqual([
    { min: 10 * 1024 ** 2 },
    { max: 4_096 },
    { min: 512, max: 512 },
    { min: 1.5 * 1024 ** 3 },
    { min: 0, max: 0 },
    { min: 2_048 },
    { max: 1024 ** 4 },
  ]);
  for (const text of ["", "M", "10X", "+-1", "1e3", "9999999999999T"])
    expect(() => parseSizeBounds(text)).toThrow(RangeError);
});

test("parseMoment() reads how long ago, and dates", () => {
  expect(parseMoment("90m")).toEqual({ type: "ago", ms: 5_400_000 });
  expect(parseMoment("2026-11-01")).toEqual({ type: "at", time: "2026-11-01T00:00:00.000Z" });
  expect(parseMoment("2026-11-01T08:00:00+02:00")).toEqual({ type: "at", time: "2026-11-01T06:00:00.000Z" });
  for (const text of ["", "7", "soon", "2026-13-01"]) expect(() => parseMoment(text)).toThrow(RangeError);
});

test("toMs() counts back from the server's clock", () => {
  expect([
    toMs({ type: "ago", ms: 5 }, 100),
    toMs({ type: "at", time: "1970-01-01T00:00:01Z" }, 100),
  ]).toEqual([95, 1_000]);
});
