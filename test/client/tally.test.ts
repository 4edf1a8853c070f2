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
    const tally = new Tally(0);
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
        const tally = new Tally(0);
        tally.add(stdout(0, came));
        expect(() => tally.add(exit(1, totals(1, said)))).toThrow(
          expect.objectContaining({ code: "incomplete_output" }),
        );
        expect(() => tally.add(exit(1, totals(1, came, 1)))).toThrow("incomplete");
      }),
    );
  });

  test("counts a new size of the terminal as a packet without bytes", () => {
    const tally = new Tally(0);
    tally.add(stdout(0, 3));
    tally.add({ type: "resize", number: 1, at: 0, columns: 80, rows: 24 });
    tally.add(exit(2, totals(2, 3)));
    expect(tally.next).toBe(3);
  });

  test("refuses a packet out of turn", () => {
    const tally = new Tally(0);
    tally.add(stdout(0, 1));
    expect(() => tally.add(stdout(2, 1))).toThrow("packet 2 came instead of 1");
    expect(() => tally.add(stdout(0, 1))).toThrow("packet 0 came instead of 1");
  });

  test("says exactly what a gap has swallowed, and goes on behind it", () => {
    const tally = new Tally(0);
    tally.add(stdout(0, 10));
    tally.add({ type: "gap", number: 1, at: 0, next: 5, totals: totals(5, 70, 8) });
    tally.add(stdout(5, 1));
    tally.add({ type: "gap", number: 6, at: 0, next: 8, totals: totals(8, 80, 8) });
    tally.add(exit(8, totals(8, 80, 8)));
    expect(tally.missing).toEqual({ packets: 6, stdoutBytes: 69, stderrBytes: 8 });
  });

  test("does not claim to know bytes from before it began", () => {
    const tally = new Tally(7);
    tally.add(stdout(7, 1));
    tally.add({ type: "gap", number: 8, at: 0, next: 9, totals: totals(9, 1_000) });
    tally.add(exit(9, totals(9, 1_000)));
    expect(tally.missing).toEqual({ packets: 1, stdoutBytes: undefined, stderrBytes: undefined });
  });

  test("takes the first of the last few as it comes", () => {
    const tally = new Tally(undefined);
    tally.add(stdout(41, 1));
    expect(() => tally.add(stdout(43, 1))).toThrow("instead of 42");
  });
});
