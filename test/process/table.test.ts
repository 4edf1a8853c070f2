import { expect, test } from "bun:test";
import { MARK } from "../../src/process/census.ts";
import { findStartTime } from "../../src/process/identity.ts";
import { ProcessTable } from "../../src/process/table.ts";
import { Tree } from "../../src/process/tree.ts";
import { testIf } from "../support/test-if.ts";

const onLinux = testIf(process.platform === "linux", "only Linux shows environments");

test("ProcessTable makes a list that many look at, and another for who must not miss what came later", () => {
  const table = new ProcessTable();
  const first = table.read();
  expect(table.read(first.began)).toBe(first);
  const second = table.read(performance.now());
  expect(second.began).toBeGreaterThan(first.began);
  expect(table.read()).toBe(second);
});

onLinux("However many trees ask, a list is made once, and each process's environment read once", async () => {
  const table = new ProcessTable();
  const marks = Array.from({ length: 200 }, () => crypto.randomUUID());
  const env = { ...process.env, [MARK]: marks[0] };
  const child = Bun.spawn(["sleep", "60"], { env, stdio: ["ignore", "ignore", "ignore"] });
  const gone = { pid: 2 ** 22 + 1, startTime: findStartTime(process.pid) ?? "" };
  const began = performance.now();
  table.read(began).marked("none", undefined);
  const once = performance.now() - began;
  const found = marks.map((mark) => new Tree({ leader: gone, mark, table }).find().length);
  // Another list or two may have become due meanwhile; one for each tree would be 200.
  expect(performance.now() - began).toBeLessThan(20 * once);
  expect(found).toEqual([1, ...Array(199).fill(0)]);
  child.kill("SIGKILL");
  await child.exited;
});

test("A list that takes a while leaves turns to everything else, and who asks meanwhile gets the same", async () => {
  const table = new ProcessTable();
  const asked = performance.now();
  const both = Promise.all([table.readSoon(), table.readSoon(asked)]);
  const [first, second] = await both;
  expect(second).toBe(first);
  const later = await table.readSoon(performance.now());
  expect(later.began).toBeGreaterThan(first.ended);
  expect(later.find(process.pid)).toMatchObject({ parent: process.ppid });
});
