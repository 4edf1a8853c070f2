import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { decodeCbor } from "../../../src/protocol/cbor/decode.ts";
import { encodeCbor } from "../../../src/protocol/cbor/encode.ts";
import { decodeValue, encodeValue } from "../../../src/protocol/cbor/payload.ts";
import { isPlain } from "../../../src/protocol/cbor/plain.ts";
import { toTagged } from "../../../src/protocol/cbor/tagged.ts";
import { fromTagged } from "../../../src/protocol/cbor/untag.ts";
import { fromValue, toValue } from "../../../src/protocol/value.ts";
import { anyValue } from "../../support/any-value.ts";
import { findDifference } from "../../support/same.ts";

setDefaultTimeout(60_000);

const throughJson = (json: unknown): unknown => JSON.parse(JSON.stringify(json));

/** Every way on which a value goes somewhere and comes back. */
const ways: readonly (readonly [string, (value: unknown) => unknown])[] = [
  ["as CBOR", (value) => decodeCbor(encodeCbor(value))],
  ["as bytes of their own", (value) => decodeValue(encodeValue(value))],
  ["in a control frame", (value) => fromValue(throughJson(toValue(value)) as ReturnType<typeof toValue>)],
  ["as JSON with tags", (value) => fromTagged(throughJson(toTagged(value)))],
];

function saysAll(value: unknown): boolean {
  try {
    return findDifference(value, throughJson(value)) === undefined;
  } catch {
    return false; // a BigInt, a cycle, or nothing at all
  }
}

describe("A value", () => {
  test.each(ways)(
    "is itself again %s: 10,000 of every kind, with what is there twice and what is in itself",
    (_name, go) => {
      fc.assert(
        fc.property(anyValue, (value) => expect(findDifference(value, go(value))).toBeUndefined()),
        { numRuns: 10_000 },
      );
    },
  );

  test.each(ways)("of many objects whose keys are small numbers is itself again %s", (_name, go) => {
    const value = Array.from({ length: 3_000 }, (_, index) => ({ 999: index, [index % 1_000]: 0, a: 1 }));
    expect(isPlain(value)).toBe(false);
    expect(go(value)).toEqual(value);
  });

  test("with an error whose parts are none that there can be is an error all the same", () => {
    const error = new AggregateError([new Error("one")], "several");
    Object.assign(error, { errors: "no list", stack: 1, message: 2 });
    for (const [, go] of ways) expect(go(error)).toMatchObject({ message: "2", errors: [] });
  });

  test("that JSON says exactly is written as JSON, and no other", () => {
    fc.assert(
      fc.property(anyValue, (value) => expect(isPlain(value)).toBe(saysAll(value))),
      { numRuns: 2_000 },
    );
    for (const value of [null, 0, "", "\ud800", [1, { a: [] }], JSON.parse('{"__proto__":1}')])
      expect(isPlain(value)).toBe(true);
    const twice = {};
    const others = [
      undefined,
      -0,
      Number.NaN,
      1n,
      new Date(0),
      [undefined],
      [, 1],
      { a: undefined },
      [twice, twice],
      new (class A {})(),
    ];
    for (const value of others) expect(isPlain(value)).toBe(false);
  });
});
