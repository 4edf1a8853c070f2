import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MAX_PAYLOAD_BYTES } from "../../src/protocol/limits.ts";
import {
  addRecord,
  decodeRecords,
  encodeRecord,
  getUint64,
  NO_TOTALS,
  type RecordedPacket,
  checkRecord,
  peekRecord,
  RECORD_HEADER_BYTES,
  setUint64,
  toPacket,
  writeRecordHeader,
} from "../../src/protocol/packet.ts";
import { anyCount, anyExit, anyGap, anyTotals } from "../support/arbitrary.ts";
import { SOME_EXIT } from "../support/packets.ts";

function encodeOutput(
  type: "stdout" | "stderr" | "part",
  number: number,
  at: number,
  bytes: Uint8Array,
): Uint8Array {
  const record = new Uint8Array(RECORD_HEADER_BYTES + bytes.length);
  record.set(bytes, RECORD_HEADER_BYTES);
  writeRecordHeader(new DataView(record.buffer), type, { number, at }, bytes);
  return record;
}

function encode(packet: RecordedPacket): Uint8Array {
  const { number, at } = packet;
  switch (packet.type) {
    case "stdout":
    case "stderr":
    case "part":
      return encodeOutput(packet.type, number, at, packet.bytes);
    case "value":
      return encodeRecord("value", { number, at }, packet.value);
    case "resize":
      return encodeRecord("resize", { number, at }, { columns: packet.columns, rows: packet.rows });
    case "gap":
      return encodeRecord("gap", { number, at }, { next: packet.next, totals: packet.totals });
    case "closed":
      return encodeRecord("closed", { number, at }, { totals: packet.totals, exit: packet.exit });
    case "exit": {
      const { type: _type, number: _number, at: _at, ...exit } = packet;
      return encodeRecord("exit", { number, at }, exit);
    }
  }
}

const stamp = { number: anyCount, at: anyCount };
const anyCells = fc.integer({ min: 1, max: 10_000 });
const packets = fc.array(
  fc.oneof<fc.Arbitrary<RecordedPacket>[]>(
    fc.record({
      ...stamp,
      type: fc.constantFrom("stdout" as const, "stderr" as const, "part" as const),
      bytes: fc.uint8Array({ maxLength: 200 }),
    }),
    fc.record({ ...stamp, type: fc.constant("value" as const), value: fc.jsonValue() }),
    fc.record({ ...stamp, type: fc.constant("resize" as const), columns: anyCells, rows: anyCells }),
    fc.tuple(fc.record(stamp), anyGap).map(([own, gap]) => ({ ...own, type: "gap" as const, ...gap })),
    fc.tuple(fc.record(stamp), anyExit).map(([own, exit]) => ({ ...own, type: "exit" as const, ...exit })),
    fc.record({ ...stamp, type: fc.constant("closed" as const), totals: anyTotals, exit: anyExit }),
  ),
  { maxLength: 8 },
);

/** Places records somewhere in a larger buffer, as a read or a frame does. */
function place(records: readonly Uint8Array[], before: number): Uint8Array {
  const joined = Buffer.concat(records);
  const room = new Uint8Array(before + joined.length + 5).fill(0xee);
  room.set(joined, before);
  return room.subarray(before, before + joined.length);
}

test("decodeRecords and toPacket give back what was encoded, wherever it lies in a buffer", () => {
  fc.assert(
    fc.property(packets, fc.nat(9), (sent, before) => {
      const bytes = place(sent.map(encode), before);
      expect([...decodeRecords(bytes)].map(toPacket)).toEqual(sent);
    }),
  );
});

test("checkRecord tells of each record where it ends and which packet follows it, and of each cut that it is one", () => {
  fc.assert(
    fc.property(packets, fc.nat(9), (sent, before) => {
      const bytes = place(sent.map(encode), before);
      const { buffer, byteOffset } = bytes;
      let start = 0;
      for (const packet of sent) {
        const end = start + encode(packet).length;
        const { number } = packet;
        const isSound = packet.type !== "gap" || packet.next > number;
        const next = packet.type === "gap" ? packet.next : number + 1;
        for (let length = start; length < end; length++)
          expect(checkRecord(new DataView(buffer, byteOffset, length), start)).toBe("cut");
        expect(checkRecord(new DataView(buffer, byteOffset, bytes.length), start)).toEqual(
          isSound ? { end, number, next } : "broken",
        );
        start = end;
      }
    }),
    { numRuns: 30 },
  );
});

test("checkRecord takes no record with a flipped bit for one", () => {
  const record = encodeOutput("stdout", 5, 6, new Uint8Array([1, 2, 3]));
  for (let bit = 0; bit < record.length * 8; bit++) {
    const changed = record.slice();
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    expect(checkRecord(new DataView(changed.buffer), 0), `bit ${bit}`).toBeString();
  }
});

test("peekRecord tells where a record ends and which packet follows it", () => {
  fc.assert(
    fc.property(packets, fc.nat(9), (sent, before) => {
      const bytes = place(sent.map(encode), before);
      let start = 0;
      for (const packet of sent) {
        const end = start + encode(packet).length;
        const next = packet.type === "gap" ? packet.next : packet.number + 1;
        expect(peekRecord(bytes, start)).toEqual({ end, next });
        start = end;
      }
    }),
  );
});

