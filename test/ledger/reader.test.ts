import { expect, test } from "bun:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import * as v from "valibot";
import { LedgerReader } from "../../src/ledger/reader.ts";
import { listSegments, SEGMENT_HEADER_BYTES, segmentPath } from "../../src/ledger/segment.ts";
import { LedgerWriter } from "../../src/ledger/writer.ts";
import { JobId } from "../../src/protocol/id.ts";
import { MAX_DATA_BYTES, MAX_PAYLOAD_BYTES, MAX_RECORD_BYTES } from "../../src/protocol/limits.ts";
import { decodeRecords, NO_TOTALS, type Packet, RECORD_HEADER_BYTES } from "../../src/protocol/packet.ts";
import { openDirectory } from "../support/directory.ts";
import { readLedger, readPackets, textOf, SOME_EXIT } from "../support/packets.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
const text = (value: string) => new TextEncoder().encode(value);

function setup(keepBytes?: number) {
  const directory = openDirectory();
  const job = v.parse(JobId, Bun.randomUUIDv7());
  let now = 0;
  const writer = LedgerWriter.create(directory.path, job, {
    keepBytes,
    clock: () => ++now,
    released: () => Number.POSITIVE_INFINITY,
  });
  return {
    directory: directory.path,
    job,
    writer,
    read: (since: number, limit?: number) => readLedger(directory.path, job, since, limit),
    [Symbol.dispose]: () => {
      writer[Symbol.dispose]();
      directory[Symbol.dispose]();
    },
  };
}

type World = ReturnType<typeof setup>;

interface Step {
  readonly step: "append" | "skip";
  readonly stream: "stdout" | "stderr";
  readonly size: number;
}

const steps = fc.array(
  fc.record<Step>({
    step: fc.oneof(
      { weight: 6, arbitrary: fc.constant("append") },
      { weight: 1, arbitrary: fc.constant("skip") },
    ),
    stream: fc.constantFrom("stdout", "stderr"),
    size: fc.oneof(
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 30 * KiB, max: MAX_PAYLOAD_BYTES }),
      fc.constant(MAX_PAYLOAD_BYTES),
    ),
  }),
  { minLength: 1, maxLength: 50 },
);

/** What a reader should give of each packet: `[number, type, next or length]`. */
type Sketch = readonly [number: number, type: Packet["type"], extent: number];

/** Writes the steps and the end, and answers what the ledger then says, had it no budget. */
function write({ writer }: World, script: readonly Step[]): Sketch[] {
  const sketches: Sketch[] = [];
  let number = 0;
  let missing: number | undefined;
  for (const { step, stream, size } of script) {
    writer[step](stream, new Uint8Array(size).fill(number));
    if (step === "skip") missing ??= number;
    else {
      if (missing !== undefined) sketches.push([missing, "gap", number]);
      missing = undefined;
      sketches.push([number, stream, size]);
    }
    number++;
  }
  if (missing !== undefined) sketches.push([missing, "gap", number]);
  writer.close(SOME_EXIT);
  return [...sketches, [number, "closed", 0]];
}

function toSketch(packet: Packet): Sketch {
  const extent = packet.type === "gap" ? packet.next : "bytes" in packet ? packet.bytes.length : 0;
  return [packet.number, packet.type, extent];
}

/** The packet after this one. */
const after = ([number, type, extent]: Sketch) => (type === "gap" ? extent : number + 1);

test("LedgerReader started at any packet gives exactly the rest", () => {
  fc.assert(
    fc.property(
      steps,
      fc.integer({ min: MAX_RECORD_BYTES, max: 4 * MAX_DATA_BYTES }),
      (script, targetBytes) => {
        using world = setup();
        const sketches = write(world, script);
        const { writer, directory, job } = world;
        for (let since = 0; since < writer.totals.packets; since++) {
          using reader = new LedgerReader(directory, job, since);
          const rest = sketches.filter((sketch) => after(sketch) > since);
          expect(readPackets(reader, writer.position, targetBytes).map(toSketch)).toEqual(rest);
          expect(reader.next).toBe(writer.totals.packets);
          expect(reader.position).toBe(writer.position);
        }
      },
    ),
    { numRuns: 40 },
  );
});

