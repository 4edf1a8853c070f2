import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { choicesOf, type Schema } from "../../../src/cli/custom/schema.ts";
import { parseValue } from "../../../src/cli/custom/value.ts";

describe("parseValue()", () => {
  const cases: readonly (readonly [text: string, schema: Schema, value: unknown])[] = [
    ["3", { type: "integer" }, 3],
    ["-2.5e3", { type: "number" }, -2500],
    ["3", { type: "string" }, "3"],
    ["true", { type: "boolean" }, true],
    ["False", { type: "boolean" }, false],
    ["true", { type: "string" }, "true"],
    ['["a", 1]', { type: "array" }, ["a", 1]],
    ['{"a": null}', { type: "object" }, { a: null }],
    ["null", { type: ["string", "null"] }, null],
    ["all", { anyOf: [{ const: "all" }, { type: "number" }] }, "all"],
    ["7", { anyOf: [{ const: "all" }, { type: "number" }] }, 7],
    ["x", {}, "x"],
    ["12", {}, 12],
    ["b", { enum: ["a", "b"] }, "b"],
  ];
  test.each(cases)("reads %j by %j", (text, schema, value) => {
    expect(parseValue(text, schema, "field")).toEqual(value);
  });

  test.each([
    ["3.5", { type: "integer" }, "a whole number"],
    ["1e400", { type: "number" }, "a number"],
    ["yes", { type: "boolean" }, "true or false"],
    ["a", { type: "array" }, "a list in JSON"],
    ["[1]", { type: "object" }, "an object in JSON"],
    ["9007199254740993", { type: "integer" }, "a whole number"],
  ] as const)("refuses %j for %j, and says what to write", (text, schema, sentence) => {
    expect(() => parseValue(text, schema, "count")).toThrow(`Cannot use count "${text}": write ${sentence}`);
  });

  test("leaves every string as it is, and reads every number and all JSON back", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary" }),
        (text) => parseValue(text, { type: "string" }, "f") === text,
      ),
    );
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (number) =>
        Object.is(parseValue(Object.is(number, -0) ? "-0" : String(number), { type: "number" }, "f"), number),
      ),
    );
    fc.assert(
      fc.property(fc.array(fc.jsonValue({ noUnicodeString: false })), (list) => {
        const text = JSON.stringify(list);
        expect(parseValue(text, { type: "array" }, "f")).toEqual(JSON.parse(text));
      }),
    );
  });
});

test("choicesOf() tells the few values that there are", () => {
  expect(choicesOf({ enum: ["a", "b"] })).toEqual(["a", "b"]);
  expect(choicesOf({ anyOf: [{ const: "all" }, { type: "number" }] })).toEqual(["all"]);
  expect(choicesOf({ type: "boolean" })).toEqual(["true", "false"]);
  expect(choicesOf({ type: "string" })).toEqual([]);
});
