import { describe, expect, test } from "bun:test";
import { cpSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LedgerReader } from "../../src/ledger/reader.ts";
import { listSegments, SEGMENT_HEADER_BYTES, segmentPath } from "../../src/ledger/segment.ts";
import { LedgerWriter, type LedgerWriterOptions } from "../../src/ledger/writer.ts";
import { JobId } from "../../src/protocol/id.ts";
import { MAX_SEGMENT_BYTES, MIN_SEGMENT_BYTES } from "../../src/protocol/limits.ts";
import { NO_TOTALS, RECORD_HEADER_BYTES } from "../../src/protocol/packet.ts";
import { findMountFault, mountSmall, openDirectory } from "../support/directory.ts";
import { bytesOf, readLedger, textOf, SOME_EXIT } from "../support/packets.ts";
import * as v from "valibot";

const KiB = 1024;
const MiB = 1024 * KiB;
const text = (value: string) => new TextEncoder().encode(value);
const newJob = () => v.parse(JobId, Bun.randomUUIDv7());

function setup(options: Partial<LedgerWriterOptions> = {}, directory = openDirectory()) {
  const job = newJob();
  let now = 0;
  const all = {
    keepBytes: undefined,
    clock: () => ++now,
    released: () => Number.POSITIVE_INFINITY,
    ...options,
  };
  const writer = LedgerWriter.create(directory.path, job, all);
  return {
    directory: directory.path,
    job,
    writer,
    options: all,
    [Symbol.dispose]: () => {
      writer[Symbol.dispose]();
      directory[Symbol.dispose]();
    },
  };
}

/** Bytes of records on disk. */
function bytesOnDisk(directory: string): number {
  return listSegments(directory)
    .map((first) => statSync(segmentPath(directory, first)).size - SEGMENT_HEADER_BYTES)
    .reduce((sum, size) => sum + size, 0);
}

/** A chunk that names its own number, so that none can stand for another. */
function chunk(number: number, bytes: number): Uint8Array {
  return new Uint8Array(bytes).fill(number % 251);
}

test("LedgerWriter keeps at most its budget and one segment on disk, whatever is written", () => {
  using world = setup({ keepBytes: 1 * MiB });
  const { writer, directory } = world;
  let most = 0;
  for (let number = 0; writer.position < 10 * MiB; number++) {
    writer.append(number % 3 === 0 ? "stderr" : "stdout", chunk(number, (number * 7919) % (64 * KiB)));
    most = Math.max(most, bytesOnDisk(directory));
  }
  expect(most).toBeLessThanOrEqual(1 * MiB + MIN_SEGMENT_BYTES);
  expect(bytesOnDisk(directory)).toBeGreaterThan(1 * MiB - MIN_SEGMENT_BYTES);
});

test("LedgerWriter gives a reader from 0 one gap with exact counts where it dropped the oldest, then an unbroken rest", () => {
  using world = setup({ keepBytes: 1 * MiB });
  const { writer, directory, job } = world;
  const written: { stream: "stdout" | "stderr"; bytes: Uint8Array }[] = [];
  while (writer.position < 10 * MiB) {
    const number = written.length;
    const entry = {
      stream: number % 3 === 0 ? ("stderr" as const) : ("stdout" as const),
      bytes: chunk(number, 1 + ((number * 7919) % (64 * KiB))),
    };
    writer.append(entry.stream, entry.bytes);
    written.push(entry);
  }
  const [gap, ...rest] = readLedger(directory, job);
  if (gap?.type !== "gap") throw new Error("the first packet is no gap");
  const before = written.slice(0, gap.next);
  const sum = (stream: string) =>
    before.filter((entry) => entry.stream === stream).reduce((total, { bytes }) => total + bytes.length, 0);
  expect(gap.next).toBeGreaterThan(0);
  expect(gap).toMatchObject({
    number: 0,
    totals: { packets: gap.next, values: 0, stdoutBytes: sum("stdout"), stderrBytes: sum("stderr") },
  });
  expect(rest.map(({ number, type }) => [number, type])).toEqual(
    written.slice(gap.next).map(({ stream }, index) => [gap.next + index, stream]),
  );
  for (const stream of ["stdout", "stderr"] as const) {
    const expected = written
      .slice(gap.next)
      .flatMap((entry) => (entry.stream === stream ? [entry.bytes] : []));
    expect(Buffer.compare(bytesOf(rest, stream), Buffer.concat(expected))).toBe(0);
  }
});

