import { describe, expect, test } from "bun:test";
import { Arguments } from "../../src/cli/arguments.ts";
import { kill } from "../../src/commands/kill.ts";

const toInput = (options: Readonly<Record<string, string>>) =>
  kill.cli.toInput(
    new Arguments(new Map(Object.entries({ job: "3", ...options }).map(([k, v]) => [k, [v]])), []),
  );

describe("farhand kill", () => {
  test("asks for what was typed, and for nothing else", () => {
    expect(toInput({})).toEqual({ job: "3" });
    expect(toInput({ signal: "RTMIN+3", grace: "1h" })).toEqual({
      job: "3",
      signal: "RTMIN+3",
      grace: 3_600_000,
    });
  });

  test("refuses a grace beyond the limit in a sentence, and its help names the limit", () => {
    expect(() => toInput({ grace: "2h" })).toThrow('Cannot wait "2h" for a job to end: the most is 1h');
    expect(kill.cli.args["grace"]?.description).toContain("at most 1h");
  });
});
