import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import * as v from "valibot";
import { findEnding } from "../../src/ledger/ending.ts";
import { LedgerReader } from "../../src/ledger/reader.ts";
import { listSegments, SEGMENT_HEADER_BYTES, segmentPath } from "../../src/ledger/segment.ts";
import { LedgerWriter } from "../../src/ledger/writer.ts";
import type { AppError } from "../../src/protocol/error.ts";
import { JobId } from "../../src/protocol/id.ts";
import { MAX_DATA_BYTES, MAX_PAYLOAD_BYTES, MAX_RECORD_BYTES } from "../../src/protocol/limits.ts";
import {
  decodeRecords,
  encodeRecord,
  NO_TOTALS,
  type RecordedPacket,
  RECORD_HEADER_BYTES,
  toPacket,
} from "../../src/protocol/packet.ts";
import { turn } from "../../src/lib/abort.ts";
import { openDirectory } from "../support/directory.ts";
import { eventually } from "../support/eventually.ts";
import { readLedger, readPackets, textOf, SOME_EXIT } from "../support/packets.ts";

setDefaultTimeout(60_000);

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
type Sketch = readonly [number: number, type: RecordedPacket["type"], extent: number];

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

function toSketch(packet: RecordedPacket): Sketch {
  const extent = packet.type === "gap" ? packet.next : "bytes" in packet ? packet.bytes.length : 0;
  return [packet.number, packet.type, extent];
}

/** The packet after this one. */
const after = ([number, type, extent]: Sketch) => (type === "gap" ? extent : number + 1);

/** What a reader gives from a packet on: of a gap that this one lies in, the rest. */
function toRest(sketches: readonly Sketch[], since: number): Sketch[] {
  return sketches
    .filter((sketch) => after(sketch) > since)
    .map(([number, type, extent]) => [Math.max(number, since), type, extent]);
}

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
          const packets = readPackets(reader, writer.position, targetBytes);
          expect(packets.map(toSketch)).toEqual(toRest(sketches, since));
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
        const kept = toRest(
          sketches.filter(([number]) => number >= oldest),
          since,
        );
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
        // Nobody is told of more than there is.
        limit =
          increment === Number.POSITIVE_INFINITY ? increment : Math.min(writer.position, limit + increment);
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
      { type: "gap", number: since, next: 6, totals: { stdoutBytes: 6 } },
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
  expect(() => read(0)).toThrow(
    expect.objectContaining({ code: "incomplete_output", details: { packet: 0, behind: 1 } }),
  );
  expect(textOf(read(1))).toBe("after");
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

/** What a reader gives from a packet on, and why it stops. */
function readDamaged(directory: string, job: JobId, since: number) {
  using reader = new LedgerReader(directory, job, since);
  const packets: RecordedPacket[] = [];
  const target = new Uint8Array(MAX_DATA_BYTES);
  try {
    for (;;) {
      const length = reader.read(target, Number.POSITIVE_INFINITY);
      if (length === 0) return { packets, error: undefined };
      for (const record of decodeRecords(target.slice(0, length)))
        packets.push(toPacket(record) as RecordedPacket);
    }
  } catch (error) {
    return { packets, error };
  }
}

type Damage = readonly ["cut" | "flip" | "remove", segment: number, offset: number];

/** Damages a segment of a ledger, if there is one. */
function damage(directory: string, [kind, index, at]: Damage): void {
  const segments = listSegments(directory);
  if (segments.length === 0) return;
  const path = segmentPath(directory, segments[index % segments.length] ?? 0);
  if (kind === "remove") return rmSync(path);
  const bytes = readFileSync(path);
  if (bytes.length === 0) return;
  const offset = at % bytes.length;
  if (kind === "cut") return writeFileSync(path, bytes.subarray(0, offset));
  bytes[offset] = (bytes[offset] ?? 0) ^ (1 << (at % 8));
  writeFileSync(path, bytes);
}

const damages = fc.array(
  fc.tuple(fc.constantFrom("cut" as const, "flip" as const, "remove" as const), fc.nat(9), fc.nat()),
  { minLength: 1, maxLength: 3 },
);

test("LedgerReader of a ledger that is damaged anyhow gives no wrong byte and no packet twice, and knows what it lacks", () => {
  fc.assert(
    fc.property(
      fc.array(steps, { minLength: 1, maxLength: 2 }),
      damages,
      fc.nat(60),
      (scripts, wounds, since) => {
        using world = setup(1 * MiB);
        const { directory, job, writer } = world;
        write(world, scripts.flat());
        const whole = new Map(readLedger(directory, job).map((packet) => [packet.number, packet]));
        for (const wound of wounds) damage(directory, wound);

        const { packets, error } = readDamaged(directory, job, since);
        if (error !== undefined) expect(error).toMatchObject({ code: "incomplete_output" });
        let next = since;
        for (const packet of packets) {
          expect(packet.number).toBe(next);
          next = packet.type === "gap" ? packet.next : packet.number + 1;
          if (packet.type !== "gap") expect(packet).toEqual(whole.get(packet.number) as typeof packet);
        }
        // Whoever got all was told of nothing; whoever did not was told, or sees that the last packet is missing.
        if (error === undefined && since < writer.totals.packets)
          expect(next === writer.totals.packets).toBe(packets.at(-1)?.type === "closed");
        const behind = (error as { details?: { behind?: number } } | undefined)?.details?.behind;
        // Unless that is damaged too.
        if (behind !== undefined)
          expect([behind, undefined]).toContain(readDamaged(directory, job, behind).packets[0]?.number);

        // Whoever goes on with such a ledger does not make it worse.
        const before = readDamaged(directory, job, since);
        using recovered = LedgerWriter.recover(directory, job, {
          keepBytes: undefined,
          clock: () => 0,
          released: () => 0,
        });
        recovered.close(SOME_EXIT);
        const again = readDamaged(directory, job, since);
        expect(again.packets.slice(0, before.packets.length)).toEqual(before.packets);
        expect(findEnding(directory, job)).toMatchObject({ closed: true });
      },
    ),
    { numRuns: 150 },
  );
});

