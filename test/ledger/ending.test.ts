import { expect, test } from "bun:test";
import { truncateSync } from "node:fs";
import * as v from "valibot";
import { findEnding } from "../../src/ledger/ending.ts";
import { listSegments, SEGMENT_HEADER_BYTES, segmentPath } from "../../src/ledger/segment.ts";
import { LedgerWriter } from "../../src/ledger/writer.ts";
import { JobId } from "../../src/protocol/id.ts";
import { openDirectory } from "../support/directory.ts";

const MiB = 1024 * 1024;

function setup(keepBytes?: number) {
  const directory = openDirectory();
  const job = v.parse(JobId, Bun.randomUUIDv7());
  const options = { keepBytes, clock: () => 0, released: () => Number.POSITIVE_INFINITY };
  const writer = LedgerWriter.create(directory.path, job, options);
  return {
    directory: directory.path,
    job,
    writer,
    ending: () => findEnding(directory.path, job),
    exit: () => writer.exit({ outcome: { type: "exited", code: 4 }, endedAt: "then" }),
    [Symbol.dispose]: () => {
      writer[Symbol.dispose]();
      directory[Symbol.dispose]();
    },
  };
}

const exited = { outcome: { type: "exited", code: 4 }, endedAt: "then" };

test("findEnding finds neither exit nor close of a job that runs", () => {
  using world = setup();
  expect(world.ending()).toMatchObject({ exit: undefined, closed: false });
  world.writer.append("stdout", new Uint8Array(9));
  expect(world.ending()).toMatchObject({ exit: undefined, closed: false });
});

test("findEnding finds an exit before its close, and both after it", () => {
  using world = setup();
  world.writer.append("stdout", new Uint8Array(9));
  const exit = world.exit();
  expect(world.ending()).toMatchObject({ exit: { ...exited, totals: { packets: 1 } }, closed: false });
  world.writer.close(exit);
  expect(world.ending()).toMatchObject({ exit: exited, closed: true, next: 3 });
});

test("findEnding finds an exit that segments of later output lie after", () => {
  using world = setup(4 * MiB);
  const { writer, directory } = world;
  const exit = world.exit();
  while (writer.position < 2 * MiB) writer.append("stdout", new Uint8Array(50_000));
  expect(world.ending()).toMatchObject({ exit: exited, closed: false });
  writer.close(exit);
  expect(listSegments(directory).length).toBeGreaterThan(3);
  expect(world.ending()).toMatchObject({ exit: exited, closed: true, next: writer.totals.packets });
});

test("findEnding finds an exit whose segment is gone, in the close", () => {
  using world = setup(1 * MiB);
  const { writer, directory } = world;
  const exit = world.exit();
  while (writer.position < 2 * MiB) writer.append("stdout", new Uint8Array(50_000));
  expect(listSegments(directory)[0]).toBeGreaterThan(0);
  expect(world.ending()).toMatchObject({ exit: undefined, closed: false });
  writer.close(exit);
  expect(world.ending()).toMatchObject({ exit: { ...exited, totals: { packets: 0 } }, closed: true });
});

test("findEnding does not take a close for written whose record is torn", () => {
  using world = setup();
  const exit = world.exit();
  const whole = world.writer.position;
  world.writer.close(exit);
  const path = segmentPath(world.directory, 0);
  for (let size = world.writer.position - 1; size >= whole; size--) {
    truncateSync(path, SEGMENT_HEADER_BYTES + size);
    expect(world.ending()).toMatchObject({ exit: exited, closed: false, next: 1 });
  }
});
