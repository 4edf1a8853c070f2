import { expect, test } from "bun:test";
import { isUncaught, Uncaught } from "../../src/runner/uncaught.ts";

test("Uncaught ends the call that is under way, with whatever was thrown, and no other", () => {
  const uncaught = new Uncaught();
  expect(uncaught.raise(1)).toBe(false);
  const first = uncaught.watch();
  expect(uncaught.raise(undefined)).toBe(true);
  expect(first.signal.reason).toMatchObject({ thrown: undefined });
  const second = uncaught.watch();
  first[Symbol.dispose](); // it is over later than another began
  expect(second.signal.aborted).toBe(false);
  expect(uncaught.raise("two")).toBe(true);
  expect(isUncaught(second.signal.reason) && second.signal.reason.thrown).toBe("two");
  second[Symbol.dispose]();
  expect(uncaught.raise(3)).toBe(false);
});
