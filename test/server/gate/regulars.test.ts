import { describe, expect, test } from "bun:test";
import { HOLD_GRACE } from "../../../src/protocol/limits.ts";
import { Regulars } from "../../../src/server/gate/regulars.ts";

function setup() {
  const clock = { now: 0 };
  return { clock, regulars: new Regulars(() => clock.now) };
}

describe("Regulars", () => {
  test("know an address until the last connection from it is gone for as long as sessions are kept", () => {
    const { clock, regulars } = setup();
    const [first, second] = [regulars.enter("a"), regulars.enter("a")];
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    clock.now += 10 * HOLD_GRACE;
    expect([regulars.has("a"), regulars.has("b")]).toEqual([true, false]);
    second[Symbol.dispose]();
    clock.now += HOLD_GRACE - 1;
    expect(regulars.has("a")).toBe(true);
    clock.now += 1;
    expect(regulars.has("a")).toBe(false);
  });

  test("remember the latest of very many that are gone", () => {
    const { regulars } = setup();
    for (let number = 0; number < 10_000; number++) regulars.enter(String(number))[Symbol.dispose]();
    expect([regulars.has("0"), regulars.has("9999")]).toEqual([false, true]);
  });
});
