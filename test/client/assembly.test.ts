import { describe, expect, test } from "bun:test";
import { Assembly } from "../../src/client/assembly.ts";
import { decodeValue, encodeValue } from "../../src/protocol/cbor/payload.ts";
import { MAX_PAYLOAD_BYTES, MAX_VALUE_BYTES } from "../../src/protocol/limits.ts";
import type { PacketKind, RawRecord } from "../../src/protocol/packet.ts";

const record = (kind: PacketKind, number: number, payload: Uint8Array, continues = false): RawRecord => ({
  kind,
  number,
  at: 0,
  payload,
  continues,
});

/** The records of a value, from this number on. */
function split(value: unknown, from: number): RawRecord[] {
  const bytes = encodeValue(value);
  const count = Math.ceil(bytes.length / MAX_PAYLOAD_BYTES);
  return Array.from({ length: count }, (_, index) =>
    record(
      index === count - 1 ? "value" : "part",
      from + index,
      bytes.subarray(index * MAX_PAYLOAD_BYTES, (index + 1) * MAX_PAYLOAD_BYTES),
      index > 0,
    ),
  );
}

const large = { text: "x".repeat(200_000), map: new Map([[1n, -0]]) };

describe("Assembly", () => {
  test("gives a value with all of its bytes, under the number of its last packet", () => {
    const assembly = new Assembly();
    const taken = [...split(1, 0), ...split(large, 1), ...split(2, 5)].map((one) => assembly.take(one));
    expect(taken.map((one) => one?.number)).toEqual([0, undefined, undefined, undefined, 4, 5]);
    expect(taken.flatMap((one) => (one ? [decodeValue(one.payload)] : []))).toEqual([1, large, 2]);
  });

  test("passes over the rest of a value whose beginning is not there, and gives the next", () => {
    for (const said of [large, "x".repeat(200_000)])
      for (const missing of [1, 2, 3]) {
        const assembly = new Assembly();
        const records = [...split(said, 8), ...split(said, 12)];
        const taken = records.slice(missing).map((one) => assembly.take(one));
        expect(taken.flatMap((one) => (one ? [one.number] : []))).toEqual([15]);
      }
  });

  test("passes over a value of which a gap took some, and one that was never ended", () => {
    const assembly = new Assembly();
    const gap = record("gap", 9, new Uint8Array());
    const [begin, , ...rest] = split("x".repeat(200_000), 8);
    const records = [begin as RawRecord, gap, ...rest, ...split(large, 12).slice(0, 2), ...split(1, 20)];
    expect(records.flatMap((one) => assembly.take(one)?.number ?? [])).toEqual([9, 20]);
  });

  test("keeps the parts since the last value, for what they turn out to be of", () => {
    const assembly = new Assembly();
    for (const one of [
      ...split(1, 0),
      ...split(large, 1).slice(0, 2),
      record("stdout", 3, new Uint8Array(9)),
    ])
      assembly.take(one);
    expect(assembly.find(1)?.length).toBe(2 * MAX_PAYLOAD_BYTES);
    expect(assembly.find(0)).toBeUndefined();
  });

  test("refuses a value that is larger than any, and holds nothing of it", () => {
    const assembly = new Assembly();
    const part = new Uint8Array(MAX_PAYLOAD_BYTES);
    const fill = () => {
      for (let number = 0; number <= MAX_VALUE_BYTES / part.length; number++)
        assembly.take(record("part", number, part, number > 0));
    };
    expect(fill).toThrow("takes more than");
    expect(assembly.find(0)).toBeUndefined();
  });
});
