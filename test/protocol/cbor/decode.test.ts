import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { decodeCbor } from "../../../src/protocol/cbor/decode.ts";
import { encodeCbor } from "../../../src/protocol/cbor/encode.ts";
import { decodeValue } from "../../../src/protocol/cbor/payload.ts";
import { fromTagged } from "../../../src/protocol/cbor/untag.ts";
import { AppError } from "../../../src/protocol/error.ts";
import { MAX_FRAME_ITEMS, MAX_VALUE_BYTES, MAX_VALUE_ITEMS } from "../../../src/protocol/limits.ts";
import { anyValue } from "../../support/any-value.ts";
import { findDifference } from "../../support/same.ts";

setDefaultTimeout(60_000);

const decode = (hex: string) => decodeCbor(Buffer.from(hex, "hex"));

/** RFC 8949, appendix A, but for what it says of tags that mean nothing here. */
const vectors: readonly (readonly [string, unknown])[] = [
  ["00", 0],
  ["01", 1],
  ["0a", 10],
  ["17", 23],
  ["1818", 24],
  ["1819", 25],
  ["1864", 100],
  ["1903e8", 1_000],
  ["1a000f4240", 1_000_000],
  ["1b000000e8d4a51000", 1_000_000_000_000],
  ["1bffffffffffffffff", 18_446_744_073_709_551_615n],
  ["c249010000000000000000", 18_446_744_073_709_551_616n],
  ["3bffffffffffffffff", -18_446_744_073_709_551_616n],
  ["c349010000000000000000", -18_446_744_073_709_551_617n],
  ["20", -1],
  ["29", -10],
  ["3863", -100],
  ["3903e7", -1_000],
  ["f90000", 0],
  ["f98000", -0],
  ["f93c00", 1],
  ["fb3ff199999999999a", 1.1],
  ["f93e00", 1.5],
  ["f97bff", 65_504],
  ["fa47c35000", 100_000],
  ["fa7f7fffff", 3.4028234663852886e38],
  ["fb7e37e43c8800759c", 1e300],
  ["f90001", 5.960464477539063e-8],
  ["f90400", 0.00006103515625],
  ["f9c400", -4],
  ["fbc010666666666666", -4.1],
  ["f97c00", Number.POSITIVE_INFINITY],
  ["f97e00", Number.NaN],
  ["f9fc00", Number.NEGATIVE_INFINITY],
  ["fa7f800000", Number.POSITIVE_INFINITY],
  ["fa7fc00000", Number.NaN],
  ["faff800000", Number.NEGATIVE_INFINITY],
  ["fb7ff0000000000000", Number.POSITIVE_INFINITY],
  ["fb7ff8000000000000", Number.NaN],
  ["fbfff0000000000000", Number.NEGATIVE_INFINITY],
  ["f4", false],
  ["f5", true],
  ["f6", null],
  ["f7", undefined],
  ["c074323031332d30332d32315432303a30343a30305a", new Date("2013-03-21T20:04:00Z")],
  ["c11a514b67b0", new Date(1_363_896_240_000)],
  ["c1fb41d452d9ec200000", new Date(1_363_896_240_500)],
  ["d74401020304", new Uint8Array([1, 2, 3, 4])],
  ["d82076687474703a2f2f7777772e6578616d706c652e636f6d", new URL("http://www.example.com")],
  ["40", new Uint8Array()],
  ["4401020304", new Uint8Array([1, 2, 3, 4])],
  ["60", ""],
  ["6161", "a"],
  ["6449455446", "IETF"],
  ["62225c", '"\\'],
  ["62c3bc", "ü"],
  ["63e6b0b4", "水"],
  ["64f0908591", "\u{10151}"],
  ["80", []],
  ["83010203", [1, 2, 3]],
  ["8301820203820405", [1, [2, 3], [4, 5]]],
  [
    "98190102030405060708090a0b0c0d0e0f101112131415161718181819",
    Array.from({ length: 25 }, (_, index) => index + 1),
  ],
  ["a0", {}],
  [
    "a201020304",
    new Map([
      [1, 2],
      [3, 4],
    ]),
  ],
  ["a26161016162820203", { a: 1, b: [2, 3] }],
  ["826161a161626163", ["a", { b: "c" }]],
  ["a56161614161626142616361436164614461656145", { a: "A", b: "B", c: "C", d: "D", e: "E" }],
  ["5f42010243030405ff", new Uint8Array([1, 2, 3, 4, 5])],
  ["7f657374726561646d696e67ff", "streaming"],
  ["9fff", []],
  ["9f018202039f0405ffff", [1, [2, 3], [4, 5]]],
  ["9f01820203820405ff", [1, [2, 3], [4, 5]]],
  ["83018202039f0405ff", [1, [2, 3], [4, 5]]],
  ["83019f0203ff820405", [1, [2, 3], [4, 5]]],
  ["bf61610161629f0203ffff", { a: 1, b: [2, 3] }],
  ["826161bf61626163ff", ["a", { b: "c" }]],
  ["bf6346756ef563416d7421ff", { Fun: true, Amt: -2 }],
];

