import { expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as v from "valibot";
import { createLog } from "../../src/lib/log.ts";
import { JobId } from "../../src/protocol/id.ts";
import { JobIndex } from "../../src/server/job-index.ts";
import { runOnce } from "../../src/server/retention.ts";
import { createStart } from "../support/start.ts";

const DAY = 24 * 3_600_000;

function setup() {
  const state = mkdtempSync(join(tmpdir(), "farhand-retention-"));
  mkdirSync(join(state, "ledgers"));
  const log = createLog({ level: "error", format: "text", write: () => {}, now: () => new Date() });
  const index = new JobIndex(join(state, "state.db"), log);
  const add = (number: number, closed: boolean): JobId => {
    const job = v.parse(JobId, crypto.randomUUID());
    mkdirSync(join(state, "ledgers", job));
    writeFileSync(join(state, "ledgers", job, "0.seg"), new Uint8Array(1_000));
    writeFileSync(join(state, "ledgers", job, "start.ndjson"), "");
    const start = createStart({ job, number, startedAt: new Date(0).toISOString() });
    index.put({ start, closed });
    return job;
  };
  return {
    add,
    index,
    options: { state, index, log },
    ledger: (job: JobId) => join(state, "ledgers", job),
    has: (job: JobId) => existsSync(join(state, "ledgers", job)),
    [Symbol.dispose]() {
      index[Symbol.dispose]();
      rmSync(state, { recursive: true });
    },
  };
}

test("retention removes ended jobs, oldest first, until the rest fits, and never one that runs", () => {
  using world = setup();
  const running = world.add(1, false);
  const [oldest, older, newest] = [world.add(2, true), world.add(3, true), world.add(4, true)];
  expect(runOnce(world.options, 2_000, Date.now())).toEqual([oldest, older]);
  expect([running, oldest, older, newest].map(world.has)).toEqual([true, false, false, true]);
  expect(world.index.find(oldest)).toBeUndefined();
  expect(world.index.find(newest)?.start.number).toBe(4);
});

test("retention leaves everything alone that fits", () => {
  using world = setup();
  world.add(1, true);
  expect(runOnce(world.options, 1_000, Date.now())).toEqual([]);
});

test("retention forgets a job whose ledger somebody removed, and removes what a crash left of one", () => {
  using world = setup();
  const [gone, partial, whole, running] = [
    world.add(1, true),
    world.add(2, true),
    world.add(3, true),
    world.add(4, false),
  ];
  rmSync(world.ledger(gone), { recursive: true });
  rmSync(join(world.ledger(partial), "start.ndjson"));
  rmSync(world.ledger(running), { recursive: true });
  expect(runOnce(world.options, 10_000, Date.now())).toEqual([gone, partial]);
  expect([partial, whole].map(world.has)).toEqual([false, true]);
  expect([gone, partial, whole, running].map((job) => world.index.find(job)?.start.number)).toEqual([
    undefined,
    undefined,
    3,
    4,
  ]);
  expect(world.index.wasRemoved(gone)).toBe(true);
});

test("retention remembers the id of a removed job for a day", () => {
  using world = setup();
  const job = world.add(1, true);
  const now = Date.now();
  runOnce(world.options, 0, now);
  expect(world.index.wasRemoved(job)).toBe(true);
  runOnce(world.options, 0, now + DAY - 1);
  expect(world.index.wasRemoved(job)).toBe(true);
  runOnce(world.options, 0, now + DAY + 1);
  expect(world.index.wasRemoved(job)).toBe(false);
});

test("retention never lets the number of a removed job be given again", () => {
  using world = setup();
  world.add(7, true);
  runOnce(world.options, 0, Date.now());
  expect(world.index.lastNumber).toBe(7);
});
