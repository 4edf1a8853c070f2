import { expect, test } from "bun:test";
import { parseArguments } from "../../src/cli/arguments.ts";
import { jobLabel } from "../../src/commands/job-label.ts";

const read = (...words: string[]) =>
  jobLabel.cli.toInput(parseArguments(words, { args: jobLabel.cli.args, rest: true, takesRest: false }));

test("job label sets name=value, and takes away name-", () => {
  expect(read("3", "a=1", "b-", "c=x-", "d=")).toEqual({
    job: "3",
    set: { a: "1", c: "x-", d: "" },
    unset: ["b"],
  });
});

test("job label refuses what is neither", () => {
  expect(() => read("3")).toThrow("name=value or name-");
  expect(() => read("3", "a")).toThrow('Cannot read label "a": write name=value');
  expect(() => read("3", "a=1", "a-")).toThrow('both set label "a" and take it away');
});