test("LedgerWriter without a budget keeps everything, in segments of 8 MiB", () => {
  using world = setup();
  const { writer, directory, job } = world;
  for (let number = 0; writer.position < 20 * MiB; number++) writer.append("stdout", chunk(number, 64 * KiB));
  const sizes = listSegments(directory).map((first) => statSync(segmentPath(directory, first)).size);
  expect(sizes).toHaveLength(3);
  for (const size of sizes) expect(size).toBeLessThanOrEqual(MAX_SEGMENT_BYTES + SEGMENT_HEADER_BYTES);
  expect(bytesOf(readLedger(directory, job), "stdout").length).toBe(writer.totals.stdoutBytes);
});

test.each([
  [1 * MiB, 256 * KiB],
  [4 * MiB, 512 * KiB],
  [64 * MiB, 8 * MiB],
])("LedgerWriter with a budget of %d bytes rotates at %d bytes", (keepBytes, segmentBytes) => {
  using world = setup({ keepBytes });
  const { writer, directory } = world;
  const record = RECORD_HEADER_BYTES + 1_000;
  const fitting = Math.floor(segmentBytes / record);
  for (let number = 0; number < fitting; number++) writer.append("stdout", chunk(number, 1_000));
  expect(listSegments(directory)).toEqual([0]);
  writer.append("stdout", chunk(fitting, 1_000));
  expect(listSegments(directory)).toEqual([0, fitting]);
});

test("LedgerWriter never drops a segment that a holder has not released, and drops it later once it has", () => {
  let released = 0;
  using world = setup({ keepBytes: 1 * MiB, released: () => released });
  const { writer, directory, job } = world;
  while (writer.position < 4 * MiB) writer.append("stdout", chunk(0, 32 * KiB));
  expect(listSegments(directory)[0]).toBe(0);
  expect(readLedger(directory, job)[0]).toMatchObject({ type: "stdout", number: 0 });

  using reader = new LedgerReader(directory, job, 40);
  reader.seek(writer.position);
  released = reader.position;
  while (writer.position < 5 * MiB) writer.append("stdout", chunk(0, 32 * KiB));
  // Packet 40 and all after it are still wanted; whole segments before it are not.
  expect(readLedger(directory, job, 40)[0]).toMatchObject({ type: "stdout", number: 40 });
  expect(listSegments(directory)[0]).toBeGreaterThan(0);
  expect(listSegments(directory)[0]).toBeLessThanOrEqual(40);

  released = Number.POSITIVE_INFINITY;
  while (writer.position < 6 * MiB) writer.append("stdout", chunk(0, 32 * KiB));
  expect(bytesOnDisk(directory)).toBeLessThanOrEqual(1 * MiB + MIN_SEGMENT_BYTES);
});

test("LedgerWriter keeps to its budget, and loses nothing new, when somebody else has removed its oldest segments", () => {
  using world = setup({ keepBytes: 1 * MiB });
  const { writer, directory, job } = world;
  while (writer.position < 1 * MiB) writer.append("stdout", chunk(0, 32 * KiB));
  for (const first of listSegments(directory).slice(0, 2)) rmSync(segmentPath(directory, first));
  while (writer.position < 4 * MiB) writer.append("stdout", chunk(0, 32 * KiB));
  expect(bytesOnDisk(directory)).toBeLessThanOrEqual(1 * MiB + MIN_SEGMENT_BYTES);
  const packets = readLedger(directory, job);
  expect(packets.filter(({ type }) => type === "gap")).toHaveLength(1);
});

