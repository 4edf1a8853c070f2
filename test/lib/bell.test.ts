import { expect, test } from "bun:test";
import { Bell } from "../../src/lib/bell.ts";

test("Bell wakes everybody who waited before it rang, and nobody who waits after", async () => {
  const bell = new Bell();
  const woken: string[] = [];
  const wait = (name: string) => bell.wait().then(() => woken.push(name));
  const before = [wait("one"), wait("other")];
  bell.ring();
  const after = wait("late");
  await Promise.all(before);
  await Promise.resolve();
  expect(woken).toEqual(["one", "other"]);
  bell.ring();
  await after;
  expect(woken).toEqual(["one", "other", "late"]);
});

test("Bell that rings for nobody is forgotten", async () => {
  const bell = new Bell();
  bell.ring();
  let isWoken = false;
  const waiting = bell.wait().then(() => (isWoken = true));
  await new Promise((resolve) => setImmediate(resolve));
  expect(isWoken).toBe(false);
  bell.ring();
  await waiting;
});
