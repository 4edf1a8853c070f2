import { expect, test } from "bun:test";
import { align, COLUMN_NAMES, parseColumns, toTable } from "../../src/commands/table.ts";
import type { JobSummary } from "../../src/protocol/job.ts";
import { createStart } from "../support/start.ts";

function createSummary(changes: Partial<JobSummary> = {}): JobSummary {
  const { job: id, number, command, argv, cwd, owner, startedAt } = createStart();
  return { id, number, command, argv, cwd, owner, startedAt, state: "running", attached: false, ...changes };
}

test("toTable() shows the columns that were asked for, in their order, aligned", () => {
  const jobs = [
    createSummary({ number: 12, labels: { nightly: "yes", team: "" } }),
    createSummary({
      state: "closed",
      outcome: { type: "timed_out", limit: 5_000, end: { type: "signaled", signal: "SIGTERM" } },
      endedAt: "2026-01-01T00:00:05.000Z",
    }),
  ];
  expect(toTable(jobs, parseColumns("job,Labels,exit,state,time")).split("\n")).toEqual([
    "JOB  LABELS            EXIT     STATE                TIME",
    expect.stringMatching(/^12   nightly=yes team           running              \d/),
    "1                      SIGTERM  timed out after 5 s  5 s",
  ]);
});

test("toTable() has a cell for every column, and no control in any of them", () => {
  const hostile = "\x1b]0;owned\x07\n\x9b";
  const job = createSummary({
    argv: [hostile],
    cwd: hostile,
    owner: hostile,
    key: hostile,
    command: hostile,
    labels: { name: hostile },
    info: { [hostile]: hostile },
    state: "closed",
    outcome: { type: "not_started", reason: { code: "start_failed", message: hostile } },
  });
  const table = toTable([job], COLUMN_NAMES);
  expect(table.split("\n")).toHaveLength(2);
  expect(table.replaceAll("\n", "")).not.toMatch(/[\x00-\x1f\x7f-\x9f]/);
});

test("toTable() cuts a state that tells at length why, and pads by what a terminal shows", () => {
  const reason = { code: "start_failed", message: "Cannot run it: ".padEnd(300, "x") } as const;
  const jobs = [
    createSummary({ state: "closed", labels: { a: "日本" }, outcome: { type: "not_started", reason } }),
    createSummary({ labels: { a: "1234" } }),
  ];
  const [, first = "", second = ""] = toTable(jobs, parseColumns("labels,state")).split("\n");
  expect(first).toBe(`'a=日本'  not started: Cannot run it: ${"x".repeat(19)}…`);
  expect(second).toBe("a=1234    running");
});

test("align() keeps the widths that were reached, for lines that come one by one", () => {
  const widths: number[] = [];
  expect(align([["a", "long", "x"]], widths)).toEqual(["a  long  x"]);
  expect(align([["bb", "s", "y"]], widths)).toEqual(["bb  s     y"]);
});