test("LedgerWriter.trim drops the oldest output, all of it if need be, and a reader is told exactly what is missing", () => {
  using world = setup();
  const { writer, directory, job } = world;
  for (let number = 0; writer.position < 20 * MiB; number++) writer.append("stdout", chunk(number, 64 * KiB));
  writer.trim(10 * MiB);
  expect(bytesOnDisk(directory)).toBeLessThanOrEqual(10 * MiB);
  expect(bytesOnDisk(directory)).toBeGreaterThan(1 * MiB);
  const { totals } = writer;
  writer.trim(1_000);
  writer.trim(1_000);
  expect(bytesOnDisk(directory)).toBe(0);
  expect(writer.totals).toEqual(totals);
  writer.append("stdout", text("on"));
  expect(readLedger(directory, job)).toMatchObject([
    { type: "gap", number: 0, next: totals.packets, totals },
    { type: "stdout", number: totals.packets },
  ]);
});

test("LedgerWriter.trim loses no more than an eighth too much of what is written after the first time", () => {
  using world = setup();
  const { writer, directory } = world;
  writer.trim(4 * MiB);
  while (writer.position < 20 * MiB) writer.append("stdout", chunk(0, 50 * KiB));
  writer.trim(4 * MiB);
  expect(bytesOnDisk(directory)).toBeLessThanOrEqual(4 * MiB);
  expect(bytesOnDisk(directory)).toBeGreaterThan(3.5 * MiB - 50 * KiB);
});

