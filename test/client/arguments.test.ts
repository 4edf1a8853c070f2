import { describe, expect, test } from "bun:test";
import * as v from "valibot";
import { parseArguments } from "../../src/client/arguments.ts";
import { kill } from "../../src/commands/kill.ts";
import { FilePath } from "../../src/protocol/path.ts";

const list = {
  name: "list",
  input: v.pipe(
    v.object({
      path: v.optional(FilePath, "."),
      names: v.optional(v.pipe(v.array(v.string()), v.maxLength(3)), []),
      hidden: v.optional(v.boolean()),
    }),
    v.check(() => true),
  ),
  positional: ["path", "names"],
} as const;

describe("parseArguments()", () => {
  test.each([
    [[], {}],
    [["/srv"], { path: "/srv" }],
    [[{ path: "/srv" }], { path: "/srv" }],
    [[{ bytes: "/w==" }], { path: { bytes: "/w==" } }],
    [["/srv", { hidden: true }], { path: "/srv", hidden: true }],
    [["/srv", ["a", "b"]], { path: "/srv", names: ["a", "b"] }],
    [["/srv", "a"], { path: "/srv", names: ["a"] }],
    [["/srv", undefined, undefined], { path: "/srv" }],
    [[undefined, "a"], { names: ["a"] }],
    [["/srv", { hidden: undefined }], { path: "/srv" }],
  ])("reads %j as input", (args, input) => {
    expect(parseArguments(list, args)).toEqual({ input, options: {} });
  });

  test("tells the command's fields from the call's options", () => {
    const { signal } = new AbortController();
    const options = {
      complete: false,
      timeout: 5,
      maxInterval: 1,
      echoResponse: true,
      raiseError: true,
      signal,
    };
    expect(parseArguments(list, ["/srv", { hidden: true, ...options }])).toEqual({
      input: { path: "/srv", hidden: true },
      options: { complete: false, timeout: 5, maxInterval: 1, echoResponse: true, raiseError: true, signal },
    });
  });

  test("takes a name that both have for the command's", () => {
    expect(parseArguments(kill, [3, { signal: "INT", timeout: 5 }])).toEqual({
      input: { job: 3, signal: "INT" },
      options: { timeout: 5 },
    });
  });

  test.each([
    [["/srv", ["a"], "b"], 'Cannot call "list": it takes at most 2 arguments before the options'],
    [["/srv", { path: "/etc" }], 'Cannot call "list": "path" is given twice'],
    [[{ hiden: true }], 'Cannot call "list": option "hiden" is not valid'],
    [[{ timeout: "5s" }], 'Cannot call "list": option "timeout" is not valid'],
    [[{ maxInterval: -1 }], 'Cannot call "list": option "maxInterval" is not valid'],
    [[{ signal: "INT" }], 'Cannot call "list": option "signal" is not valid'],
  ])("refuses %j in a sentence", (args, sentence) => {
    expect(() => parseArguments(list, args)).toThrow(
      expect.objectContaining({ code: "invalid_input", message: expect.stringContaining(sentence) }),
    );
  });
});
