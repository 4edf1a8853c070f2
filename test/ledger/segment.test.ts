import { expect, test } from "bun:test";
import { closeSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import fc from "fast-check";
import * as v from "valibot";
import {
  encodeSegmentHeader,
  listSegments,
  readSegmentHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentStart,
  segmentPath,
} from "../../src/ledger/segment.ts";
import { JobId } from "../../src/protocol/id.ts";
import { openDirectory } from "../support/directory.ts";

const job = v.parse(JobId, "01a1fca6-d25c-778a-8fcf-81b15658dc47");

function setup() {
  const directory = openDirectory();
  const path = join(directory.path, "segment");
  return {
    directory: directory.path,
    read(bytes: Uint8Array, of = job): SegmentStart | undefined {
      writeFileSync(path, bytes);
      const fd = openSync(path, "r");
      try {
        return readSegmentHeader(fd, of);
      } finally {
        closeSync(fd);
      }
    },
    [Symbol.dispose]: () => directory[Symbol.dispose](),
  };
}

const count = fc.oneof(fc.nat(), fc.maxSafeNat());
const starts = fc.record<SegmentStart>({
  totals: fc.record({ packets: count, values: count, stdoutBytes: count, stderrBytes: count }),
  position: count,
});

test("readSegmentHeader gives back what encodeSegmentHeader wrote", () => {
  using world = setup();
  fc.assert(
    fc.property(starts, (start) => expect(world.read(encodeSegmentHeader(job, start))).toEqual(start)),
  );
});

test("readSegmentHeader refuses a header with any byte changed, cut anywhere, or of another job", () => {
  using world = setup();
  const start = { totals: { packets: 1, values: 2, stdoutBytes: 3, stderrBytes: 4 }, position: 5 };
  const header = encodeSegmentHeader(job, start);
  for (let offset = 0; offset < 76; offset++) {
    const changed = header.slice();
    changed[offset] = (changed[offset] ?? 0) ^ 1;
    expect(world.read(changed), `changed at ${offset}`).toBeUndefined();
  }
  for (let size = 0; size < SEGMENT_HEADER_BYTES; size++)
    expect(world.read(header.subarray(0, size)), `cut at ${size}`).toBeUndefined();
  expect(world.read(header, v.parse(JobId, Bun.randomUUIDv7()))).toBeUndefined();
});

test("encodeSegmentHeader writes the documented bytes, which never change", () => {
  const start = { totals: { packets: 1, values: 2, stdoutBytes: 3, stderrBytes: 2 ** 40 }, position: 5 };
  const header = Buffer.from(encodeSegmentHeader(job, start));
  expect(header.subarray(0, 72).toString("hex")).toBe(
    [
      Buffer.from("FHLEDGER").toString("hex"),
      "0001000000000000",
      job.replaceAll("-", ""),
      "0000000000000001",
      "0000000000000005",
      "0000000000000002",
      "0000000000000003",
      "0000010000000000",
    ].join(""),
  );
});

test("listSegments lists segments in the order of their packets, and nothing else", () => {
  using world = setup();
  const directory = join(world.directory, "ledger");
  mkdirSync(directory);
  const firsts = [9, 10, 0, 100, Number.MAX_SAFE_INTEGER];
  for (const first of firsts) writeFileSync(segmentPath(directory, first), "");
  writeFileSync(join(directory, "start.ndjson"), "");
  expect(listSegments(directory)).toEqual([0, 9, 10, 100, Number.MAX_SAFE_INTEGER]);
  expect(basename(segmentPath(directory, 42))).toBe("0000000000000042.seg");
});

test("listSegments says that a ledger was removed, and of which job", () => {
  using world = setup();
  expect(() => listSegments(join(world.directory, job))).toThrow(
    expect.objectContaining({ code: "not_found", message: `Cannot read job ${job}: its record was removed` }),
  );
});
