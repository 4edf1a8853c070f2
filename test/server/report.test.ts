import { expect, test } from "bun:test";
import type { ServerStatus } from "../../src/server/app.ts";
import {
  describeChange,
  describeService,
  describeStarted,
  describeStatus,
  describeStopped,
} from "../../src/server/report.ts";

const status: ServerStatus = {
  pid: 7,
  version: "1.0.0",
  listen: ["127.0.0.1:9922", "[::1]:9922"],
  keepers: [
    { id: "a", state: "reached", pid: 8, build: "x", jobs: 2 },
    { id: "b", state: "unreached", pid: 9, jobs: 1 },
    { id: "c", state: "unsupported", pid: undefined, build: "y", major: 2, jobs: 0 },
  ],
  jobs: { running: 3, total: 5 },
};

test("What start and status say", () => {
  expect(describeStarted(status)).toBe("farhandd 1.0.0 listens on 127.0.0.1:9922 and [::1]:9922 with pid 7");
  expect(describeStatus(status, "/s").split("\n").at(-1)).toBe(
    "  3 of 5 jobs running; keeper 8 with 2 jobs, keeper 9 with 1 job (it does not answer), " +
      "keeper c with 0 jobs (of version 2, which this farhandd cannot use)",
  );
});

test("What status says of commands of the operator's own, if there are any", () => {
  const faults = [{ name: "a.ts", reason: "line 1" }];
  expect(describeStatus({ ...status, commands: { own: 0, faults: [] } }, "/s")).toBe(
    describeStatus(status, "/s"),
  );
  expect(
    describeStatus({ ...status, commands: { own: 2, faults } }, "/s")
      .split("\n")
      .slice(-2),
  ).toEqual(["  2 commands of its own", "  fault: a.ts: line 1"]);
});

test("What stop says of the jobs that go on, that ended, and that could not be ended", () => {
  const left = [{ job: "x", number: 4, reason: "it is stubborn" }];
  expect(describeStopped({ status, ended: 0, left: [] })).toBe(
    "farhandd with pid 7 has stopped; 3 running jobs go on without it",
  );
  const one = { ...status, jobs: { running: 1, total: 5 } };
  expect(describeStopped({ status: one, ended: 0, left: [] })).toBe(
    "farhandd with pid 7 has stopped; 1 running job goes on without it",
  );
  expect(describeStopped({ status, ended: 3, left: [] })).toBe(
    "farhandd with pid 7 has stopped; 3 jobs ended",
  );
  expect(describeStopped({ status, ended: 1, left })).toBe(
    "farhandd with pid 7 has stopped; 1 job ended; job 4 goes on: it is stubborn",
  );
});

test("What service says", () => {
  const service = { manager: "systemd" as const, path: "/u" };
  expect(describeChange("installed", { ...service, byHand: [] }, "mind it")).toBe(
    "The service is installed: /u\nNote: mind it",
  );
  expect(describeChange("removed", { ...service, byHand: ["a b", "c"] }, undefined)).toBe(
    "The service is removed: /u\nsystemd does not run here; once it does:\n  a b\n  c",
  );
  const state = { ...service, installed: true, enabled: false, running: true };
  expect(describeService(state)).toBe("The service is installed for systemd, not enabled and running (/u)");
  expect(describeService({ ...state, installed: false })).toContain("No service");
});
