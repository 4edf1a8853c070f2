import { expect, test } from "bun:test";
import * as v from "valibot";
import { RecordedOutcome } from "../../src/protocol/outcome.ts";
import { ByteString, toValue, Value } from "../../src/protocol/value.ts";

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

test("ByteString is a string, or base64 of bytes, and nothing else", () => {
  for (const value of ["text", "", { bytes: "/w==" }]) expect(v.is(ByteString, value)).toBe(true);
  for (const value of [{ bytes: "no base64!" }, {}, 7, null]) expect(v.is(ByteString, value)).toBe(false);
});
