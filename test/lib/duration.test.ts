import { expect, test } from "bun:test";
import { formatDuration, parseDuration } from "../../src/lib/duration.ts";

test.each([
  ["0s", 0],
  ["500ms", 500],
  ["5s", 5_000],
  ["1.5s", 1_500],
  ["2m", 120_000],
  ["0.1m", 6_000],
  ["1h", 3_600_000],
  ["7d", 604_800_000],
])("parseDuration reads %s as %d ms", (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});

test.each([
  "",
  "5",
  "5 s",
  " 5s",
  "5s ",
  "-5s",
  "+5s",
  ".5s",
  "5.s",
  "1e3s",
  "5S",
  "5sec",
  "1h30m",
  "s",
  "NaNs",
])("parseDuration refuses %p with a sentence that says how to write one", (text) => {
  expect(() => parseDuration(text)).toThrow(`Cannot read duration "${text}": write a number with a unit`);
});

test("parseDuration refuses what no number can count", () => {
  expect(() => parseDuration("999999999999999d")).toThrow(RangeError);
});

test.each([
  [0, "0 ms"],
  [850, "850 ms"],
  [999.4, "999 ms"],
  [1_000, "1 s"],
  [12_400, "12.4 s"],
  [60_000, "1 m"],
  [200_000, "3 m 20 s"],
  [7_500_000, "2 h 5 m"],
  [3_600_000, "1 h"],
  [608_400_000, "7 d 1 h"],
])("formatDuration writes %d ms as %s", (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});

test.each([
  [999.7, "1 s"],
  [59_960, "1 m"],
])("formatDuration rounds %d ms up into the next unit: %s", (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});
