import { expect, test } from "bun:test";
import * as v from "valibot";
import { RecordedOutcome } from "../../src/protocol/outcome.ts";
import { encodeCbor } from "../../src/protocol/cbor/encode.ts";
import { ByteString, fromValue, toValue, Value } from "../../src/protocol/value.ts";

const end = { type: "signaled", signal: "SIGKILL" };

test.each([
  { type: "exited", code: 0 },
  { type: "signaled", signal: "SIGTERM" },
  { type: "returned", value: { encoding: "json", value: { any: [1, null] } } },
  { type: "returned", value: { encoding: "parts", first: 3 } },
  { type: "threw", error: { code: "internal", message: "x" } },
  { type: "timed_out", limit: 5, end },
  { type: "idle_timed_out", limit: 5 },
  { type: "output_limited", limit: 5, end },
  { type: "cancelled", by: "me", end },
  { type: "not_started", reason: { code: "too_large", message: "x" } },
  { type: "lost", since: "then" },
])("Outcome takes $type", (outcome) => {
  expect(v.parse(RecordedOutcome, outcome) as object).toEqual(outcome);
});

test.each([
  ["an unknown type", { type: "vanished" }],
  ["an exit without a code", { type: "exited" }],
  ["a code in text", { type: "exited", code: "0" }],
  ["an end that is no process's", { type: "cancelled", by: "me", end: { type: "cancelled" } }],
  ["an unknown reason", { type: "not_started", reason: { code: "bad_mood", message: "x" } }],
])("Outcome refuses %s", (_what, outcome) => {
  expect(v.is(RecordedOutcome, outcome)).toBe(false);
});

test("Value carries whatever toValue was given", () => {
  for (const value of [null, 0, "", [1], { a: { b: [] } }])
    expect(v.parse(Value, toValue(value)).value).toEqual(value);
});

test("Value has in CBOR as many items as a control frame has room for, and no more", () => {
  const many = (count: number) => Array.from({ length: count }, () => undefined);
  expect(fromValue(toValue(many(60_000)))).toEqual(many(60_000));
  expect(() => toValue(many(70_000))).toThrow("has more than 65536 items");
  const smuggled = Buffer.from(encodeCbor(many(70_000))).toString("base64url");
  expect(() => fromValue({ encoding: "cbor", value: smuggled })).toThrow("has more than 65536 items");
  expect(() => fromValue({ encoding: "cbor", value: "no base64!" })).toThrow("Cannot read a value");
});

test("ByteString is a string, or base64 of bytes, and nothing else", () => {
  for (const value of ["text", "", { bytes: "/w==" }]) expect(v.is(ByteString, value)).toBe(true);
  for (const value of [{ bytes: "no base64!" }, {}, 7, null]) expect(v.is(ByteString, value)).toBe(false);
});
