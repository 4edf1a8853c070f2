import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { findBehind, findRun } from "../../src/ledger/intact.ts";
import { encodeRecord } from "../../src/protocol/packet.ts";
import { anyTotals } from "../support/arbitrary.ts";

/** Gaps of one packet each, numbered from `first`: records of any size, and where each begins. */
const runs = fc
  .tuple(fc.nat(1_000_000), fc.array(anyTotals, { minLength: 1, maxLength: 8 }))
  .map(([first, totals]) => {
    const records = totals.map((totals, index) =>
      encodeRecord("gap", { number: first + index, at: index }, { next: first + index + 1, totals }),
    );
    const starts = [0];
    for (const { length } of records) starts.push((starts.at(-1) ?? 0) + length);
    return { first, starts, bytes: new Uint8Array(Buffer.concat(records)) };
  });

describe("findRun()", () => {
  test("finds all records that are whole, at every cut", () => {
    fc.assert(
      fc.property(runs, ({ first, starts, bytes }) => {
        for (let cut = 0; cut <= bytes.length; cut++) {
          const whole = starts.filter((start) => start <= cut).length - 1;
          const expected = { end: starts[whole] ?? 0, next: first + whole, isBroken: false };
          expect(findRun(bytes.subarray(0, cut), first)).toEqual(expected);
        }
      }),
      { numRuns: 20 },
    );
  });

  test("ends before the record that has a flipped bit, wherever that is", () => {
    fc.assert(
      fc.property(runs, fc.nat(), ({ first, starts, bytes }, at) => {
        const bit = at % (bytes.length * 8);
        const flipped = bytes.slice();
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        const sound = starts.filter((start) => start <= bit >> 3).length - 1;
        expect(findRun(flipped, first)).toMatchObject({ end: starts[sound] ?? 0, next: first + sound });
      }),
      { numRuns: 500 },
    );
  });

  test("takes no record whose number is another than the next", () => {
    fc.assert(
      fc.property(runs, fc.nat(1_000_000), ({ first, bytes }, number) => {
        fc.pre(number !== first);
        expect(findRun(bytes, number)).toEqual({ end: 0, next: number, isBroken: true });
      }),
    );
  });

  test("never throws and never goes beyond what it is given, whatever that is", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(), (bytes, number) => {
        expect(findRun(bytes, number).end).toBe(0);
        expect(findBehind(bytes, number)).toBeUndefined();
      }),
      { numRuns: 1_000 },
    );
  });
});

describe("findBehind()", () => {
  test("finds the record behind those whose lengths are right", () => {
    fc.assert(
      fc.property(runs, fc.integer({ min: 1, max: 8 }), ({ first, starts, bytes }, broken) => {
        const flipped = bytes.slice();
        for (const start of starts.slice(0, Math.min(broken, starts.length - 1)))
          flipped[start + 6] = (bytes[start + 6] ?? 0) ^ 1;
        const start = starts[broken];
        const expected =
          start === undefined || start === bytes.length ? undefined : { start, number: first + broken };
        expect(findBehind(flipped, first)).toEqual(expected as typeof expected & object);
      }),
    );
  });

  test("finds none behind a record whose length cannot be right", () => {
    fc.assert(
      fc.property(runs, ({ first, bytes }) => {
        const flipped = bytes.slice();
        flipped[0] = 0x7f;
        expect(findBehind(flipped, first)).toBeUndefined();
      }),
    );
  });
});
