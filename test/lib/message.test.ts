import { expect, test } from "bun:test";
import { toMessage } from "../../src/lib/message.ts";

test("toMessage() takes whatever was thrown", () => {
  const thrown = [new Error("why"), "text", undefined, { toString: () => "own" }];
  expect(thrown.map(toMessage)).toEqual(["why", "text", "undefined", "own"]);
});
