import { describe, expect, test } from "bun:test";
import { explainOutcome, toExitCode, toFailureCode } from "../../src/cli/exit.ts";
import type { ErrorBody } from "../../src/protocol/error.ts";
import type { Outcome } from "../../src/protocol/outcome.ts";

const notStarted = (code: "program_not_found" | "program_not_executable" | "bad_directory"): Outcome => ({
  type: "not_started",
  reason: { code, message: "No" },
});

describe("toExitCode()", () => {
  test.each<[Outcome, number]>([
    [{ type: "exited", code: 0 }, 0],
    [{ type: "exited", code: 3 }, 3],
    [{ type: "exited", code: 255 }, 255],
    [{ type: "exited", code: 256 }, 1],
    [{ type: "exited", code: 0xc000_0005 }, 5],
    [{ type: "exited", code: -256 }, 1],
    [{ type: "signaled", signal: "SIGKILL" }, 137],
    [{ type: "signaled", signal: "SIGPIPE" }, 141],
    [{ type: "signaled", signal: "TERM" }, 143],
    [{ type: "signaled", signal: "SIGRTMIN" }, 162],
    [{ type: "signaled", signal: "SIGRTMIN+3" }, 165],
    [{ type: "signaled", signal: "SIGOFMARS" }, 128],
    [{ type: "returned", value: 1 }, 0],
    [{ type: "threw", error: { code: "internal", message: "x" } }, 1],
    [{ type: "timed_out", limit: 1 }, 124],
    [{ type: "idle_timed_out", limit: 1 }, 124],
    [{ type: "output_limited", limit: 1 }, 124],
    [{ type: "cancelled", by: "me" }, 130],
    [notStarted("program_not_found"), 127],
    [notStarted("program_not_executable"), 126],
    [notStarted("bad_directory"), 126],
    [{ type: "lost", since: "then" }, 125],
  ])("makes of %j %i", (outcome, code) => {
    expect(toExitCode(outcome)).toBe(code);
  });
});

test.each<[Pick<ErrorBody, "code" | "details">, number]>([
  [{ code: "threw" }, 1],
  [{ code: "crashed", details: { code: 3 } }, 3],
  [{ code: "crashed", details: { code: 0 } }, 1],
  [{ code: "crashed", details: { signal: "SIGSEGV" } }, 139],
  [{ code: "crashed" }, 1],
  [{ code: "timed_out", details: { limit: 400 } }, 124],
  [{ code: "timed_out" }, 125],
  [{ code: "connection_lost" }, 125],
])("toFailureCode() makes of %j %i", (error, code) => {
  expect(toFailureCode(error)).toBe(code);
});

test("explainOutcome() tells what was thrown under its class's name, once", () => {
  const explain = (message: string, name?: string) =>
    explainOutcome(
      { type: "threw", error: { code: "threw", message, ...(name !== undefined && { name }) } },
      "3",
    );
  expect([
    explain("no tape", "TapeError"),
    explain("no tape"),
    explain("TapeError: no tape", "TapeError"),
  ]).toEqual(["TapeError: no tape", "no tape", "TapeError: no tape"]);
});

test("explainOutcome() tells of a limit in units that people read", () => {
  expect(explainOutcome({ type: "timed_out", limit: 5_400_000 }, "3")).toContain("longer than 1 h 30 m");
  expect(explainOutcome({ type: "idle_timed_out", limit: 300_000 }, "3")).toContain("nothing for 5 m");
});

test("explainOutcome() is silent where the program has said it all", () => {
  expect(explainOutcome({ type: "exited", code: 1 }, "3")).toBeUndefined();
  expect(explainOutcome({ type: "signaled", signal: "SIGPIPE" }, "3")).toBeUndefined();
  expect(explainOutcome(notStarted("program_not_found"), "3")).toBe("No");
  expect(explainOutcome({ type: "lost", since: "noon" }, "3")).toContain("noon");
});
