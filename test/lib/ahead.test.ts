import { expect, test } from "bun:test";
import { mapAhead } from "../../src/lib/ahead.ts";

async function* count(to: number, onTaken: () => void = () => {}) {
  for (let number = 0; number < to; number++) {
    onTaken();
    yield number;
  }
}

test("mapAhead() keeps the order, whichever is done first", async () => {
  const waits = Array.from({ length: 20 }, () => Promise.withResolvers<void>());
  const map = async (number: number) => {
    await waits[number]?.promise;
    return number * 2;
  };
  const all = Array.fromAsync(mapAhead(count(20), 20, map));
  for (const { resolve } of waits.toReversed()) resolve();
  expect(await all).toEqual(Array.from({ length: 20 }, (_, index) => index * 2));
});

test("mapAhead() has no more under way than it is told, and takes no more than it needs", async () => {
  let [taken, active, most] = [0, 0, 0];
  const map = async () => {
    most = Math.max(most, ++active);
    await Bun.sleep(1);
    active--;
  };
  const mapped = mapAhead(
    count(100, () => taken++),
    4,
    map,
  );
  await mapped.next();
  expect(taken).toBe(4);
  for await (const _ of mapped);
  expect([taken, most]).toEqual([100, 4]);
});

test("mapAhead() throws what fails when its turn comes", async () => {
  const said: number[] = [];
  const map = async (number: number) => {
    if (number === 2) throw new Error("two");
    return number;
  };
  const run = async () => {
    for await (const number of mapAhead(count(5), 3, map)) said.push(number);
  };
  await expect(run()).rejects.toThrow("two");
  expect(said).toEqual([0, 1]);
});
