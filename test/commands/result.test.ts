import { describe, expect, test } from "bun:test";
import * as v from "valibot";
import { result, toResult } from "../../src/commands/result.ts";
import { JobResult, type JobSummary } from "../../src/protocol/job.ts";
import type { RecordedOutcome } from "../../src/protocol/outcome.ts";
import { toValue } from "../../src/protocol/value.ts";
import { createStart } from "../support/start.ts";

function answer(outcome?: RecordedOutcome) {
  const { job: id, number, command, argv, cwd, owner, startedAt } = createStart();
  const summary: JobSummary = {
    ...{ id, number, command, argv, cwd, owner, startedAt },
    state: outcome === undefined ? "running" : "closed",
    attached: false,
    ...(outcome && { outcome }),
  };
  return v.parse(JobResult, toResult(summary));
}

describe("toResult() has one of five answers for every outcome:", () => {
  const error = { code: "internal", message: "no" } as const;
  test.each<[JobResult["type"], RecordedOutcome | undefined]>([
    ["not_finished", undefined],
    ["value", { type: "exited", code: 0 }],
    ["value", { type: "returned", value: toValue([1, null]) }],
    ["threw", { type: "threw", error }],
    ["cancelled", { type: "cancelled", by: "me", end: { type: "exited", code: 0 } }],
    ["failed", { type: "exited", code: 255 }],
    ["failed", { type: "exited", code: 256 }],
    ["failed", { type: "signaled", signal: "SIGKILL" }],
    ["failed", { type: "timed_out", limit: 1 }],
    ["failed", { type: "idle_timed_out", limit: 1 }],
    ["failed", { type: "output_limited", limit: 1 }],
    ["failed", { type: "not_started", reason: { code: "start_failed", message: "no" } }],
    ["failed", { type: "lost", since: "then" }],
  ])("%s of %j", (type, outcome) => {
    const given = answer(outcome);
    expect(given).toMatchObject({ type, ...(outcome && { outcome }) });
    expect(result.cli.show(given)).not.toBe("");
  });

  test("a value, an error and who cancelled are passed on", () => {
    const returned = { type: "returned", value: toValue({ a: [1] }) } as const;
    expect(answer(returned)).toMatchObject({ value: returned.value });
    expect(answer({ type: "threw", error })).toMatchObject({ error });
    expect(answer({ type: "cancelled", by: "me" })).toMatchObject({ by: "me" });
  });
});
