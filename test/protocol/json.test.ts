import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { AppError } from "../../src/protocol/error.ts";
import { parseForeignJson } from "../../src/protocol/json.ts";
import { MAX_JSON_DEPTH, MAX_JSON_ITEMS } from "../../src/protocol/limits.ts";
import { measureJson } from "../../src/protocol/measure.ts";

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

  test("reads up to so many keys and containers, wherever they are, and counts none in strings", () => {
    expect(Object.keys(parse(keyed(MAX_JSON_ITEMS - 1)) as object)).toHaveLength(MAX_JSON_ITEMS - 1);
    expect(() => parse(keyed(MAX_JSON_ITEMS))).toThrow("more than 65536 keys and containers");
    for (const item of ["[]", "{}", '{"a":0}'])
      expect(() => parse(`[${Array(MAX_JSON_ITEMS).fill(item).join()}]`)).toThrow("keys and containers");
    expect(parse(JSON.stringify(`"${":[{".repeat(100_000)}`))).toHaveLength(300_001);
  });

  test.each([
    ["the largest number that takes places", '{"999":0}', 1_000],
    ["the same as escapes", '{"\\u0039\\u0039\\u0039":0}', 1_000],
    ["several, of which the largest counts", '{"7":0,"900":0,"30":0}', 901],
    ["what is no such number", '{"1000":0,"01":0,"-1":0,"1.5":0,"":0,"a":"9"}', 0],
    ["objects in objects", '{"9":{"99":[{"9":0},{"9":0}]},"19":0}', 20 + 100 + 10 + 10],
  ])("counts the places that objects take for keys that are small numbers: %s", (_, text, places) => {
    expect(measureJson(text).places).toBe(places);
  });

  test("refuses JSON of 650 KB of which the engine makes 500 MB", () => {
    const text = `[${Array(30_000).fill('{"999":0}').join()}]`;
    expect(() => parse(text)).toThrow("too many objects whose keys are small numbers");
    expect(parse(`[${Array(1_000).fill('{"999":0}').join()}]`)).toHaveLength(1_000);
    expect(Object.keys(parse(keyed(30_000)) as object)).toHaveLength(30_000);
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
