import { expect, test } from "bun:test";
import fc from "fast-check";
import * as v from "valibot";
import { locatePacket } from "../../src/ledger/locate.ts";
import { LedgerWriter } from "../../src/ledger/writer.ts";
import { JobId } from "../../src/protocol/id.ts";
import { RECORD_HEADER_BYTES } from "../../src/protocol/packet.ts";
import { openDirectory } from "../support/directory.ts";

function setup(sizes: readonly number[], keepBytes?: number) {
  const directory = openDirectory();
  const job = v.parse(JobId, Bun.randomUUIDv7());
  const released = () => Number.POSITIVE_INFINITY;
  using writer = LedgerWriter.create(directory.path, job, { keepBytes, clock: () => 0, released });
  for (const size of sizes) writer.append("stdout", new Uint8Array(size));
  return { ...directory, job, [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

test("locatePacket() gives the first packet that begins at or behind a position", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(3_000), { minLength: 1, maxLength: 20 }),
      fc.nat(60_000),
      (sizes, position) => {
        using ledger = setup(sizes);
        const begins = sizes.map((_, index) =>
          sizes.slice(0, index).reduce((sum, size) => sum + size + RECORD_HEADER_BYTES, 0),
        );
        const end = sizes.reduce((sum, size) => sum + size + RECORD_HEADER_BYTES, 0);
        if (position > end) return;
        const expected = begins.findIndex((begin) => begin >= position);
        expect(locatePacket(ledger.path, ledger.job, position)).toBe(expected < 0 ? sizes.length : expected);
      },
    ),
    { numRuns: 50 },
  );
});

test("locatePacket() gives the first that is left where older ones are gone, and finds its way over segments", () => {
  const [size, count] = [60_000, 100];
  using ledger = setup(
    Array.from({ length: count }, () => size),
    1024 * 1024,
  );
  const end = count * (size + RECORD_HEADER_BYTES);
  expect(locatePacket(ledger.path, ledger.job, end - 5 * (size + RECORD_HEADER_BYTES))).toBe(count - 5);
  expect(locatePacket(ledger.path, ledger.job, 0)).toBeGreaterThan(0);
});
