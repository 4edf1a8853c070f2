import { describe, expect, test } from "bun:test";
import * as v from "valibot";
import { parseArguments } from "../../src/cli/arguments.ts";
import { termsArgs, toTerms } from "../../src/commands/terms.ts";
import { Terms } from "../../src/protocol/terms.ts";

const read = (...words: string[]) =>
  toTerms(parseArguments(words, { args: termsArgs, rest: false, takesRest: false }));

test("toTerms() reads every option, in milliseconds and bytes", () => {
  expect(
    read(
      ...["-l", "team=lab", "--label", "a.b/c=", "--info", '{"run": [1]}', "--key", "nightly 1"],
      ...["--on-disconnect", "kill", "--max-exec-time", "1h", "--idle-timeout", "5s", "--max-output", "1MiB"],
      ...["--max-memory", "64MiB", "--max-processes", "10", "--nice", "-5", "--grace", "0s"],
    ),
  ).toEqual({
    labels: { team: "lab", "a.b/c": "" },
    info: { run: [1] },
    key: "nightly 1",
    onDisconnect: "kill",
    limits: {
      execMs: 3_600_000,
      idleMs: 5_000,
      outputBytes: 1_048_576,
      memoryBytes: 67_108_864,
      processes: 10,
      nice: -5,
      graceMs: 0,
    },
  });
});

test("toTerms() says nothing of what was not asked for", () => {
  expect(read()).toEqual({});
});

describe("toTerms() refuses", () => {
  test.each([
    [["--label", "team"], "name=value"],
    [["--label", "=lab"], "name=value"],
    [["--info", "{"], "--info"],
    [["--on-disconnect", "stop"], "choose keep or kill"],
    [["--max-exec-time", "5"], "duration"],
    [["--max-exec-time", "0s"], "more than nothing"],
    [["--max-output", "1x"], "size"],
    [["--max-processes", "-1"], "whole number"],
    [["--nice", "20"], "from -20 to 19"],
    [["--grace", "2h"], "the most is 1h"],
  ])("%j", (words, sentence) => {
    expect(() => read(...words)).toThrow(sentence);
  });
});

describe("Terms refuse", () => {
  test.each([
    [{ labels: { "-x": "" } }, "whose name"],
    [{ labels: { ["__proto__"]: "x" } }, "whose name"],
    [{ labels: { a: "x".repeat(257) } }, "whose value"],
    [{ labels: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`l${i}`, ""])) }, "64 labels"],
    [{ info: "x".repeat(20_000) }, "bytes"],
    [{ key: "" }, "empty"],
    [{ key: "x".repeat(256) }, "255"],
    [{ key: "\ud800" }, "text"],
    [{ limits: { execMs: 0 } }, ""],
    [{ limits: { nice: 20 } }, ""],
  ])("%j", (terms, sentence) => {
    const { success, issues } = v.safeParse(Terms, terms);
    expect([success, issues?.[0].message]).toEqual([false, expect.stringContaining(sentence)]);
  });
});

test("Terms keep a label that is named like something every object has", () => {
  const labels = { constructor: "acme", prototype: "two" };
  expect({ ...v.parse(Terms, { labels }).labels }).toEqual(labels);
});

test("Terms bound what stands in a record by its bytes, not by its characters", () => {
  expect(v.safeParse(Terms, { info: "x".repeat(16_000) }).success).toBe(true);
  expect(v.safeParse(Terms, { info: "日".repeat(16_000) }).success).toBe(false);
});
