import { expect, test } from "bun:test";
import { Allowance } from "../../../src/server/gate/allowance.ts";

test("Allowance gives so much at once, and gives it back as time passes, but never more", () => {
  const clock = { now: 0 };
  const allowance = new Allowance(10, 1_000, () => clock.now);
  const taken = () => Array.from({ length: 20 }, () => allowance.take()).filter(Boolean).length;
  expect(taken()).toBe(10);
  clock.now += 300;
  expect(taken()).toBe(3);
  clock.now += 1_000_000;
  expect(taken()).toBe(10);
});
