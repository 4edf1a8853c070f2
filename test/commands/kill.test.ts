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

  test("says what became of the job and of its processes", () => {
    const exited = { number: 3, outcome: { type: "exited", code: 0 } };
    const cancelled = { number: 3, outcome: { type: "cancelled", by: "me" } };
    const show = (result: object) => kill.cli.show(result as Parameters<typeof kill.cli.show>[0]);
    expect(show({ number: 3 })).toBe("Job 3: signal sent, still running");
    expect(show(exited)).toBe("Job 3: exited 0");
    const ended = { signal: "SIGTERM", processes: 1, killed: 0 };
    expect(show({ ...cancelled, ended })).toBe("Job 3: cancelled by me; 1 process ended by SIGTERM");
    expect(show({ ...cancelled, ended: { ...ended, processes: 3, killed: 1 } })).toBe(
      "Job 3: cancelled by me; 3 processes ended by SIGTERM, 1 of them by SIGKILL",
    );
    expect(show({ ...cancelled, ended: { ...ended, processes: 2, killed: 2 } })).toBe(
      "Job 3: cancelled by me; 2 processes ended by SIGKILL",
    );
    const leftBehind = [{ pid: 7, startTime: "99" }];
    expect(show({ number: 3, ended: { ...ended, processes: 0, leftBehind } })).toBe(
      "Job 3: still running; left behind: pid 7",
    );
  });
});
