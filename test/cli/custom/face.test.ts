import { describe, expect, test } from "bun:test";
import * as v from "valibot";
import { parseArguments } from "../../../src/cli/arguments.ts";
import { toFace } from "../../../src/cli/custom/face.ts";
import { Definition } from "../../../src/cli/custom/definition.ts";
import { toOptions } from "../../../src/cli/console/fields.ts";
import { splitWords } from "../../../src/cli/console/words.ts";

const echo = define({
  name: "echo",
  positional: ["string"],
  input: { type: "object", properties: { string: { type: "string" } }, required: ["string"] },
});
const copy = define({
  name: "copy",
  positional: ["to", "files"],
  input: {
    type: "object",
    properties: {
      to: { type: "string" },
      files: { type: "array", items: { type: "string" } },
      times: { type: "integer" },
      deep: { type: "boolean" },
      extra: { type: "object" },
    },
  },
});

function define(definition: object): Definition {
  return v.parse(Definition, { kind: "foreground", summary: "…", ...definition });
}

/** What a line behind the command's name means as its input. */
function toInput(definition: Definition, line: string): unknown {
  const { args, rest, toInput } = toFace(definition);
  const words = toOptions(splitWords(line), { args, ...(rest !== undefined && { rest }) });
  return toInput(parseArguments(words, { args, rest: rest !== undefined, takesRest: false }));
}

describe("A command that only the server knows", () => {
  test("writes an option and what stands for its value in one spelling", () => {
    const { args } = toFace(
      define({
        name: "retry",
        positional: [],
        input: { type: "object", properties: { maxRetries: { type: "number" } } },
      }),
    );
    expect(Object.entries(args)).toMatchObject([["max-retries", { valueHint: "max-retries" }]]);
  });

  test("takes words in the order of its fields: echo hi", () => {
    expect(toInput(echo, "hi")).toEqual({ string: "hi" });
    expect(toInput(echo, "string=hi")).toEqual({ string: "hi" });
    expect(toInput(echo, "'string=hi'")).toEqual({ string: "string=hi" });
    expect(toInput(echo, "other=hi")).toEqual({ string: "other=hi" });
    expect(toInput(echo, "-- -n")).toEqual({ string: "-n" });
  });

  test("has the fields of all that its input may be, and demands those that it always has", () => {
    const field = (name: string, schema: object) => ({
      type: "object",
      properties: { type: { const: name }, ...schema },
      required: ["type", ...Object.keys(schema)],
    });
    const either = define({
      name: "move",
      positional: ["type"],
      input: {
        oneOf: [field("walk", { steps: { type: "number" } }), field("fly", { to: { type: "string" } })],
      },
    });
    expect(toInput(either, "walk --steps 3")).toEqual({ type: "walk", steps: 3 });
    expect(toInput(either, "fly to=5")).toEqual({ type: "fly", to: "5" });
    expect(() => toInput(either, "steps=3")).toThrow("type is missing");
    expect(toFace(either).args["type"]?.description).toBe("one of walk, fly; required");
    const both = define({
      name: "both",
      input: {
        allOf: [
          { type: "object", properties: { a: { type: "string" } }, required: ["a"] },
          { type: "object", properties: { b: { type: "integer" } } },
        ],
      },
    });
    expect(toInput(both, "--a 1 --b 2")).toEqual({ a: "1", b: 2 });
    expect(() => toInput(both, "b=2")).toThrow("a is missing");
  });

  test("gives the last field all that is left if it is a list, and reads values by their types", () => {
    expect(toInput(copy, "/srv a b 3")).toEqual({ to: "/srv", files: ["a", "b", "3"] });
    expect(toInput(copy, `times=3 deep=true extra='{"a": 1}' to=/srv a`)).toEqual({
      times: 3,
      deep: true,
      extra: { a: 1 },
      to: "/srv",
      files: ["a"],
    });
    expect(toInput(copy, `--times 3 --no-deep files='["x y"]' /srv`)).toEqual({
      times: 3,
      deep: false,
      files: ["x y"],
      to: "/srv",
    });
  });

  test("refuses a word too many, and a value of another type", () => {
    expect(() => toInput(echo, "hi there")).toThrow('Cannot do "echo": there is no place for "there"');
    expect(() => toInput(copy, "times=x")).toThrow('Cannot use times "x": write a whole number');
    expect(() => toInput(copy, "deep=x")).toThrow('"--deep" takes no value');
  });
});
