import { describe, expect, test } from "bun:test";
import type { StartRecord } from "../../../src/ledger/start.ts";
import type { JobFilter, StateWord } from "../../../src/protocol/filter.ts";
import { toJsonValue } from "../../../src/protocol/value.ts";
import type { RecordedOutcome } from "../../../src/protocol/outcome.ts";
import { Job } from "../../../src/server/jobs/job.ts";
import { toPredicate } from "../../../src/server/jobs/job-filter.ts";
import { createStart } from "../../support/start.ts";
import { SOME_EXIT } from "../../support/packets.ts";

const NOW = Date.parse("2026-01-01T12:00:00.000Z");

function createJob(
  changes: Partial<StartRecord> = {},
  outcome?: RecordedOutcome,
  endedAt = "2026-01-01T00:00:00.000Z",
) {
  const exit = outcome && { ...SOME_EXIT, outcome, endedAt };
  return new Job(createStart(changes), undefined, { next: 0, position: 0, exit });
}

const isMeant = (job: Job, filter: JobFilter) => toPredicate(filter, NOW)(job);

describe("a state filter", () => {
  const words: StateWord[] = [
    "running",
    "ended",
    "succeeded",
    "failed",
    "cancelled",
    "exited",
    "signaled",
    "lost",
  ];
  test.each<[RecordedOutcome | undefined, StateWord[]]>([
    [undefined, ["running"]],
    [{ type: "exited", code: 0 }, ["ended", "succeeded", "exited"]],
    [{ type: "exited", code: 3 }, ["ended", "failed", "exited"]],
    [{ type: "signaled", signal: "SIGKILL" }, ["ended", "failed", "signaled"]],
    [{ type: "returned", value: toJsonValue(1) }, ["ended", "succeeded"]],
    [{ type: "cancelled", by: "me" }, ["ended", "cancelled"]],
    [{ type: "lost", since: "then" }, ["ended", "failed", "lost"]],
  ])("knows %j", (outcome, expected) => {
    const job = createJob({}, outcome);
    expect(words.filter((state) => isMeant(job, { states: [state] }))).toEqual(expected);
  });

  test("knows a job that a client holds, and takes any of several words", () => {
    const job = createJob();
    expect(isMeant(job, { states: ["attached"] })).toBe(false);
    job.holders++;
    expect(isMeant(job, { states: ["attached"] })).toBe(true);
    expect(isMeant(job, { states: ["lost", "running"] })).toBe(true);
    expect(isMeant(job, { states: [] })).toBe(false);
  });
});

test("a command is the command's name, or the program's with or without its directory", () => {
  const job = createJob({ argv: ["/usr/bin/make", "test"] });
  const meant = ["exec", "make", "/usr/bin/make"].map((command) => isMeant(job, { command }));
  const others = ["mak", "test", "bin/make", "", "MAKE"].map((command) => isMeant(job, { command }));
  expect([meant, others]).toEqual([
    [true, true, true],
    [false, false, false, false, false],
  ]);
});

test("a text stands anywhere in the words, and is no pattern", () => {
  const job = createJob({ argv: ["sh", "-c", "a+ b.c"] });
  expect(["-c a+", "a+ b.c", "sh -c"].every((match) => isMeant(job, { match }))).toBe(true);
  expect([".*", "a.*c", "A+", "b[.]c"].some((match) => isMeant(job, { match }))).toBe(false);
});

test("labels must all be there, with their values where those are given", () => {
  const job = createJob({ labels: { a: "1", b: "", constructor: "x=y" } });
  const meant = [["a"], ["a=1", "b"], ["b="], ["constructor=x=y"], []];
  const others = [["a=2"], ["a", "c"], ["toString"], ["__proto__"], ["a="]];
  expect(meant.every((labels) => isMeant(job, { labels }))).toBe(true);
  expect(others.some((labels) => isMeant(job, { labels }))).toBe(false);
});

test("times are compared with the start, or with the end of what has ended", () => {
  const job = createJob(
    { startedAt: "2026-01-01T10:00:00.000Z" },
    { type: "exited", code: 0 },
    "2026-01-01T11:00:00.000Z",
  );
  const hour = 3_600_000;
  expect(isMeant(job, { startedSince: 2 * hour })).toBe(true);
  expect(isMeant(job, { startedSince: 2 * hour - 1 })).toBe(false);
  expect(isMeant(job, { startedBefore: 2 * hour - 1 })).toBe(true);
  expect(isMeant(job, { startedSince: "2026-01-01T12:00:00+02:00" })).toBe(true);
  expect(isMeant(job, { endedBefore: hour - 1 })).toBe(true);
  expect(isMeant(job, { endedBefore: hour })).toBe(false);
  expect(isMeant(createJob({ startedAt: "2020-01-01T00:00:00.000Z" }), { endedBefore: hour })).toBe(false);
});

test("everything that is given must hold, and nothing given means all", () => {
  const job = createJob({ labels: { a: "1" } });
  expect(isMeant(job, {})).toBe(true);
  expect(isMeant(job, { labels: ["a"], states: ["running"], command: "true" })).toBe(true);
  expect(isMeant(job, { labels: ["a"], states: ["lost"], command: "true" })).toBe(false);
});

test("a pattern that would never end as one is compared in no time (C11)", () => {
  const job = createJob({ argv: ["a".repeat(100_000)], labels: { a: "a".repeat(256) } });
  const start = performance.now();
  expect(isMeant(job, { match: "(a+)+$" })).toBe(false);
  expect(isMeant(job, { labels: ["(a+)+$=x"] })).toBe(false);
  expect(performance.now() - start).toBeLessThan(1_000);
});
