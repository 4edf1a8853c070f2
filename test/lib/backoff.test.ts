import { expect, test } from "bun:test";
import { backoff } from "../../src/lib/backoff.ts";

function take(count: number, random: () => number): number[] {
  const delays = backoff({ first: 50, cap: 300, random });
  return Array.from({ length: count }, () => delays.next().value);
}

test("backoff() doubles up to its cap", () => {
  expect(take(5, () => 0)).toEqual([50, 100, 200, 300, 300]);
});

test("backoff() takes off up to half of each delay", () => {
  expect(take(3, () => 1)).toEqual([25, 50, 100]);
});