test("LedgerWriter.trim drops nothing that a holder needs", () => {
  let released = 0;
  using world = setup({ released: () => released });
  const { writer, directory, job } = world;
  for (let number = 0; number < 10; number++) writer.append("stdout", chunk(number, 1_000));
  writer.trim(0);
  expect(readLedger(directory, job).map(({ number }) => number)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  released = Number.POSITIVE_INFINITY;
  writer.trim(0);
  expect(bytesOnDisk(directory)).toBe(0);
});

test("LedgerWriter.trim leaves the gap to those that read what it drops, before one that the disk left", () => {
  using world = setup();
  const { writer, directory, job } = world;
  writer.append("stdout", text("a"));
  writer.skip("stdout", text("bc"));
  writer.trim(0);
  writer.append("stdout", text("d"));
  expect(readLedger(directory, job)).toMatchObject([
    { type: "gap", number: 0, next: 1, totals: { stdoutBytes: 1 } },
    { type: "gap", number: 1, next: 2, totals: { stdoutBytes: 3 } },
    { type: "stdout", number: 2 },
  ]);
});

test("LedgerWriter counts what it says, and writes the exit and the close with those counts", () => {
  using world = setup();
  const { writer, directory, job } = world;
  writer.append("stdout", text("out"));
  writer.append("stderr", text("error"));
  writer.exit({ outcome: { type: "exited", code: 3 }, endedAt: "then" });
  writer.append("stdout", text("later"));
  writer.close(SOME_EXIT);
  expect(readLedger(directory, job)).toMatchObject([
    { number: 0, at: 1, type: "stdout" },
    { number: 1, at: 2, type: "stderr" },
    {
      number: 2,
      at: 3,
      type: "exit",
      outcome: { type: "exited", code: 3 },
      totals: { packets: 2, stdoutBytes: 3, stderrBytes: 5 },
      endedAt: "then",
    },
    { number: 3, type: "stdout" },
    { number: 4, type: "closed", totals: { packets: 4, stdoutBytes: 8, stderrBytes: 5 } },
  ]);
  expect(writer.totals).toEqual({ packets: 5, values: 0, stdoutBytes: 8, stderrBytes: 5 });
});

describe("LedgerWriter.recover", () => {
  /** A ledger of a dead keeper whose last record is `last`: where that begins, and what it said before. */
  function dead(world: ReturnType<typeof setup>) {
    const { writer, directory } = world;
    writer.append("stdout", text("first"));
    writer.append("stderr", text("second"));
    const { totals, position } = writer;
    writer.append("stdout", text("the last record"));
    const path = segmentPath(directory, 0);
    return { totals, position, path, whole: readFileSync(path) };
  }

  test("opens a ledger that was cut at any offset of its last record at the last whole packet", () => {
    using world = setup();
    const { directory, job, options } = world;
    const { totals, position, path, whole } = dead(world);
    for (let size = SEGMENT_HEADER_BYTES + position; size < whole.length; size++) {
      writeFileSync(path, whole.subarray(0, size));
      expect(textOf(readLedger(directory, job)), `reader at ${size}`).toBe("first");
      expect(readLedger(directory, job), `reader at ${size}`).toHaveLength(2);
      using recovered = LedgerWriter.recover(directory, job, options);
      expect({ totals: recovered.totals, position: recovered.position }, `at ${size}`).toEqual({
        totals,
        position,
      });
      expect(statSync(path).size).toBe(SEGMENT_HEADER_BYTES + position);
      recovered.append("stdout", text("!"));
      expect(textOf(readLedger(directory, job)), `appended at ${size}`).toBe("first!");
    }
  });

  test("opens a ledger with any byte of its last record flipped at the last whole packet", () => {
    using world = setup();
    const { directory, job, options } = world;
    const { totals, position, path, whole } = dead(world);
    for (let offset = SEGMENT_HEADER_BYTES + position; offset < whole.length; offset++) {
      const flipped = Uint8Array.from(whole); // a slice of a Buffer would be the Buffer
      flipped[offset] = (flipped[offset] ?? 0) ^ 0x40;
      writeFileSync(path, flipped);
      using recovered = LedgerWriter.recover(directory, job, options);
      expect(recovered.totals, `flipped at ${offset}`).toEqual(totals);
      expect(readLedger(directory, job), `flipped at ${offset}`).toHaveLength(2);
    }
  });

  test("goes on in a whole ledger without losing anything", () => {
    using world = setup();
    const { directory, job, options, writer } = world;
    writer.append("stdout", text("before "));
    using recovered = LedgerWriter.recover(directory, job, options);
    expect(recovered.totals).toEqual(writer.totals);
    recovered.append("stdout", text("after"));
    expect(textOf(readLedger(directory, job))).toBe("before after");
  });

  test("goes back over newest segments that were never begun properly", () => {
    using world = setup({ keepBytes: 1 * MiB });
    const { directory, job, options, writer } = world;
    for (let number = 0; number < 8; number++) writer.append("stdout", chunk(number, 60 * KiB));
    const [, second = 0] = listSegments(directory);
    expect(second).toBeGreaterThan(0);
    for (let size = 0; size < SEGMENT_HEADER_BYTES; size++) {
      truncateSync(segmentPath(directory, second), size);
      const copy = openDirectory();
      cpSync(directory, copy.path, { recursive: true });
      using recovered = LedgerWriter.recover(copy.path, job, options);
      expect(recovered.totals.packets, `header cut at ${size}`).toBe(second);
      recovered.append("stdout", text("on"));
      expect(readLedger(copy.path, job).map(({ number }) => number)).toEqual(
        Array.from({ length: second + 1 }, (_, number) => number),
      );
      copy[Symbol.dispose]();
    }
  });

  test("begins an empty ledger where nothing was ever written", () => {
    using world = setup();
    const { directory, job, options } = world;
    rmSync(segmentPath(directory, 0));
    using recovered = LedgerWriter.recover(directory, job, options);
    expect(recovered.totals).toEqual(NO_TOTALS);
  });

  test("neither takes another job's segment for its own, nor touches it", () => {
    using world = setup();
    const { directory, options, writer } = world;
    writer.append("stdout", text("not yours"));
    const before = readFileSync(segmentPath(directory, 0));
    using recovered = LedgerWriter.recover(directory, newJob(), options);
    expect(recovered.totals).toEqual({ ...NO_TOTALS, packets: 1 });
    expect(readFileSync(segmentPath(directory, 0)).equals(before)).toBe(true);
  });

  test("cuts nothing behind damage that is no torn tail, and goes on in a new segment", () => {
    using world = setup({ keepBytes: undefined });
    const { directory, job, options, writer } = world;
    for (let number = 0; number < 6; number++) writer.append("stdout", chunk(number, 60 * KiB));
    const path = segmentPath(directory, 0);
    const bytes = readFileSync(path);
    // The length of packet 2 is wrong, so that what is behind it cannot be found.
    bytes[SEGMENT_HEADER_BYTES + 2 * (RECORD_HEADER_BYTES + 60 * KiB)] = 0x7f;
    writeFileSync(path, bytes);
    using recovered = LedgerWriter.recover(directory, job, options);
    recovered.close(SOME_EXIT);
    expect(readFileSync(path).equals(bytes)).toBe(true);
    expect(readLedger(directory, job, 3)).toMatchObject([{ number: 3, type: "closed" }]);
    expect(() => readLedger(directory, job)).toThrow(
      "damaged at packet 2; it can be read again from packet 3 on",
    );
  });
});

describe("LedgerWriter.skip", () => {
  test("leaves one gap with exact counts in the place of what had no room", () => {
    using world = setup();
    const { directory, job, writer } = world;
    writer.append("stdout", text("ab"));
    writer.skip("stdout", text("cde"));
    writer.skip("stderr", text("fghi"));
    writer.append("stdout", text("j"));
    writer.close(SOME_EXIT);
    expect(readLedger(directory, job)).toMatchObject([
      { number: 0, type: "stdout" },
      {
        number: 1,
        type: "gap",
        next: 3,
        totals: { packets: 3, values: 0, stdoutBytes: 5, stderrBytes: 4 },
      },
      { number: 3, type: "stdout" },
      { number: 4, type: "closed", totals: { packets: 4, stdoutBytes: 6, stderrBytes: 4 } },
    ]);
  });

  test("leaves its gap before the exit when nothing else follows", () => {
    using world = setup();
    const { directory, job, writer } = world;
    writer.skip("stdout", text("lost"));
    writer.exit({ outcome: { type: "exited", code: 0 }, endedAt: "then" });
    expect(readLedger(directory, job)).toMatchObject([
      { type: "gap", number: 0, next: 1, totals: { stdoutBytes: 4 } },
      { type: "exit", number: 1, totals: { packets: 1, stdoutBytes: 4 } },
    ]);
  });

  test("leaves a gap that a recovered ledger counts", () => {
    using world = setup();
    const { directory, job, writer, options } = world;
    writer.append("stdout", text("ab"));
    writer.skip("stdout", text("cde"));
    writer.append("stderr", text("f"));
    using recovered = LedgerWriter.recover(directory, job, options);
    expect(recovered.totals).toEqual(writer.totals);
  });

  test("leaves a gap that begins a segment with the counts of what was said before it", () => {
    using world = setup({ keepBytes: 1 * MiB });
    const { directory, job, writer } = world;
    // The first segment is filled to its last byte, so that the gap begins the second.
    const record = 32 * KiB - RECORD_HEADER_BYTES;
    for (let number = 0; number < 8; number++) writer.append("stdout", chunk(number, record));
    writer.skip("stdout", chunk(8, 100));
    writer.skip("stderr", chunk(9, 200));
    writer.append("stdout", text("on"));
    expect(listSegments(directory)).toEqual([0, 8]);
    rmSync(segmentPath(directory, 0));
    expect(readLedger(directory, job)).toMatchObject([
      { type: "gap", number: 0, next: 8, totals: { packets: 8, stdoutBytes: 8 * record, stderrBytes: 0 } },
      {
        type: "gap",
        number: 8,
        next: 10,
        totals: { packets: 10, stdoutBytes: 8 * record + 100, stderrBytes: 200 },
      },
      { type: "stdout", number: 10 },
    ]);
  });
});

const fault = findMountFault();
if (fault !== undefined) console.warn(`LedgerWriter on a full disk: not tested here, ${fault}`);

describe.skipIf(fault !== undefined)("LedgerWriter on a full disk", () => {
  /** Appends until the disk is full: how many packets it took, and the error. */
  function fill(writer: LedgerWriter, bytes: number): { packets: number; error: unknown } {
    for (;;) {
      try {
        writer.append("stdout", chunk(writer.totals.packets, bytes));
      } catch (error) {
        return { packets: writer.totals.packets, error };
      }
    }
  }

  test("throws ENOSPC with nothing counted, and takes the same packet once there is room", () => {
    using world = setup({}, mountSmall(1 * MiB));
    const { directory, job, writer } = world;
    const filler = join(directory, "filler");
    writeFileSync(filler, new Uint8Array(300 * KiB));
    const { packets, error } = fill(writer, 50_000);
    expect(error).toMatchObject({ code: "ENOSPC" });
    expect(packets).toBeGreaterThan(10);
    const { totals, position } = writer;
    expect(() => writer.append("stdout", chunk(packets, 50_000))).toThrow("ENOSPC");
    expect({ totals: writer.totals, position: writer.position }).toEqual({ totals, position });
    expect(readLedger(directory, job)).toHaveLength(packets);

    rmSync(filler);
    writer.append("stdout", chunk(packets, 50_000));
    writer.append("stdout", text("on"));
    const read = readLedger(directory, job);
    expect(read.map(({ number, type }) => `${number} ${type}`)).toEqual(
      Array.from({ length: packets + 2 }, (_, number) => `${number} stdout`),
    );
    expect(bytesOf(read.slice(packets, packets + 1), "stdout")).toEqual(chunk(packets, 50_000));
  });

  test("leaves one gap for all that was skipped meanwhile, with exact counts", () => {
    using world = setup({}, mountSmall(1 * MiB));
    const { directory, job, writer } = world;
    const filler = join(directory, "filler");
    writeFileSync(filler, new Uint8Array(300 * KiB));
    const { packets } = fill(writer, 50_000);
    for (let missed = 0; missed < 20; missed++) writer.skip("stdout", chunk(missed, 50_000));
    rmSync(filler);
    writer.append("stdout", text("on"));
    expect(readLedger(directory, job).slice(packets)).toMatchObject([
      {
        type: "gap",
        number: packets,
        next: packets + 20,
        totals: { packets: packets + 20, stdoutBytes: (packets + 20) * 50_000 },
      },
      { type: "stdout", number: packets + 20 },
    ]);
  });

  test("leaves no torn record behind when it goes on in a new segment", () => {
    using world = setup({ keepBytes: 1 * MiB }, mountSmall(1 * MiB));
    const { directory, job, writer } = world;
    // The first segment has room for a record of which the disk takes only some.
    while (writer.position < MIN_SEGMENT_BYTES - 20_000) writer.append("stdout", chunk(1, 1_000));
    const filler = join(directory, "filler");
    expect(() => writeFileSync(filler, new Uint8Array(2 * MiB))).toThrow("ENOSPC");
    truncateSync(filler, statSync(filler).size - 8 * KiB);
    expect(() => writer.append("stdout", chunk(2, 18_000))).toThrow("ENOSPC");
    rmSync(filler);
    const { packets } = writer.totals;
    writer.append("stdout", chunk(3, 40_000));
    expect(listSegments(directory)).toEqual([0, packets]);
    expect(readLedger(directory, job).map(({ number, type }) => `${number} ${type}`)).toEqual(
      Array.from({ length: packets + 1 }, (_, number) => `${number} stdout`),
    );
  });

  test("begins no ledger that has no room for its first segment", () => {
    using small = mountSmall(64 * KiB);
    writeFileSync(join(small.path, "filler"), new Uint8Array(64 * KiB));
    const options = { keepBytes: undefined, clock: () => 0, released: () => 0 };
    expect(() => LedgerWriter.create(small.path, newJob(), options)).toThrow("ENOSPC");
    expect(listSegments(small.path)).toEqual([]);
  });
});
