import { expect, test } from "bun:test";
import { Later } from "../../src/lib/later.ts";

test("a Later begins when somebody waits for it, and once", async () => {
  let begun = 0;
  const later = new Later(async () => ++begun);
  await Promise.resolve();
  expect(begun).toBe(0);
  expect(await Promise.all([later, later.then((n) => n), later.finally(() => {})])).toEqual([1, 1, 1]);
  expect(await Promise.race([later])).toBe(1);
});

test("a Later that fails and is never waited for is no unhandled rejection; whoever waits is told", async () => {
  const failing = async () => {
    throw new Error("no");
  };
  new Later(failing);
  expect(await new Later(failing).catch((error: unknown) => String(error))).toBe("Error: no");
});
