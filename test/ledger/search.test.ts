import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { searchValue, type WantedValue } from "../../src/ledger/search.ts";
import { MIN_KEEP_BYTES } from "../../src/protocol/limits.ts";
import type { Totals } from "../../src/protocol/packet.ts";
import type { SaidValue } from "../../src/protocol/said.ts";
import { openDirectory } from "../support/directory.ts";
import { openLedger } from "../support/ledgers.ts";
import { readRecords } from "../support/packets.ts";

const EXIT = { outcome: { type: "exited", code: 0 }, endedAt: "then" } as const;
const piece = (kind: SaidValue["kind"], bytes = 1): SaidValue => ({ kind, payload: new Uint8Array(bytes) });

/** Searches without waiting for more. */
function search(
  directory: string,
  job: ReturnType<typeof openLedger>["job"],
  wanted: WantedValue,
  limit = Number.POSITIVE_INFINITY,
): Totals | "waiting" {
  const steps = searchValue({ directory, job, limit: () => limit, isComplete: () => false }, wanted);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
    if (!value.isWaiting) continue;
    steps.return({ packets: 0, values: 0, stdoutBytes: 0, stderrBytes: 0 });
    return "waiting";
  }
}

describe("searchValue()", () => {
  test("finds where any value begins, wherever it lies in its segments", () => {
    const said = fc.array(fc.constantFrom("value", "part", "stdout"), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(said, fc.nat(70), (kinds, number) => {
        using state = openDirectory();
        const { job, directory, writer } = openLedger(state.path, { keepBytes: MIN_KEEP_BYTES * 64 });
        /** Where each value begins. */
        const begins = [0];
        for (const [index, kind] of kinds.entries()) {
          if (kind === "stdout") writer.append("stdout", new Uint8Array(60_000));
          else writer.say([piece(kind as SaidValue["kind"], 60_000)]);
          if (kind === "value") begins.push(index + 1);
        }
        const found = search(directory, job, { type: "since", number });
        if (number >= begins.length) expect(found).toBe("waiting");
        else expect(found).toMatchObject({ packets: begins[number], values: number });
        const recent = search(directory, job, { type: "recent", count: number });
        const first = Math.max(0, begins.length - 1 - number);
        expect(recent).toMatchObject({ packets: begins[first], values: first });
        writer.exit(EXIT);
        if (number >= begins.length)
          expect(search(directory, job, { type: "since", number })).toMatchObject({
            packets: kinds.length,
            values: begins.length - 1,
          });
        writer[Symbol.dispose]();
      }),
      { numRuns: 60 },
    );
  });

  test("takes the oldest that is left for a value that was dropped", () => {
    using state = openDirectory();
    const { job, directory, writer } = openLedger(state.path, { keepBytes: MIN_KEEP_BYTES });
    for (let index = 0; index < 60; index++) writer.say([piece("value", 60_000)]);
    const [gap] = readRecords(directory, job);
    expect(gap?.kind).toBe("gap");
    const first = Number(JSON.parse(new TextDecoder().decode(gap?.payload)).next);
    expect(first).toBeGreaterThan(20);
    for (const number of [0, 1, first - 1, first])
      expect(search(directory, job, { type: "since", number })).toMatchObject({
        packets: first,
        values: first,
      });
    expect(search(directory, job, { type: "since", number: first + 1 })).toMatchObject({ values: first + 1 });
    expect(search(directory, job, { type: "recent", count: 1_000 })).toMatchObject({ values: first });
    writer[Symbol.dispose]();
  });

  test("passes over values that a full disk swallowed", () => {
    using state = openDirectory();
    const { job, directory, writer } = openLedger(state.path);
    writer.say([piece("value"), piece("value")]);
    writer.skipSaid([piece("value"), piece("value"), piece("part")]);
    writer.say([piece("value"), piece("value")]);
    const found = [0, 1, 2, 3, 4, 5].map((number) => search(directory, job, { type: "since", number }));
    expect(found).toMatchObject(
      [
        [0, 0],
        [1, 1],
        [2, 2],
        [5, 4],
        [5, 4],
        [6, 5],
      ].map(([packets, values]) => ({ packets, values })),
    );
    writer[Symbol.dispose]();
  });

  test("looks no further than it may", () => {
    using state = openDirectory();
    const { job, directory, writer } = openLedger(state.path);
    writer.say([piece("value")]);
    const { position } = writer;
    writer.say([piece("value"), piece("value")]);
    expect(search(directory, job, { type: "recent", count: 1 }, position)).toMatchObject({ values: 0 });
    expect(search(directory, job, { type: "since", number: 2 }, position)).toBe("waiting");
    writer[Symbol.dispose]();
  });
});
