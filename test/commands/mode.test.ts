import { expect, test } from "bun:test";
import * as v from "valibot";
import { Mode, toModeNumber } from "../../src/commands/mode.ts";

test("a mode is a number, or octal digits", () => {
  for (const [given, meant] of [
    ["0755", 0o755],
    ["644", 0o644],
    ["0o600", 0o600],
    ["04755", 0o4755],
    ["0", 0],
    [0o755, 0o755],
  ] as const)
    expect(toModeNumber(v.parse(Mode, given))).toBe(meant);
  expect(toModeNumber(undefined)).toBeUndefined();
});

test("anything else is no mode", () => {
  for (const given of ["", "0888", "070000", "u+x", "-1", " 755", 0o10000, -1, 1.5])
    expect(v.safeParse(Mode, given).issues?.[0].message).toBe("is no mode: write octal digits, such as 0755");
});
