import { expect, test } from "bun:test";
import { MARK } from "../../src/process/census.ts";
import { findStartTime } from "../../src/process/identity.ts";
import { ProcessTable } from "../../src/process/table.ts";
import { Tree } from "../../src/process/tree.ts";
import { eventually } from "../support/eventually.ts";
import { testIf } from "../support/test-if.ts";

const onLinux = testIf(process.platform === "linux", "only Linux shows environments");

test("ProcessTable makes a list that many look at, and another for who must not miss what came later", async () => {
  const table = new ProcessTable();
  // A list is old some milliseconds later, in which this process may not have run.
  let first = table.read();
  await eventually(() => table.read((first = table.read()).began) === first);
  expect(table.read(performance.now()).began).toBeGreaterThan(first.began);
  await eventually(() => table.read(performance.now()) === table.read());
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