describe("decodeRecords refuses", () => {
  const record = encodeOutput("stdout", 5, 6, new Uint8Array([1, 2, 3]));

  test("a record with any bit changed", () => {
    for (let bit = 0; bit < record.length * 8; bit++) {
      const changed = record.slice();
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(() => [...decodeRecords(changed)], `bit ${bit}`).toThrow(
        expect.objectContaining({ code: "protocol_error" }),
      );
    }
  });

  test("a record that is cut off anywhere", () => {
    for (let size = 1; size < record.length; size++)
      expect(() => [...decodeRecords(record.subarray(0, size))]).toThrow("wrong length");
  });

  test("a record that is longer than any may be", () => {
    const most = encodeOutput("stdout", 0, 0, new Uint8Array(MAX_PAYLOAD_BYTES));
    expect([...decodeRecords(most)]).toHaveLength(1);
    const longer = encodeOutput("stdout", 0, 0, new Uint8Array(MAX_PAYLOAD_BYTES + 1));
    expect(() => [...decodeRecords(longer)]).toThrow("wrong length");
  });

  test("nothing before the broken one", () => {
    const broken = record.slice();
    broken[RECORD_HEADER_BYTES] = 9;
    const read: number[] = [];
    expect(() => {
      for (const { number } of decodeRecords(Buffer.concat([record, broken]))) read.push(number);
    }).toThrow("wrong checksum");
    expect(read).toEqual([5]);
  });
});

/** A record with a right checksum and any kind and payload. */
function forge(kind: number, payload: Uint8Array): Uint8Array {
  const record = encodeOutput("stdout", 1, 2, payload);
  record[8] = kind;
  new DataView(record.buffer).setUint32(4, Bun.hash.crc32(record.subarray(8)));
  return record;
}

test("toPacket passes over a kind that a newer version wrote", () => {
  const [raw] = decodeRecords(forge(200, new Uint8Array([1])));
  expect(raw).toMatchObject({ kind: undefined, number: 1, at: 2 });
  expect(raw && toPacket(raw)).toBeUndefined();
});

test.each([
  ["no JSON", "{"],
  ["JSON of another shape", '{"next":1}'],
  ["a negative count", '{"next":-1,"totals":{"packets":0,"values":0,"stdoutBytes":0,"stderrBytes":0}}'],
])("toPacket refuses a gap with %s", (_what, text) => {
  const [raw] = decodeRecords(forge(7, new TextEncoder().encode(text)));
  expect(() => raw && toPacket(raw)).toThrow(expect.objectContaining({ code: "protocol_error" }));
});

test.each(['{"columns":80}', '{"columns":0,"rows":24}', '{"columns":80,"rows":1.5}'])(
  "toPacket refuses a terminal of size %s",
  (text) => {
    const [raw] = decodeRecords(forge(4, new TextEncoder().encode(text)));
    expect(() => raw && toPacket(raw)).toThrow(expect.objectContaining({ code: "protocol_error" }));
  },
);

test("addRecord counts packets and the bytes of each stream, and takes the totals of a gap", () => {
  const totals = { packets: 9, values: 1, stdoutBytes: 90, stderrBytes: 80 };
  const records = [
    encodeOutput("stdout", 0, 0, new Uint8Array(5)),
    encodeOutput("stderr", 1, 0, new Uint8Array(7)),
    encodeRecord("gap", { number: 2, at: 0 }, { next: 9, totals }),
    encodeOutput("stdout", 9, 0, new Uint8Array(1)),
    encodeRecord("resize", { number: 10, at: 0 }, { columns: 80, rows: 24 }),
    encodeRecord("closed", { number: 11, at: 0 }, { totals, exit: SOME_EXIT }),
  ];
  const steps = [...decodeRecords(Buffer.concat(records))].map(
    (
      (sum) => (record) =>
        (sum = addRecord(sum, record))
    )(NO_TOTALS),
  );
  expect(steps).toEqual([
    { packets: 1, values: 0, stdoutBytes: 5, stderrBytes: 0 },
    { packets: 2, values: 0, stdoutBytes: 5, stderrBytes: 7 },
    totals,
    { ...totals, packets: 10, stdoutBytes: 91 },
    { ...totals, packets: 11, stdoutBytes: 91 },
    { ...totals, packets: 12, stdoutBytes: 91 },
  ]);
});

test("setUint64 and getUint64 are exact for every safe integer, and agree with a DataView", () => {
  fc.assert(
    fc.property(anyCount, fc.nat(8), (value, offset) => {
      const view = new DataView(new ArrayBuffer(16));
      setUint64(view, offset, value);
      expect(getUint64(view, offset)).toBe(value);
      expect(view.getBigUint64(offset)).toBe(BigInt(value));
    }),
  );
});

test("encodeRecord writes the documented bytes, which never change", () => {
  const record = encodeOutput("stderr", 2 ** 33 + 1, 258, new TextEncoder().encode("hi"));
  expect(Buffer.from(record).toString("hex")).toBe(
    "00000002" +
      Bun.hash.crc32(record.subarray(8)).toString(16).padStart(8, "0") +
      "02000000" +
      "0000000200000001" +
      "0000000000000102" +
      "6869",
  );
  expect(Bun.hash.crc32("123456789")).toBe(0xcbf43926);
});
