import { expect, test } from "bun:test";
import { Random } from "./random.ts";

const take = (random: Random) => Array.from({ length: 1_000 }, () => random.whole(10));

test("Random gives the same for the same seed, and everything in its range", () => {
  const first = take(new Random(7));
  expect(take(new Random(7))).toEqual(first);
  expect(take(new Random(8))).not.toEqual(first);
  expect([...new Set(first)].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  const { seed } = new Random();
  expect(take(new Random(seed))).toEqual(take(new Random(seed)));
});
