import { expect, test } from "bun:test";
import type { JobId } from "../../../src/protocol/id.ts";
import { Ownership } from "../../../src/server/machine/ownership.ts";
import type { FoundProcess } from "../../../src/server/machine/processes.ts";

const [ours, second] = [
  { id: "11111111-1111-7111-8111-111111111111" as JobId, number: 1 },
  { id: "22222222-2222-7222-8222-222222222222" as JobId, number: 2 },
];

function setup() {
  return new Ownership((id) => [ours, second].find((job) => job.id === id));
}

function found(pid: number, more: Partial<FoundProcess> = {}): FoundProcess {
  return {
    pid,
    ppid: 1,
    user: "ann",
    state: "sleeping",
    cpuMs: 0,
    rssBytes: 0,
    name: "x",
    argv: [],
    session: pid,
    startTime: `t${pid}`,
    marks: [],
    ...more,
  };
}

test("A process is of the job whose mark it carries, if that is one of this server's", () => {
  const ownership = setup();
  expect(ownership.find(found(10, { marks: [ours.id] }))).toBe(ours);
  expect(ownership.find(found(11, { marks: ["33333333-3333-7333-8333-333333333333"] }))).toBeUndefined();
  expect(ownership.find(found(12, { marks: ["33333333-3333-7333-8333-333333333333", second.id] }))).toBe(
    second,
  );
});

test("A job's first process is known without a mark, and another that has its pid by now is not", () => {
  const ownership = setup();
  ownership.add({ process: { pid: 10, startTime: "t10" }, job: ours });
  ownership.add({ process: { pid: 11, startTime: "long ago" }, job: second });
  ownership.add({ process: undefined, job: second });
  expect(ownership.find(found(10))).toBe(ours);
  expect(ownership.find(found(11))).toBeUndefined();
});

test("Members of its session and its children's children are of the job", () => {
  const ownership = setup();
  ownership.find(found(10, { marks: [ours.id] }));
  expect(ownership.find(found(11, { session: 10 }))).toBe(ours);
  expect(ownership.find(found(12, { ppid: 11 }))).toBe(ours);
  expect(ownership.find(found(13, { ppid: 12, marks: [second.id] }))).toBe(second);
  expect(ownership.find(found(14, { ppid: 9 }))).toBeUndefined();
});
