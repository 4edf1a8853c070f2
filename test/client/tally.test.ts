import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Tally } from "../../src/client/tally.ts";
import type { Packet, Totals } from "../../src/protocol/packet.ts";

const stdout = (number: number, length: number): Packet => ({
  type: "stdout",
  number,
  at: 0,
  bytes: new Uint8Array(length),
});
const totals = (packets: number, stdoutBytes: number, stderrBytes = 0): Totals => ({
  packets,
  values: 0,
  stdoutBytes,
  stderrBytes,
});
const exit = (number: number, said: Totals): Packet => ({
  type: "exit",
  number,
  at: 0,
  outcome: { type: "exited", code: 0 },
  totals: said,
  endedAt: "",
});

describe("Tally", () => {
  test("accepts an exit that counts what came", () => {
    const tally = new Tally({ type: "since", number: 0 });
    tally.add(stdout(0, 3));
    tally.add({ type: "stderr", number: 1, at: 0, bytes: new Uint8Array(2) });
    tally.add(exit(2, totals(2, 3, 2)));
    expect(tally.next).toBe(3);
    expect(tally.missing).toBeUndefined();
  });

  test("refuses an exit that counts any other number of bytes", () => {
    fc.assert(
      fc.property(fc.nat(100), fc.nat(100), (came, said) => {
        fc.pre(came !== said);
        const tally = new Tally({ type: "since", number: 0 });
        tally.add(stdout(0, came));
        expect(() => tally.add(exit(1, totals(1, said)))).toThrow(
          expect.objectContaining({ code: "incomplete_output" }),
        );
        expect(() => tally.add(exit(1, totals(1, came, 1)))).toThrow("incomplete");
      }),
    );
  });

  test("counts a new size of the terminal as a packet without bytes", () => {
    const tally = new Tally({ type: "since", number: 0 });
    tally.add(stdout(0, 3));
    tally.add({ type: "resize", number: 1, at: 0, columns: 80, rows: 24 });
    tally.add(exit(2, totals(2, 3)));
    expect(tally.next).toBe(3);
  });

  test("refuses a packet out of turn", () => {
    const tally = new Tally({ type: "since", number: 0 });
    tally.add(stdout(0, 1));
    expect(() => tally.add(stdout(2, 1))).toThrow("packet 2 came instead of 1");
    expect(() => tally.add(stdout(0, 1))).toThrow("packet 0 came instead of 1");
  });

  test("says exactly what a gap has swallowed, and goes on behind it", () => {
    const tally = new Tally({ type: "since", number: 0 });
    tally.add(stdout(0, 10));
    tally.add({ type: "gap", number: 1, at: 0, next: 5, totals: totals(5, 70, 8) });
    tally.add(stdout(5, 1));
    tally.add({ type: "gap", number: 6, at: 0, next: 8, totals: totals(8, 80, 8) });
    tally.add(exit(8, totals(8, 80, 8)));
    expect(tally.missing).toEqual({ packets: 6, values: 0, stdoutBytes: 69, stderrBytes: 8 });
  });

  test("does not claim to know bytes from before it began", () => {
    const tally = new Tally({ type: "since", number: 7 });
    tally.add(stdout(7, 1));
    tally.add({ type: "gap", number: 8, at: 0, next: 9, totals: totals(9, 1_000) });
    tally.add(exit(9, totals(9, 1_000)));
    expect(tally.missing).toEqual({
      packets: 1,
      values: undefined,
      stdoutBytes: undefined,
      stderrBytes: undefined,
    });
  });

  test("takes the first of the last few as it comes", () => {
    const tally = new Tally({ type: "recent", count: 1 });
    tally.add(stdout(41, 1));
    expect(() => tally.add(stdout(43, 1))).toThrow("instead of 42");
  });

  test("counts values, each of which once however many packets it takes", () => {
    const tally = new Tally({ type: "since", number: 0 });
    tally.add({ type: "value", number: 0, at: 0, value: 1 });
    tally.skip(1);
    tally.add({ type: "value", number: 2, at: 0, value: 2 });
    expect(tally.values).toBe(2);
    expect(() => tally.add(exit(3, { ...totals(3, 0), values: 3 }))).toThrow("2 values came, of 3");
    tally.add(exit(3, { ...totals(3, 0), values: 2 }));
  });

  test("begins at a value with what there was before it, and says which are gone", () => {
    const said = { ...totals(9, 100), values: 5 };
    const begin: Packet = { type: "gap", number: 9, at: 0, next: 9, totals: said };
    const whole = new Tally({ type: "since", number: 5, unit: "values" });
    whole.add(begin);
    expect([whole.next, whole.values, whole.missing]).toEqual([9, 5, undefined]);
    whole.add({ type: "value", number: 9, at: 0, value: 1 });
    whole.add(exit(10, { ...totals(10, 100), values: 6 }));
    const late = new Tally({ type: "since", number: 3, unit: "values" });
    late.add(begin);
    expect(late.missing).toMatchObject({ packets: 0, values: 2 });
    const last = new Tally({ type: "recent", count: 3, unit: "values" });
    last.add(begin);
    expect(last.missing).toBeUndefined();
  });

  test("refuses to count values that a server does not count", () => {
    const tally = new Tally({ type: "since", number: 1, unit: "values" });
    expect(() => tally.add(stdout(1, 1))).toThrow(expect.objectContaining({ code: "unsupported_version" }));
  });
});