test("LedgerReader of a trimmed ledger gives one gap for what is gone, from any packet, and exactly the rest", () => {
  fc.assert(
    fc.property(fc.array(steps, { minLength: 2, maxLength: 3 }), (scripts) => {
      using world = setup(1 * MiB);
      const sketches = write(world, scripts.flat());
      const { writer, directory, job } = world;
      const [oldest = 0] = listSegments(directory);
      for (let since = 0; since < writer.totals.packets; since += since < oldest ? 7 : 1) {
        const kept = sketches.filter((sketch) => sketch[0] >= oldest && after(sketch) > since);
        const gone: Sketch[] = since < oldest ? [[since, "gap", oldest]] : [];
        expect(readLedger(directory, job, since).map(toSketch)).toEqual([...gone, ...kept]);
      }
    }),
    { numRuns: 25 },
  );
});

test("LedgerReader gives the same packets however its limit grows, and nothing above it", () => {
  fc.assert(
    fc.property(steps, fc.array(fc.nat({ max: 200 * KiB }), { maxLength: 40 }), (script, increments) => {
      using world = setup(1 * MiB);
      const { directory, job, writer } = world;
      using reader = new LedgerReader(directory, job, 0);
      const sketches = write(world, script);
      const read: Sketch[] = [];
      let limit = 0;
      for (const increment of [...increments, Number.POSITIVE_INFINITY]) {
        limit += increment;
        read.push(...readPackets(reader, limit).map(toSketch));
        // A gap says where the ledger begins; nothing else may come from above the limit.
        if (read.at(-1)?.[1] !== "gap") expect(reader.position).toBeLessThanOrEqual(limit);
      }
      const [oldest = 0] = listSegments(directory);
      const gone: Sketch[] = oldest > 0 ? [[0, "gap", oldest]] : [];
      expect(read).toEqual([...gone, ...sketches.filter(([number]) => number >= oldest)]);
      expect(reader.position).toBe(writer.position);
    }),
    { numRuns: 40 },
  );
});

test("LedgerReader follows a ledger record by record while it grows over many segments", () => {
  using world = setup(1 * MiB);
  const { directory, job, writer } = world;
  using reader = new LedgerReader(directory, job, 0);
  expect(readPackets(reader, writer.position)).toEqual([]);
  for (let number = 0; number < 100; number++) {
    writer.append("stdout", new Uint8Array(30 * KiB).fill(number));
    expect(readPackets(reader, writer.position)).toMatchObject([{ number, type: "stdout" }]);
  }
  expect(listSegments(directory)[0]).toBeGreaterThan(0);
});

test("LedgerReader that begins beyond the end waits for that packet, and gives no earlier one", () => {
  using world = setup();
  const { directory, job, writer } = world;
  using reader = new LedgerReader(directory, job, 3);
  for (const word of ["zero", "one", "two"]) {
    expect(readPackets(reader, writer.position)).toEqual([]);
    writer.append("stdout", text(word));
  }
  expect(readPackets(reader, writer.position)).toEqual([]);
  writer.append("stdout", text("three"));
  expect(readPackets(reader, writer.position)).toMatchObject([{ number: 3 }]);
});

test("LedgerReader beyond the end of a ledger that rotates before its packet comes still gives that one first", () => {
  using world = setup(1 * MiB);
  const { directory, job, writer } = world;
  using reader = new LedgerReader(directory, job, 20);
  for (let number = 0; number < 25; number++) {
    expect(readPackets(reader, writer.position).map((packet) => packet.number)).toEqual(
      number > 20 ? [number - 1] : [],
    );
    writer.append("stdout", new Uint8Array(60 * KiB));
  }
  expect(listSegments(directory).length).toBeGreaterThan(4);
});

test("LedgerReader.seek says where a packet begins, or how far the ledger goes when it is not written yet", () => {
  using world = setup();
  const { directory, job, writer } = world;
  writer.append("stdout", text("zero"));
  const first = writer.position;
  writer.append("stdout", text("one"));
  for (const [since, position] of [
    [0, 0],
    [1, first],
    [2, writer.position],
    [9, writer.position],
  ] as const) {
    using reader = new LedgerReader(directory, job, since);
    reader.seek(writer.position);
    expect(reader.position).toBe(position);
  }
});

