import { expect, test } from "bun:test";
import { readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { inspectLedger } from "../../src/ledger/inspection.ts";
import { listSegments, SEGMENT_HEADER_BYTES, segmentPath } from "../../src/ledger/segment.ts";
import { RECORD_HEADER_BYTES } from "../../src/protocol/packet.ts";
import { openDirectory } from "../support/directory.ts";
import { openLedger } from "../support/ledgers.ts";

const PACKET = 60 * 1024;

/** A ledger of some segments with four packets in each; the last ones go with them. */
function setup(packets: number) {
  const state = openDirectory();
  const ledger = openLedger(state.path, { keepBytes: 1024 * 1024 });
  for (let number = 0; number < packets; number++)
    ledger.writer.append("stdout", new Uint8Array(PACKET).fill(number));
  return {
    ...ledger,
    segment: (index: number) => segmentPath(ledger.directory, listSegments(ledger.directory)[index] ?? 0),
    inspect: (isComplete = true) => inspectLedger(ledger.directory, ledger.job, isComplete),
    [Symbol.dispose]: () => {
      ledger.writer[Symbol.dispose]();
      state[Symbol.dispose]();
    },
  };
}

test("inspectLedger finds nothing wrong in a sound ledger, also where its oldest segments were dropped", () => {
  using world = setup(40);
  expect(listSegments(world.directory)[0]).toBeGreaterThan(0);
  expect([world.inspect(true), world.inspect(false)]).toEqual([[], []]);
});

test("inspectLedger finds a segment in the middle that is gone, or whose header is damaged", () => {
  using world = setup(16);
  const header = world.segment(2);
  const bytes = readFileSync(header);
  bytes[20] = (bytes[20] ?? 0) ^ 1;
  writeFileSync(header, bytes);
  rmSync(world.segment(1));
  expect(world.inspect()).toEqual([
    { packet: 4, behind: 8 },
    { packet: 8, behind: 12 },
  ]);
});

test("inspectLedger finds a damaged record, and a segment that ends too early", () => {
  using world = setup(14);
  const bytes = readFileSync(world.segment(1));
  const at = SEGMENT_HEADER_BYTES + 2 * (RECORD_HEADER_BYTES + PACKET) - 5;
  bytes[at] = (bytes[at] ?? 0) ^ 8;
  writeFileSync(world.segment(1), bytes);
  truncateSync(world.segment(2), SEGMENT_HEADER_BYTES + 2 * (RECORD_HEADER_BYTES + PACKET));
  expect(world.inspect()).toEqual([{ packet: 5 }, { packet: 10, behind: 12 }]);
});

test("inspectLedger takes a torn tail for damage only in a ledger that should be complete", () => {
  using world = setup(3);
  truncateSync(world.segment(0), readFileSync(world.segment(0)).length - 10);
  expect([world.inspect(true), world.inspect(false)]).toEqual([[{ packet: 2 }], []]);
});

test("inspectLedger misses everything in a ledger without segments", () => {
  using world = setup(3);
  rmSync(world.segment(0));
  expect(world.inspect()).toEqual([{ packet: 0 }]);
});
