import { expect, test } from "bun:test";
import { turn } from "../../../src/lib/abort.ts";
import { Turnstile } from "../../../src/server/auth/turnstile.ts";

test("enter() lets so many in at once, and the next in order as one leaves", async () => {
  const turnstile = new Turnstile(2, 2);
  const entered: number[] = [];
  const enter = async (who: number) => {
    const place = await turnstile.enter();
    entered.push(who);
    return place;
  };
  const [first, second] = [await enter(1), await enter(2)];
  const [third, fourth] = [enter(3), enter(4)];
  await turn();
  expect(entered).toEqual([1, 2]);
  await expect(turnstile.enter()).rejects.toThrow("too many others");
  second[Symbol.dispose]();
  second[Symbol.dispose](); // gives back one place, however often
  await third;
  await turn();
  expect(entered).toEqual([1, 2, 3]);
  first[Symbol.dispose]();
  for (const place of [await third, await fourth]) place[Symbol.dispose]();
  expect(entered).toEqual([1, 2, 3, 4]);
  expect(await enter(5)).toBeDefined();
});
