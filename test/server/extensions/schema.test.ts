import { describe, expect, test } from "bun:test";
import { toJsonSchema } from "@valibot/to-json-schema";
import * as v from "valibot";
import { findFault, withDefaults } from "../../../src/server/extensions/schema.ts";

const schema = {
  ...toJsonSchema(
    v.strictObject({
      host: v.string(),
      port: v.optional(v.pipe(v.number(), v.integer())),
      mode: v.optional(v.picklist(["soft", "hard"])),
      tags: v.optional(v.array(v.string())),
      at: v.optional(v.object({ line: v.number() })),
      either: v.optional(v.union([v.string(), v.number()])),
      kind: v.optional(v.literal("a")),
      nothing: v.optional(v.nullable(v.string())),
      when: v.optional(v.date()),
    }),
    { errorMode: "ignore" },
  ),
};

describe("findFault()", () => {
  test.each([
    { host: "a" },
    { host: "a", port: 1, mode: "soft", tags: ["x"], at: { line: 1 }, either: 1, kind: "a", nothing: null },
    { host: "a", when: new Date(0), port: undefined },
    { host: "a", at: { line: 1, more: new Map() } },
  ])("finds nothing wrong with %p", (value) => {
    expect(findFault(schema, value)).toBeUndefined();
  });

  test.each([
    [undefined, "", "must be an object, and is nothing"],
    [[], "", "must be an object, and is a list"],
    [{}, "host", "is missing"],
    [{ host: 1 }, "host", "must be a string, and is a number"],
    [{ host: "a", port: 1.5 }, "port", "must be an integer, and is a number"],
    [{ host: "a", mode: "loud" }, "mode", 'must be one of "soft", "hard"'],
    [{ host: "a", kind: "b" }, "kind", 'must be one of "a"'],
    [{ host: "a", tags: ["x", 1] }, "tags.1", "must be a string, and is a number"],
    [{ host: "a", tags: "x" }, "tags", "must be a list, and is a string"],
    [{ host: "a", at: {} }, "at.line", "is missing"],
    [{ host: "a", either: true }, "either", "is none that it may be"],
    [{ host: "a", ports: 1 }, "ports", "is unknown; there is host, port"],
    [JSON.parse('{"host": "a", "__proto__": 1}'), "__proto__", "is unknown"],
    [{ host: "a", toString: 1 }, "toString", "is unknown"],
  ])("finds in %j at %j what is wrong", (value, path, why) => {
    expect(findFault(schema, value)).toMatchObject({ path, why: expect.stringContaining(why) });
  });

  test("takes undefined for what is there where that may be anything, and nothing for what is inherited", () => {
    const { ...fields } = toJsonSchema(v.object({ any: v.any(), constructor: v.string() }), {
      errorMode: "ignore",
    });
    expect(findFault(fields, { any: undefined, constructor: "x" })).toBeUndefined();
    expect(findFault(fields, { constructor: "x" })).toMatchObject({ path: "any", why: "is missing" });
    expect(findFault(fields, { any: 1 })).toMatchObject({ path: "constructor", why: "is missing" });
    expect(findFault(fields, { any: 1, constructor: undefined })).toMatchObject({ why: "is missing" });
  });

  test("takes whatever a schema says that it does not know", () => {
    expect(findFault({}, { a: 1 })).toBeUndefined();
    expect(findFault({ $ref: "#/definitions/a" }, 1)).toBeUndefined();
    expect(findFault({ allOf: [{ type: "string" }] }, 1)).toBeUndefined();
  });

  test("does not follow a value that contains itself for ever", () => {
    const value: Record<string, unknown> = {};
    value["self"] = value;
    const endless: Record<string, unknown> = { type: "object", properties: {} };
    endless["properties"] = { self: endless };
    expect(findFault(endless, value)).toBeUndefined();
  });
});

describe("withDefaults()", () => {
  test("fills in what is missing, and leaves what is said", () => {
    const fields = { properties: { a: { default: 1 }, b: { default: "x" }, c: {} } };
    expect(withDefaults(fields, { b: "y" })).toEqual({ a: 1, b: "y" });
    expect(withDefaults(fields, { a: undefined, c: 0 })).toEqual({ a: 1, b: "x", c: 0 });
    expect(withDefaults(fields, "no object")).toBe("no object");
  });
});