/** What other writers of the registered tags may write. */
const foreign: readonly (readonly [string, unknown])[] = [
  ["d9d9f701", 1],
  ["d840420102", new Uint8Array([1, 2])],
  ["d8414400010002", new Uint16Array([1, 2])],
  ["d84a4400000005", new Int32Array([5])],
  ["d852483ff8000000000000", new Float64Array([1.5])],
  ["d9524a816161", /a/],
  ["d81c6161", "a"],
  ["82d81c6161d81d00", ["a", "a"]],
  ["d90103a0", new Map()],
  ["bfff", {}],
  ["1b0020000000000000", 9_007_199_254_740_992n],
];

/** What is refused, and why. */
const hostile: readonly (readonly [string, string])[] = [
  ["", "is cut off"],
  ["18", "is cut off"],
  ["0000", "goes on behind its end"],
  ["ff", "has a simple value that there is not"],
  ["1c", "has a length that there is not"],
  ["f800", "has a simple value that there is not"],
  ["9b00000100000000" + "00", "is cut off"],
  ["5b7fffffffffffffff", "is cut off"],
  ["bb0000010000000000", "is cut off"],
  ["9affffffff", "is cut off"],
  ["61ff", "has text that is no UTF-8"],
  ["63eda080", "has text that is no UTF-8"],
  ["7f61c361bcff", "has text that is no UTF-8"],
  ["7f4100ff", "has a string with a piece that is none"],
  ["7f7f6161ffff", "has a string with a piece that is none"],
  ["d90111" + "41ff", "has text that is no UTF-8"],
  ["a2616101616102", "has a key twice"],
  ["a261610101" + "02", "has a key that is no text in an object"],
  ["d90103a201020103", "has a key twice"],
  ["d90102820101", "has something twice in a set"],
  ["d90102a0", "has a tag on what it does not fit"],
  ["c1c101", "has something else where a number must be"],
  ["c16161", "has something else where a number must be"],
  ["c1fb7fefffffffffffff", "has a date beyond all dates"],
  ["c06161", "has a date that is none"],
  ["c06431393730", "has a date that is none"],
  ["c2f4", "has something else where bytes must be"],
  ["d8206161", "has a URL that is none"],
  ["d820d820" + "6161", "has something else where text must be"],
  ["d9524a816128", "has a regular expression that is none"],
  ["d9524a8261616178", "has a regular expression that is none"],
  ["d9524a80", "has a regular expression that is none"],
  ["d8454101", "has a Uint16Array of 1 bytes"],
  ["d8534101", "has a tag that is unknown here: 83"],
  ["c48221196ab3", "has a tag that is unknown here: 4"],
  ["db7fffffffffffffff00", "has a tag that is unknown here"],
  ["d81d00", "refers to something that is not there yet"],
  ["d81cd81d00", "refers to something that is not there yet"],
  ["82d81d00d81c80", "refers to something that is not there yet"],
  ["d81d20", "refers to something that is not there yet"],
  ["d81cd81c80", "shares something twice"],
  ["d81c82d90102" + "81d81d01" + "00", "refers to something that is not there yet"],
  ["d81b80", "has an object of a class that is none"],
  ["d81b826450617468a0", "has an object of a class that is unknown here"],
  ["d81b82684675" + "6e6374696f6e61", "has an object of a class that is unknown here"],
  ["d81b82654572726f72a1676d65737361676501", "has an error whose message is no text"],
  ["d81b82654572726f72a2676d6573736167656161676d6573736167656162", "has a key twice"],
  ["d81b826e416767726567617465" + "4572726f72a1666572726f727301", "has an error whose errors are no list"],
  ["d81b846541727261798105f7f7", "has an array with a hole where none can be"],
  ["d81b83654172726179810001", "has an array with a hole where none can be"],
  ["d81b8365417272617901f7", "has a tag on what it does not fit"],
  ["d81b8365417272617981695f5f70726f746f5f5ff7", "has an array with a hole where none can be"],
];

