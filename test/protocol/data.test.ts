import { expect, test } from "bun:test";
import fc from "fast-check";
import { DATA_HEADER_BYTES, decodeData, writeDataHeader } from "../../src/protocol/data.ts";
import { MAX_DATA_BYTES } from "../../src/protocol/limits.ts";
import { anyCount } from "../support/arbitrary.ts";

function encode(channel: number, position: number, bytes: Uint8Array): Uint8Array {
  const frame = new Uint8Array(DATA_HEADER_BYTES + bytes.length);
  writeDataHeader(frame, channel, position);
  frame.set(bytes, DATA_HEADER_BYTES);
  return frame;
}

test("decodeData gives back what was written, wherever it lies in a buffer", () => {
  const channels = fc.integer({ min: 1, max: 0xffff_ffff });
  fc.assert(
    fc.property(
      channels,
      anyCount,
      fc.uint8Array({ minLength: 1 }),
      fc.nat(9),
      (channel, position, bytes, before) => {
        const room = new Uint8Array(before + DATA_HEADER_BYTES + bytes.length);
        room.set(encode(channel, position, bytes), before);
        expect(decodeData(room.subarray(before))).toEqual({ channel, position, bytes });
      },
    ),
  );
});

test("decodeData takes the largest frame, and none that is larger", () => {
  expect(decodeData(encode(1, 0, new Uint8Array(MAX_DATA_BYTES))).bytes).toHaveLength(MAX_DATA_BYTES);
  expect(() => decodeData(encode(1, 0, new Uint8Array(MAX_DATA_BYTES + 1)))).toThrow("is larger than");
});

test("decodeData refuses a frame without bytes, cut anywhere in its header", () => {
  const frame = encode(1, 0, new Uint8Array(1));
  for (let size = 0; size <= DATA_HEADER_BYTES; size++)
    expect(() => decodeData(frame.subarray(0, size))).toThrow("carries no bytes");
});

test("decodeData refuses a kind that it does not know", () => {
  for (const offset of [0, 1, 2, 3]) {
    const frame = encode(1, 0, new Uint8Array(1));
    frame[offset] = 2;
    expect(() => decodeData(frame)).toThrow("is of an unknown kind");
  }
});

test("decodeData refuses channel 0, which there is none of", () => {
  expect(() => decodeData(encode(0, 0, new Uint8Array(1)))).toThrow("channel 0");
});

test("decodeData refuses a position that no number holds exactly", () => {
  const frame = encode(1, 0, new Uint8Array(1));
  new DataView(frame.buffer).setBigUint64(8, 2n ** 53n);
  expect(() => decodeData(frame)).toThrow("beyond 2^53");
});
