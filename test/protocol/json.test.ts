import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { AppError } from "../../src/protocol/error.ts";
import { parseForeignJson } from "../../src/protocol/json.ts";
import { MAX_JSON_DEPTH, MAX_JSON_KEYS } from "../../src/protocol/limits.ts";

const parse = (text: string) => parseForeignJson(text, (what) => new AppError("invalid_input", `It ${what}`));
const nested = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;
const keyed = (keys: number) => `{${Array.from({ length: keys }, (_, key) => `"${key}":0`).join(",")}}`;

describe("parseForeignJson()", () => {
  test("reads whatever JSON.stringify writes", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
        const text = JSON.stringify(value);
        expect(parse(text)).toEqual(JSON.parse(text));
      }),
    );
  });

  test("reads up to a depth, and refuses what is deeper in time", () => {
    expect(parse(nested(MAX_JSON_DEPTH))).toBeArray();
    expect(() => parse(nested(MAX_JSON_DEPTH + 1))).toThrow("nested deeper than 64 levels");
    expect(() => parse("[".repeat(200_000))).toThrow("nested deeper");
  });

  test("reads up to so many keys, wherever they are, and counts none in strings", () => {
    expect(Object.keys(parse(keyed(MAX_JSON_KEYS)) as object)).toHaveLength(MAX_JSON_KEYS);
    expect(() => parse(keyed(MAX_JSON_KEYS + 1))).toThrow("more than 65536 keys");
    expect(() =>
      parse(
        `[${Array(MAX_JSON_KEYS + 1)
          .fill('{"a":0}')
          .join()}]`,
      ),
    ).toThrow("keys");
    expect(parse(JSON.stringify(`"${":".repeat(100_000)}`))).toHaveLength(100_001);
  });

  test("takes the last of two keys, and lets none change what objects are", () => {
    expect(parse('{"a":1,"a":2}')).toEqual({ a: 2 });
    const value = parse('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}') as object;
    expect([Object.getPrototypeOf(value), "polluted" in {}]).toEqual([Object.prototype, false]);
  });

  test.each(["", "{", "\uFEFF{}", "NaN", "{'a':1}", "[1,]", "1 2", "\0"])("refuses %j", (text) => {
    expect(() => parse(text)).toThrow("is no JSON");
  });
});
