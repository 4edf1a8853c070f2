import { describe, expect, test } from "bun:test";
import { MAX_SOURCES, Penalties } from "../../../src/server/gate/penalties.ts";

function setup() {
  const clock = { now: 1_000_000 };
  const enforced: string[] = [];
  const penalties = new Penalties(
    () => clock.now,
    (source) => void enforced.push(source),
  );
  const fail = (source: string, times = 1) => {
    for (let time = 0; time < times; time++) penalties.add(source, "failed", crypto.randomUUID());
  };
  return { clock, enforced, penalties, fail };
}

describe("Penalties", () => {
  test("refuse nobody for one mistake or two", () => {
    const { penalties, fail } = setup();
    fail("a", 2);
    expect(penalties.left("a")).toBe(0);
  });

  test("refuse a source from the fifteenth second on, and tell of it once; others are not concerned", () => {
    const { penalties, fail, enforced } = setup();
    fail("a", 3);
    expect([penalties.left("a"), penalties.left("b")]).toEqual([15_000, 0]);
    fail("a");
    expect([penalties.left("a"), enforced]).toEqual([20_000, ["a"]]);
  });

  test("refuse until nothing is left, also when less than fifteen seconds are", () => {
    const { penalties, fail, clock } = setup();
    fail("a", 3);
    clock.now += 14_999;
    expect(penalties.left("a")).toBe(1);
    clock.now += 1;
    expect([penalties.left("a"), penalties.size]).toEqual([0, 0]);
    fail("a");
    expect(penalties.left("a")).toBe(0);
  });

  test("pass with time, so that a mistake now and then never adds up", () => {
    const { penalties, fail, clock } = setup();
    for (let round = 0; round < 100; round++) {
      fail("a");
      expect(penalties.left("a")).toBe(0);
      clock.now += 5_000;
    }
  });

  test("never grow beyond ten minutes", () => {
    const { penalties, fail } = setup();
    fail("a", 10_000);
    expect(penalties.left("a")).toBe(600_000);
  });

  test("count the very same token less than another one, but count it", () => {
    const { penalties } = setup();
    for (let time = 0; time < 10; time++) penalties.add("a", "failed", "the same");
    expect(penalties.left("a")).toBe(0);
    penalties.add("a", "failed", "the same");
    expect(penalties.left("a")).toBe(15_000);
  });

  test("of more sources than can be kept forget those with the least left, not whoever earned most", () => {
    const { penalties, fail } = setup();
    fail("the worst", 100);
    for (let number = 0; number < 3 * MAX_SOURCES; number++) penalties.add(`source ${number}`, "silent");
    expect(penalties.size).toBeLessThanOrEqual(MAX_SOURCES);
    expect(penalties.left("the worst")).toBe(500_000);
  });
});
