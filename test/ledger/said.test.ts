import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { inspectLedger } from "../../src/ledger/inspection.ts";
import { SEGMENT_HEADER_BYTES, segmentPath } from "../../src/ledger/segment.ts";
import { LedgerWriter } from "../../src/ledger/writer.ts";
import { MIN_KEEP_BYTES } from "../../src/protocol/limits.ts";
import { addRecord, NO_TOTALS } from "../../src/protocol/packet.ts";
import type { SaidValue } from "../../src/protocol/said.ts";
import { findMountFault, fillDisk, mountSmall, openDirectory } from "../support/directory.ts";
import { openLedger } from "../support/ledgers.ts";
import { readRecords, SOME_EXIT } from "../support/packets.ts";

const options = { keepBytes: undefined, clock: () => 0, released: () => 0 };
const piece = (kind: SaidValue["kind"], text: string): SaidValue => ({
  kind,
  payload: new TextEncoder().encode(text),
});

function setup(directory = openDirectory(), keepBytes?: number) {
  const ledger = openLedger(directory.path, keepBytes === undefined ? {} : { keepBytes });
  return {
    ...ledger,
    records: () => readRecords(ledger.directory, ledger.job),
    [Symbol.dispose]() {
      ledger.writer[Symbol.dispose]();
      directory[Symbol.dispose]();
    },
  };
}

describe("LedgerWriter.say", () => {
  test("writes each piece as a packet of its own, and counts a value once at its last", () => {
    using world = setup();
    world.writer.say([piece("value", "1"), piece("part", "[2,"), piece("part", "3,"), piece("value", "4]")]);
    expect(
      world
        .records()
        .map(({ number, kind, payload, continues }) => [
          number,
          kind,
          Buffer.from(payload).toString(),
          continues,
        ]),
    ).toEqual([
      [0, "value", "1", false],
      [1, "part", "[2,", false],
      [2, "part", "3,", true],
      [3, "value", "4]", true],
    ]);
    expect(world.writer.totals).toEqual({ ...NO_TOTALS, packets: 4, values: 2 });
  });

  test("is found whole up to any offset at which it was cut, and the ledger goes on there", () => {
    using world = setup();
    const { writer, directory, job } = world;
    writer.say([piece("value", "one"), piece("part", "two"), piece("value", "three")]);
    const path = segmentPath(directory, 0);
    const whole = readFileSync(path);
    for (let size = SEGMENT_HEADER_BYTES; size <= whole.length; size++) {
      writeFileSync(path, whole.subarray(0, size));
      const left = readRecords(directory, job);
      using recovered = LedgerWriter.recover(directory, job, options);
      expect(recovered.totals, `cut at ${size}`).toEqual(left.reduce(addRecord, NO_TOTALS));
      recovered.close(recovered.exit({ outcome: { type: "lost", since: "then" }, endedAt: "then" }));
      expect(readRecords(directory, job).slice(0, -2)).toEqual(left);
      expect(inspectLedger(directory, job, true)).toEqual([]);
    }
  });

  test("drops the oldest as output is, and a reader is told how many values are missing", () => {
    using world = setup(openDirectory(), MIN_KEEP_BYTES);
    const { writer } = world;
    const text = "x".repeat(1_000);
    for (let index = 0; index < 100; index++)
      writer.say(Array.from({ length: 40 }, () => piece("value", text)));
    const [gap, ...rest] = world.records();
    expect(gap?.kind).toBe("gap");
    expect(JSON.parse(Buffer.from(gap?.payload ?? []).toString())).toEqual({
      next: 4_000 - rest.length,
      totals: { ...NO_TOTALS, packets: 4_000 - rest.length, values: 4_000 - rest.length },
    });
    expect(rest.length).toBeLessThan(1_300);
  });
});

test("LedgerWriter.skipSaid leaves one gap with exact counts, together with what else had no room", () => {
  using world = setup();
  const { writer } = world;
  writer.say([piece("value", "1")]);
  writer.skipSaid([piece("value", "2"), piece("part", "3")]);
  writer.skip("stdout", new Uint8Array(7));
  writer.skipSaid([piece("value", "4")]);
  writer.close(SOME_EXIT);
  const [, gap] = world.records();
  expect([gap?.kind, gap?.number]).toEqual(["gap", 1]);
  expect(JSON.parse(Buffer.from(gap?.payload ?? []).toString())).toEqual({
    next: 5,
    totals: { packets: 5, values: 3, stdoutBytes: 7, stderrBytes: 0 },
  });
});

const fault = findMountFault();
if (fault !== undefined) console.warn(`Values on a full disk: not tested here, ${fault}`);

test.skipIf(fault !== undefined)("LedgerWriter.say writes all or nothing where a disk is full", () => {
  using world = setup(mountSmall(512 * 1024));
  const { writer, directory } = world;
  writer.say([piece("value", "before")]);
  const before = { totals: writer.totals, position: writer.position };
  const many = Array.from({ length: 60 }, () => piece("value", "x".repeat(1_000)));
  {
    using _full = fillDisk(directory);
    expect(() => writer.say(many)).toThrow("ENOSPC");
    expect({ totals: writer.totals, position: writer.position }).toEqual(before);
    expect(world.records()).toHaveLength(1);
  }
  writer.say(many);
  expect(world.records()).toHaveLength(61);
});
