import { test } from "bun:test";

/** `test` where the condition is met; elsewhere it skips, and says why. */
export function testIf(isMet: boolean, otherwise: string): typeof test {
  if (!isMet) console.warn(`Not tested here: ${otherwise}`);
  return test.skipIf(!isMet) as typeof test;
}
