import { expect, test } from "bun:test";
import { toSeenOutcome } from "../../src/commands/seen.ts";
import { toValue } from "../../src/protocol/value.ts";

test("toSeenOutcome() shows what was returned as JSON that says all of it, and hides nothing else for what is no value", () => {
  const returned = (value: ReturnType<typeof toValue> | { encoding: "parts"; first: number }) =>
    toSeenOutcome({ type: "returned", value });
  expect(returned(toValue([1]))).toEqual({ type: "returned", value: [1] });
  expect(returned(toValue(new Date(0)))).toEqual({
    type: "returned",
    value: { $date: "1970-01-01T00:00:00.000Z" },
  });
  expect(returned({ encoding: "parts", first: 3 })).toEqual({ type: "returned" });
  expect(returned({ encoding: "cbor", value: "2dn3_w" })).toEqual({ type: "returned" });
  expect(toSeenOutcome({ type: "exited", code: 3 })).toEqual({ type: "exited", code: 3 });
});