test("LedgerReader gives everything up to a record with any bit flipped, and says where it can be read again", () => {
  using world = setup();
  const { directory, job, writer } = world;
  for (const word of ["zero", "one", "two", "three"]) writer.append("stdout", text(word));
  writer.close(SOME_EXIT);
  const path = segmentPath(directory, 0);
  const sound = readFileSync(path);
  const start = SEGMENT_HEADER_BYTES + 2 * RECORD_HEADER_BYTES + 7;
  for (let bit = start * 8; bit < (start + RECORD_HEADER_BYTES + 3) * 8; bit++) {
    const bytes = Uint8Array.from(sound); // a slice of a Buffer would be the Buffer
    bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    writeFileSync(path, bytes);
    const { packets, error } = readDamaged(directory, job, 0);
    expect(textOf(packets)).toBe("zeroone");
    const isLength = bit < (start + 4) * 8;
    // One that seems to reach beyond the end is like a torn one: the reader sees that the last packet is missing.
    if (error === undefined) expect(isLength).toBe(true);
    else expect(error).toMatchObject({ message: expect.stringContaining("is damaged at packet 2") });
    if (isLength) continue;
    expect((error as AppError).details, `bit ${bit - start * 8}`).toEqual({ packet: 2, behind: 3 });
    expect(textOf(readDamaged(directory, job, 3).packets)).toBe("three");
    expect(findEnding(directory, job)).toMatchObject({ closed: true, exit: SOME_EXIT, next: 5 });
  }
});

test("LedgerReader takes nothing for a record that a job wrote into its own output", () => {
  using world = setup();
  const { directory, job, writer } = world;
  writer.append("stdout", text("zero"));
  const broken = writer.position;
  const forged = encodeRecord("closed", { number: 2, at: 0 }, { exit: SOME_EXIT, totals: NO_TOTALS });
  for (let number = 0; number < 3; number++) writer.append("stdout", forged);
  const path = segmentPath(directory, 0);
  const bytes = readFileSync(path);
  bytes[SEGMENT_HEADER_BYTES + broken] = 0x7f;
  writeFileSync(path, bytes);
  const { packets, error } = readDamaged(directory, job, 0);
  expect([textOf(packets), (error as Error).message]).toEqual([
    "zero",
    expect.stringMatching(/at packet 1$/),
  ]);
  expect(findEnding(directory, job)).toMatchObject({ closed: false, exit: undefined });
});

test("LedgerReader says at once that a ledger has lost what was told of, and not that it is still to come", () => {
  using world = setup();
  const { directory, job, writer, read } = world;
  for (const word of ["zero", "one"]) writer.append("stdout", text(word));
  using attached = new LedgerReader(directory, job, 0);
  expect(textOf(readPackets(attached, writer.position))).toBe("zeroone");
  writer.append("stdout", text("two"));
  const path = segmentPath(directory, 0);
  writeFileSync(path, readFileSync(path).subarray(0, SEGMENT_HEADER_BYTES + 3 * RECORD_HEADER_BYTES));
  expect(() => readPackets(attached, writer.position)).toThrow("is damaged at packet 2");
  writeFileSync(path, "");
  expect(() => readPackets(attached, writer.position)).toThrow("is damaged at packet 2");
  // The keeper goes on where it was, and what is before that are zeros.
  writer.append("stdout", text("three"));
  expect(() => read(0, writer.position)).toThrow("is damaged at packet 0");
});

test("LedgerReader ignores whatever else lies in the directory", () => {
  using world = setup();
  const { directory, writer, read } = world;
  writer.append("stdout", text("zero"));
  for (const name of ["x.seg", "1.seg", "0000000000000001.seg.bak", ".0000000000000001.seg", "core"])
    writeFileSync(join(directory, name), "rubbish");
  expect(textOf(read(0))).toBe("zero");
  mkdirSync(segmentPath(directory, 1));
  expect(() => read(0)).toThrow(expect.objectContaining({ code: "incomplete_output" }));
});

test("A reader that is not told how far it may go misses nothing of a ledger that others write meanwhile", async () => {
  using directory = openDirectory();
  const job = v.parse(JobId, Bun.randomUUIDv7());
  const packets = 4_000;
  const writing = Bun.spawn(
    [
      process.execPath,
      "-e",
      `const { LedgerWriter } = await import(${JSON.stringify(join(import.meta.dir, "../../src/ledger/writer.ts"))});
      const options = { keepBytes: 1, clock: () => 0, released: () => 0 }; // small segments, all of them kept
      const writer = LedgerWriter.create(${JSON.stringify(directory.path)}, "${job}", options);
      for (let number = 0; number < ${packets}; number++) writer.append("stdout", new Uint8Array(20_000));`,
    ],
    { stderr: "inherit" },
  );
  await eventually(() => listSegments(directory.path).length > 0);
  using reader = new LedgerReader(directory.path, job, 0);
  const buffer = new Uint8Array(MAX_DATA_BYTES);
  const gaps: unknown[] = [];
  while (reader.next < packets) {
    const bytes = reader.read(buffer, Number.POSITIVE_INFINITY);
    for (const record of decodeRecords(buffer.subarray(0, bytes)))
      if (record.kind === "gap") gaps.push(toPacket(record));
    if (bytes === 0) await turn();
  }
  expect([await writing.exited, gaps]).toEqual([0, []]);
});
