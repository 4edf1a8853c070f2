import { describe, expect, test } from "bun:test";
import * as v from "valibot";
import { parseArguments } from "../../src/cli/arguments.ts";
import { filterArgs, toFilter } from "../../src/commands/filter.ts";
import { JobFilter } from "../../src/protocol/filter.ts";

const read = (...words: string[]) =>
  toFilter(parseArguments(words, { args: filterArgs, rest: false, takesRest: false }));

test("toFilter() reads every option, and answers nothing where none was given", () => {
  expect(read()).toBeUndefined();
  expect(
    read(
      ...["--state", "running,timed-out", "--state=failed", "--command", "make", "--match", "(a+)+$"],
      ...["-l", "a", "--label", "b=c=d", "--since", "1h", "--before", "2026-01-31T12:00Z"],
    ),
  ).toEqual({
    states: ["running", "timed_out", "failed"],
    command: "make",
    match: "(a+)+$",
    labels: ["a", "b=c=d"],
    startedSince: 3_600_000,
    startedBefore: "2026-01-31T12:00:00.000Z",
  });
});

test("a time without a zone is the user's own", () => {
  const filter = read("--since", "2026-01-31T12:00");
  expect(filter?.startedSince).toBe(new Date(2026, 0, 31, 12).toISOString());
  expect(v.parse(JobFilter, filter)).toEqual(filter as JobFilter);
});

describe("toFilter() refuses", () => {
  test.each([
    ["--state", "runing"],
    ["--state", "/var/lib/farhand"],
    ["--since", "yesterday"],
    ["--since", "5"],
    ["--before", "2026-13-45"],
    ["--label", "=x"],
  ])("%s %s", (option, value) => {
    expect(() => read(option, value)).toThrow(`Cannot use ${option} "${value}"`);
  });
});

describe("JobFilter refuses, naming the limit,", () => {
  test.each([
    [{ match: "x".repeat(4097) }, "4096"],
    [{ command: "x".repeat(1024 * 1024) }, "4096"],
    [{ labels: Array.from({ length: 65 }, (_, n) => `l${n}`) }, "64"],
    [{ labels: ["x".repeat(5000)] }, "4096"],
    [{ startedSince: "now" }, "ISO 8601"],
  ])("%#", (filter, limit) => {
    expect(v.safeParse(JobFilter, filter).issues?.[0].message).toContain(limit);
  });
});
