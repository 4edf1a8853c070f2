import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { decodeCbor } from "../../../src/protocol/cbor/decode.ts";
import { encodeCbor } from "../../../src/protocol/cbor/encode.ts";
import { AppError } from "../../../src/protocol/error.ts";
import { MAX_VALUE_BYTES, MAX_VALUE_DEPTH, MAX_VALUE_ITEMS } from "../../../src/protocol/limits.ts";

setDefaultTimeout(60_000);

const hex = (value: unknown) => Buffer.from(encodeCbor(value)).toString("hex");

/** Bytes as RFC 8949 and the registrations of the tags have them, by hand. */
const bytes: readonly (readonly [unknown, string])[] = [
  [0, "00"],
  [23, "17"],
  [24, "1818"],
  [1_000_000, "1a000f4240"],
  [Number.MAX_SAFE_INTEGER, "1b001fffffffffffff"],
  [-1, "20"],
  [-1_000, "3903e7"],
  [-0, "f98000"],
  [1.5, "f93e00"],
  [100_000.5, "fa47c35040"],
  [1.1, "fb3ff199999999999a"],
  [1e300, "fb7e37e43c8800759c"],
  [Number.NaN, "f97e00"],
  [Number.NEGATIVE_INFINITY, "f9fc00"],
  [[false, true, null, undefined], "84f4f5f6f7"],
  [0n, "c240"],
  [2n ** 64n, "c249010000000000000000"],
  [-1n - 2n ** 64n, "c349010000000000000000"],
  ["ü水", "65c3bce6b0b4"],
  ["a\ud800", "d9011144" + "61eda080"],
  [new Uint8Array([1, 2]), "420102"],
  [Buffer.from([1, 2]), "420102"],
  [{ a: 1, b: [2, 3] }, "a26161016162820203"],
  [new Map<unknown, unknown>([[1, "x"]]), "d90103a1016178"],
  [new Set([1]), "d901028101"],
  [new Date(1_363_896_240_000), "c11a514b67b0"],
  [new Date(1_363_896_240_500), "c1fb41d452d9ec200000"],
  [new Date(Number.NaN), "c1f97e00"],
  [new URL("http://www.example.com/"), "d82077687474703a2f2f7777772e6578616d706c652e636f6d2f"],
  [/a+/gi, "d9524a82" + "62612b" + "626769"],
  [new Uint16Array([1]), "d845420100"],
  [new BigInt64Array([-2n]), "d84f48feffffffffffffff"],
  [new Uint8Array([7]).buffer, "d81b82" + "6b4172726179427566666572" + "4107"],
  [[1, , undefined], "d81b85" + "654172726179" + "8101" + "01f7f7"],
];

describe("encodeCbor()", () => {
  test("writes what RFC 8949 and the registered tags say, byte by byte", () => {
    for (const [value, expected] of bytes) expect(hex(value)).toBe(`d9d9f7${expected}`);
  });

  test("writes what is there twice once, and a value within itself", () => {
    const twice = [1];
    expect(hex([twice, twice])).toBe("d9d9f7" + "82" + "d81c8101" + "d81d00");
    const itself: unknown[] = [];
    itself.push(itself);
    expect(hex(itself)).toBe("d9d9f7" + "d81c81" + "d81d00");
  });

  test("refuses what is no data, and says where it is", () => {
    const refused: readonly (readonly [unknown, string])[] = [
      [() => 1, "it has a function in it, which is no data"],
      [{ a: [1, { b: Symbol("x") }] }, 'it has a symbol in it, which is no data (at ".a[1].b")'],
      [new Map([["k", Promise.resolve()]]), 'it has a Promise in it, which is no data (at "<value>")'],
      [[new WeakMap()], 'it has a WeakMap in it, which is no data (at "[0]")'],
      [new Error("x", { cause: () => {} }), 'it has a function in it, which is no data (at ".cause")'],
    ];
    for (const [value, message] of refused)
      expect(() => encodeCbor(value)).toThrow(
        new AppError("invalid_input", `Cannot send a value: ${message}`),
      );
  });

  test("refuses what is too deep, too large, or has too many items", () => {
    const nested = (depth: number, inner: unknown = 1) => {
      let value = inner;
      for (let level = 0; level < depth; level++) value = { in: value };
      return value;
    };
    expect(decodeCbor(encodeCbor(nested(MAX_VALUE_DEPTH)))).toEqual(nested(MAX_VALUE_DEPTH));
    expect(() => encodeCbor(nested(MAX_VALUE_DEPTH + 1))).toThrow("nested deeper than 256 levels");
    // What is written can be read, down to the last level.
    const innermost = [{}, [], [, 1], new Set(), new Map(), new Error("x"), new Date(0), undefined];
    for (const inner of innermost) {
      const isContainer = typeof inner === "object" && !(inner instanceof Date);
      const depth = MAX_VALUE_DEPTH - (isContainer ? 1 : 0);
      expect(() => decodeCbor(encodeCbor(nested(depth, inner)))).not.toThrow();
      if (isContainer) expect(() => encodeCbor(nested(depth + 1, inner))).toThrow("nested deeper");
    }
    expect(() => encodeCbor(nested(1_000_000))).toThrow("nested deeper than 256 levels");
    expect(() => encodeCbor(new Uint8Array(MAX_VALUE_BYTES))).toThrow("takes more than");
    expect(() => encodeCbor("x".repeat(MAX_VALUE_BYTES + 1))).toThrow("takes more than");
    expect(() => encodeCbor(new Array(MAX_VALUE_ITEMS).fill(0))).toThrow("has more than");
    expect(() => encodeCbor(new Array(2 ** 32 - 1))).toThrow("has more than");
    // What it writes can be read: each date is two items.
    expect(() => encodeCbor(Array.from({ length: 600_000 }, () => new Date(0)))).toThrow("has more than");
  });

  test("writes large bytes with one copy", () => {
    const large = new Uint8Array(16 * 1024 * 1024).fill(7);
    const start = performance.now();
    const encoded = encodeCbor({ large });
    expect(performance.now() - start).toBeLessThan(500); // 10 ms where this was written
    expect(encoded.length).toBeLessThan(large.length + 32);
  });
});
