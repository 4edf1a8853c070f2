import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { toTagged } from "../../../src/protocol/cbor/tagged.ts";
import { fromTagged } from "../../../src/protocol/cbor/untag.ts";
import { AppError } from "../../../src/protocol/error.ts";
import { findDifference } from "../../support/same.ts";

const twice = { a: 1 };
/** As the README has it. */
const table: readonly (readonly [unknown, unknown])[] = [
  [undefined, { $undefined: true }],
  [Number.NaN, { $number: "NaN" }],
  [-0, { $number: "-0" }],
  [12n, { $bigint: "12" }],
  [new Date(0), { $date: "1970-01-01T00:00:00.000Z" }],
  [new Date(Number.NaN), { $date: null }],
  [new URL("http://a/"), { $url: "http://a/" }],
  [/a+/g, { $regexp: ["a+", "g"] }],
  [new Map([["k", 1]]), { $map: [["k", 1]] }],
  [new Set([1]), { $set: [1] }],
  [new Uint8Array([1]), { $bytes: "AQ==" }],
  [new Int16Array([1]), { $typed: ["Int16Array", "AQA="] }],
  [new Uint8Array([1]).buffer, { $buffer: "AQ==" }],
  [new DataView(new ArrayBuffer(1)), { $view: "AA==" }],
  [
    [1, , 2],
    [1, { $hole: true }, 2],
  ],
  [
    [twice, twice],
    [{ $shared: [0, { a: 1 }] }, { $ref: 0 }],
  ],
  [{ $date: 1 }, { $object: { $date: 1 } }],
  [
    { $a: 1, b: 2 },
    { $a: 1, b: 2 },
  ],
];

/** What somebody has written by hand, and why it is nothing. */
const wrong: readonly (readonly [unknown, string])[] = [
  [{ $set: 1 }, 'has a "$set" without its list'],
  [{ $map: [1] }, 'has a "$map" without its list'],
  [{ $object: [] }, 'has a "$object" without its object'],
  [{ a: { $push: 1 } }, 'has {"$push": …} in it, which stands for nothing; an object is {"$object": {…}}'],
  [{ $date: "soon" }, 'has a "$date" that is none'],
  [{ $date: 5 }, 'has a "$date" without its text'],
  [{ $url: "a" }, "has a URL that is none"],
  [{ $regexp: ["("] }, "has a regular expression that is none"],
  [{ $number: "1" }, 'has a "$number" other than'],
  [{ $bigint: "1.5" }, 'has a "$bigint" that is no whole number'],
  [{ $bigint: "9".repeat(400_000) }, 'has a "$bigint" that is no whole number'],
  [{ $bytes: "%" }, 'has a "$bytes" that is no base64'],
  [{ $typed: ["Uint7Array", ""] }, 'has a "$typed" of an unknown class'],
  [{ $typed: ["Uint16Array", "AQ=="] }, "has a Uint16Array of 1 bytes"],
  [{ $error: ["Oops", {}] }, 'has an "$error" of an unknown class'],
  [{ $error: ["Error", { message: 1 }] }, "has an error whose message is no text"],
  [{ $ref: 0 }, 'has a "$ref" to something that is not there yet'],
  [{ $shared: [0, { $shared: [1, {}] }] }, 'has a "$shared" without a number of its own'],
];

describe("toTagged() and fromTagged()", () => {
  test("write what JSON has not as the README says, and read it", () => {
    for (const [value, json] of table) {
      expect(toTagged(value)).toEqual(json);
      expect(findDifference(value, fromTagged(json))).toBeUndefined();
    }
  });

  test("say what is wrong with what stands for nothing", () => {
    for (const [json, why] of wrong)
      expect(() => fromTagged(json)).toThrow(
        expect.objectContaining({ code: "invalid_input", message: expect.stringContaining(why) }),
      );
    const deep: unknown = JSON.parse(`${'{"$set":['.repeat(5_000)}${"]}".repeat(5_000)}`);
    expect(() => fromTagged(deep)).toThrow("is nested deeper");
  });

  test("take any JSON, or refuse it", () => {
    const tags = [
      "$date",
      "$map",
      "$set",
      "$error",
      "$typed",
      "$shared",
      "$ref",
      "$object",
      "$regexp",
      "$hole",
    ];
    const { any } = fc.letrec((tie) => ({
      any: fc.oneof(
        { depthSize: "small" },
        fc.jsonValue({ maxDepth: 1 }),
        fc.constantFrom("Error", "Int8Array", "AQ==", "g", 0, 1),
        fc.array(tie("any"), { maxLength: 3 }),
        fc
          .tuple(fc.constantFrom(...tags, "a", "__proto__"), tie("any"))
          .map(([key, value]) => ({ [key]: value })),
      ),
    }));
    fc.assert(
      fc.property(any, (json) => {
        try {
          fromTagged(json);
        } catch (error) {
          expect(error).toBeInstanceOf(AppError);
        }
      }),
      { numRuns: 3_000 },
    );
  });
});
