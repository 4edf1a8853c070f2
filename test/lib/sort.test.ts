import { expect, test } from "bun:test";
import fc from "fast-check";
import { sortInTurns } from "../../src/lib/sort.ts";

const { signal } = new AbortController();

test("sortInTurns() sorts as Array.sort does, and keeps the order of equals", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(2_000), { maxLength: 20_000, size: "max" }), async (numbers) => {
      const items = numbers.map((number, index) => ({ number, index }));
      const compare = (a: { number: number }, b: { number: number }) => a.number - b.number;
      expect(await sortInTurns(items, compare, signal)).toEqual(items.toSorted(compare));
    }),
    { numRuns: 20 },
  );
});

test("sortInTurns() lets others have their turns, and stops when it is told", async () => {
  const items = Array.from({ length: 300_000 }, (_, index) => (index * 7_919) % 300_007);
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  await sortInTurns(items, (a, b) => a - b, signal);
  clearInterval(timer);
  expect(turns).toBeGreaterThan(5);
  const stop = new AbortController();
  const sorting = sortInTurns(items, (a, b) => a - b, stop.signal);
  stop.abort(new Error("enough"));
  await expect(sorting).rejects.toThrow("enough");
});
