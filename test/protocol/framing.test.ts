import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { Cutter, encodeHeader, type Framing } from "../../src/protocol/framing.ts";
import { AppError } from "../../src/protocol/error.ts";

const FRAMING: Framing<"one" | "other"> = {
  kinds: ["one", "other"],
  headerBytes: 7,
  maxBytes: 100,
  refuse: () => new AppError("protocol_error", "no record"),
};

const record = fc.record({
  kind: fc.constantFrom(...FRAMING.kinds),
  extra: fc.uint8Array({ minLength: 2, maxLength: 2 }),
  payload: fc.uint8Array({ maxLength: FRAMING.maxBytes }),
});

function encode({
  kind,
  extra,
  payload,
}: typeof record extends fc.Arbitrary<infer R> ? R : never): Uint8Array {
  const bytes = encodeHeader(FRAMING, kind, payload.length);
  bytes.set(extra, 5);
  bytes.set(payload, FRAMING.headerBytes);
  return bytes;
}

describe("Cutter", () => {
  test("gives every record as it was, wherever the bytes are cut, and though their buffer is used again", () => {
    fc.assert(
      fc.property(fc.array(record), fc.integer({ min: 1, max: 64 }), (records, size) => {
        const cutter = new Cutter(FRAMING);
        const bytes = Buffer.concat(records.map(encode));
        const came = [];
        for (let start = 0; start < bytes.length; start += size) {
          const chunk = new Uint8Array(bytes.subarray(start, start + size));
          for (const { kind, header, payload } of cutter.copy(chunk))
            came.push({ kind, extra: header.slice(5), payload: payload.slice() });
          chunk.fill(0xff);
        }
        expect(came).toEqual(records);
        expect(cutter.isWithin).toBe(false);
      }),
    );
  });

  test("refuses a kind that there is not, and a payload beyond its bound, before that has come", () => {
    const push = (...bytes: number[]) => [...new Cutter(FRAMING).push(Uint8Array.from(bytes))];
    expect(() => push(0, 0, 0, 0, 2, 0, 0)).toThrow("no record");
    expect(() => push(0, 0, 0, 101, 0, 0, 0)).toThrow("no record");
    expect(push(0, 0, 0, 100, 0, 0, 0)).toEqual([]);
  });
});
