import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import * as v from "valibot";
import { Environment } from "../../src/protocol/environment.ts";

const peculiar = '{"__proto__":"a","constructor":"b","hasOwnProperty":"c","prototype":"d"}';

describe("Environment", () => {
  test("keeps every variable, also those with names that objects have of themselves", () => {
    expect(JSON.stringify(v.parse(Environment, JSON.parse(peculiar)))).toBe(peculiar);
    const name = fc.oneof(fc.string(), fc.constantFrom(...Object.keys(JSON.parse(peculiar))));
    fc.assert(
      fc.property(fc.array(fc.tuple(name, fc.string())), (pairs) => {
        const text = JSON.stringify(Object.fromEntries(pairs));
        expect(JSON.stringify(v.parse(Environment, JSON.parse(text)))).toBe(text);
      }),
    );
  });

  test("changes nothing for other objects", () => {
    v.parse(Environment, JSON.parse(peculiar));
    expect(Object.keys(Object.prototype)).toEqual([]);
    expect({}.constructor).toBe(Object);
  });

  test.each(['"text"', "null", "1", '["A=B"]', '{"A":1}', '{"A":null}', '{"__proto__":{"A":"B"}}'])(
    "refuses %s",
    (json) => {
      expect(v.is(Environment, JSON.parse(json))).toBe(false);
    },
  );
});