describe("decodeCbor()", () => {
  test("reads RFC 8949's examples, and what others write with the registered tags", () => {
    for (const [hex, value] of [...vectors, ...foreign])
      expect([hex, findDifference(value, decode(hex))]).toEqual([hex, undefined]);
  });

  test("refuses what is not well formed, or of no meaning, in a sentence", () => {
    for (const [hex, why] of hostile) {
      const error = catchError(() => decode(hex));
      expect([hex, error]).toEqual([hex, expect.any(AppError)]);
      expect(error).toMatchObject({ code: "protocol_error", message: expect.stringContaining(why) });
    }
  });

  test("reads each beginning of a value, and each change of it, or says why not", () => {
    const before = Object.getOwnPropertyNames(Object.prototype);
    fc.assert(
      fc.property(
        anyValue,
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        (value, changes) => {
          const bytes = encodeCbor(value);
          for (let length = 0; length < bytes.length; length++) expectSafe(bytes.subarray(0, length), true);
          const changed = new Uint8Array(bytes);
          for (const [at, byte] of changes) changed[at % changed.length] = byte;
          expectSafe(changed);
        },
      ),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => expectSafe(bytes)),
      { numRuns: 20_000 },
    );
    expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(before);
  });

  test("makes names like any other of __proto__ and constructor, which change nothing", () => {
    const value = decode("a1" + "695f5f70726f746f5f5f" + "a1" + "6161" + "01") as object;
    expect(Object.keys(value)).toEqual(["__proto__"]);
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect("a" in {}).toBe(false);
    const error = decode("d81b82654572726f72a1695f5f70726f746f5f5fa0") as object;
    expect(Object.getPrototypeOf(error)).toBe(Error.prototype);
    const hiding = decode("a1" + "6b636f6e7374727563746f72" + "01") as object;
    expect(Object.entries(hiding)).toEqual([["constructor", 1]]);
  });

  test("is not led into depth, whatever is nested", () => {
    const million = (hex: string, end = "") => Buffer.from(hex.repeat(1_000_000) + end, "hex");
    for (const [hex, end] of [
      ["81", "00"],
      ["9f", ""],
      ["a16161", "00"],
      ["d9010281", "00"],
      ["d81c81", "00"],
      ["d7", "40"],
      ["d820", "60"],
      ["d81c", "80"],
      ["c1", "00"],
      ["d81b82", ""],
      ["d90103a1", ""],
      ["bf", ""],
    ] as const)
      expect(catchError(() => decodeCbor(million(hex, end)))).toBeInstanceOf(AppError);
  });

  test("allocates nothing for what is only claimed, and bounds what a few bytes become", () => {
    for (const major of [2, 3, 4, 5]) {
      for (const info of ["1a7fffffff", "1b000000ffffffffff", "1b001fffffffffffff", "1bffffffffffffffff"]) {
        const bytes = Buffer.from(info, "hex");
        bytes[0] = (bytes[0] ?? 0) | (major << 5);
        expect(catchError(() => decodeCbor(bytes))).toMatchObject({ code: "protocol_error" });
      }
    }
    const many = new Uint8Array(MAX_VALUE_ITEMS + 16).fill(0x80);
    many.set([0x9f]);
    expect(catchError(() => decodeCbor(many))).toMatchObject({ message: expect.stringContaining("items") });
    expect(catchError(() => decodeCbor(new Uint8Array(MAX_VALUE_BYTES + 1)))).toMatchObject({
      code: "protocol_error",
    });
    expect(catchError(() => decode(`c2${"5a0002000" + "1"}${"ff".repeat(0x20001)}`))).toMatchObject({
      message: expect.stringContaining("BigInt"),
    });
  });
});

test("A regular expression that would take minutes to read is refused at once, by whoever writes it too", () => {
  const source = (groups: number) => Array.from({ length: groups }, (_, index) => `(?<a${index}>x)`).join("");
  const item = (text: string) =>
    Buffer.concat([Buffer.from("d9524a817a", "hex"), size(text.length), Buffer.from(text)]);
  expect(decodeCbor(item(source(100)))).toEqual(new RegExp(source(100)));
  expect(() => decodeCbor(item(source(5_000)))).toThrow("more than 100 named groups");
  expect(() => encodeCbor(new RegExp(source(101)))).toThrow("more than 100 named groups");
  expect(() => fromTagged({ $regexp: [source(101)] })).toThrow("more than 100 named groups");
  expect(() => encodeCbor(new RegExp("a".repeat(65_537)))).toThrow("more than 65536 characters");
  // A few thousand take a second, and a control frame has room for more.
  const many = (count: number) =>
    Buffer.concat([Buffer.from("9a", "hex"), size(count), ...Array<Buffer>(count).fill(item("a"))]);
  expect(() => decodeCbor(many(2_000), MAX_FRAME_ITEMS)).toThrow("more than 65536 items");
  expect(decodeCbor(many(2_000))).toHaveLength(2_000);
  expect(() =>
    encodeCbor(
      Array.from({ length: 2_000 }, () => /a/),
      MAX_FRAME_ITEMS,
    ),
  ).toThrow("items");
});

function size(length: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(length);
  return bytes;
}

test("decodeValue() tells CBOR from JSON by its first byte, and refuses what is neither", () => {
  expect(decodeValue(Buffer.from('{"a":[1]}'))).toEqual({ a: [1] });
  expect(decodeValue(encodeCbor(new Date(5)))).toEqual(new Date(5));
  for (const bytes of [
    Buffer.from("no"),
    Buffer.from("[".repeat(100_000)),
    Buffer.from("d9", "hex"),
    Buffer.alloc(0),
  ])
    expect(catchError(() => decodeValue(bytes))).toMatchObject({ code: "protocol_error" });
});

/** A value, or a sentence; and soon. */
function expectSafe(bytes: Uint8Array, isCut = false): void {
  try {
    decodeCbor(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(AppError);
    return;
  }
  expect(isCut).toBe(false);
}

function catchError(act: () => unknown): unknown {
  try {
    return act();
  } catch (error) {
    return error;
  }
}