test("LedgerReader reads the segment it is in to its end after that is unlinked, then gives one gap", () => {
  using world = setup(1 * MiB);
  const { directory, job, writer } = world;
  const record = 60 * KiB;
  const append = () => writer.append("stdout", new Uint8Array(record).fill(writer.totals.packets));
  for (let number = 0; number < 5; number++) append();
  const [, second = 0] = listSegments(directory);
  expect(second).toBe(4);

  using reader = new LedgerReader(directory, job, 0);
  const target = new Uint8Array(MAX_RECORD_BYTES);
  expect(reader.read(target, writer.position)).toBe(RECORD_HEADER_BYTES + record);
  while ((listSegments(directory)[0] ?? 0) < 3 * second) append();

  const [oldest = 0] = listSegments(directory);
  const last = writer.totals.packets;
  const rest = readPackets(reader, writer.position);
  expect(rest.map(toSketch)).toEqual([
    [1, "stdout", record],
    [2, "stdout", record],
    [3, "stdout", record],
    [second, "gap", oldest],
    ...Array.from({ length: last - oldest }, (_, index): Sketch => [oldest + index, "stdout", record]),
  ]);
  expect(rest[3]).toMatchObject({ totals: { packets: oldest, stdoutBytes: oldest * record } });
});

test("LedgerReader gives readers of a skipped part the gap, wherever in it they begin", () => {
  using world = setup();
  const { writer, read } = world;
  writer.append("stdout", text("a"));
  for (let missed = 0; missed < 5; missed++) writer.skip("stdout", text("x"));
  writer.append("stdout", text("b"));
  for (let since = 1; since <= 5; since++) {
    expect(read(since)).toMatchObject([
      { type: "gap", next: 6 },
      { type: "stdout", number: 6 },
    ]);
  }
  expect(read(6)).toMatchObject([{ type: "stdout", number: 6 }]);
});

test("LedgerReader gives nothing to a target that is smaller than the next record, and loses nothing by it", () => {
  using world = setup();
  const { directory, job, writer } = world;
  writer.append("stdout", text("twelve bytes"));
  using reader = new LedgerReader(directory, job, 0);
  const size = RECORD_HEADER_BYTES + 12;
  for (let bytes = 0; bytes < size; bytes++)
    expect(reader.read(new Uint8Array(bytes), writer.position)).toBe(0);
  const target = new Uint8Array(size);
  expect(reader.read(target, writer.position)).toBe(size);
  expect([...decodeRecords(target)]).toMatchObject([{ number: 0, payload: text("twelve bytes") }]);
});

test("LedgerReader gives nothing where there is no segment yet", () => {
  using directory = openDirectory();
  const job = v.parse(JobId, Bun.randomUUIDv7());
  expect(readLedger(directory.path, job)).toEqual([]);
  const options = { keepBytes: undefined, clock: () => 0, released: () => 0 };
  using reader = new LedgerReader(directory.path, job, 0);
  expect(readPackets(reader)).toEqual([]);
  using writer = LedgerWriter.create(directory.path, job, options);
  writer.append("stdout", text("now"));
  expect(textOf(readPackets(reader))).toBe("now");
  expect(writer.totals).toEqual({ ...NO_TOTALS, packets: 1, stdoutBytes: 3 });
});

test("LedgerReader says that a ledger is damaged rather than wait for ever on a record of impossible length", () => {
  using world = setup();
  const { directory, writer, read } = world;
  writer.append("stdout", text("whole"));
  const broken = writer.position;
  for (let number = 0; number < 3; number++) writer.append("stdout", new Uint8Array(60 * KiB));
  const path = segmentPath(directory, 0);
  const bytes = readFileSync(path);
  bytes[SEGMENT_HEADER_BYTES + broken] = 0x7f;
  writeFileSync(path, bytes);
  expect(() => read(0)).toThrow("is damaged at packet 1");
  expect(() => read(2)).toThrow("is damaged");
});

test("LedgerReader says that a ledger is damaged where a gap cannot be read", () => {
  using world = setup();
  const { directory, writer, read } = world;
  writer.skip("stdout", text("lost"));
  writer.append("stdout", text("after"));
  const path = segmentPath(directory, 0);
  const bytes = readFileSync(path);
  bytes[SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES] = 0x21;
  writeFileSync(path, bytes);
  for (const since of [0, 1])
    expect(() => read(since)).toThrow(expect.objectContaining({ code: "incomplete_output" }));
});

test("LedgerReader gives one gap where a segment in the middle has gone", () => {
  using world = setup(1 * MiB);
  const { directory, writer, read } = world;
  for (let number = 0; number < 12; number++) writer.append("stdout", new Uint8Array(60 * KiB));
  const [, second = 0, third = 0] = listSegments(directory);
  rmSync(segmentPath(directory, second));
  expect(read(0).map(toSketch)).toEqual([
    ...Array.from({ length: second }, (_, number): Sketch => [number, "stdout", 60 * KiB]),
    [second, "gap", third],
    ...Array.from({ length: 12 - third }, (_, index): Sketch => [third + index, "stdout", 60 * KiB]),
  ]);
});
