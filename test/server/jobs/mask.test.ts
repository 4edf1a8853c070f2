import { describe, expect, test } from "bun:test";
import { toRecorded } from "../../../src/server/jobs/mask.ts";

describe("toRecorded()", () => {
  test.each([
    [["curl", "-H", "Bearer abc"], ["abc"], ["curl", "-H", "Bearer ***"]],
    [
      ["a", "abcabc", "xabcdx"],
      ["abc", "abcd"],
      ["a", "******", "x***x"],
    ],
    [["abc"], ["abc"], ["***"]],
    [["$&", "a$&b"], ["$&"], ["***", "a***b"]],
    [["plain"], [], ["plain"]],
    [["plain"], [""], ["plain"]],
  ])("%j with the secrets %j is %j", (argv, secrets, shown) => {
    expect(toRecorded({ argv, secrets })).toEqual(shown);
  });

  test("shows what a program says of itself", () => {
    const argv = ["farhandd", "runner", "job"];
    expect(toRecorded({ argv, recorded: ["deploy", "{}"] })).toEqual(["deploy", "{}"]);
  });
});
