import { expect, test } from "bun:test";
import fc from "fast-check";
import { sortTexts } from "../../src/lib/sort.ts";

const { signal } = new AbortController();

test("sortTexts() sorts by code units, however many there are", async () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", "\0", "\xff", "Z"), maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(text, { maxLength: 500 }),
      fc.integer({ min: 1, max: 120 }),
      async (texts, times) => {
        const many = Array.from({ length: times }, (_, index) =>
          texts.map((text) => `${text}${index}`),
        ).flat();
        expect(await sortTexts(many, signal)).toEqual(many.toSorted());
      },
    ),
    { numRuns: 60 },
  );
});

test("sortTexts() lets others have their turns, and stops when it is told", async () => {
  const texts = Array.from({ length: 300_000 }, (_, index) => String((index * 7_919) % 300_007));
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  await sortTexts(texts, signal);
  clearInterval(timer);
  expect(turns).toBeGreaterThan(5);
  const stop = new AbortController();
  const sorting = sortTexts(texts, stop.signal);
  stop.abort(new Error("enough"));
  await expect(sorting).rejects.toThrow("enough");
});
