import { expect, test } from "bun:test";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { createLog } from "../../../src/lib/log.ts";
import { JobId } from "../../../src/protocol/id.ts";
import type { RecordedOutcome } from "../../../src/protocol/outcome.ts";
import { findStartTime } from "../../../src/process/identity.ts";
import { MIN_SEGMENT_BYTES } from "../../../src/protocol/limits.ts";
import { NO_TOTALS } from "../../../src/protocol/packet.ts";
import { JobIndex } from "../../../src/server/jobs/job-index.ts";
import { retain, Retention } from "../../../src/server/jobs/retention.ts";
import type { RetentionLimits } from "../../../src/server/jobs/retention-limits.ts";
import { openDirectory } from "../../support/directory.ts";
import { eventually } from "../../support/eventually.ts";
import { createStart } from "../../support/start.ts";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
/** Bytes of a ledger, unless told otherwise. */
const SIZE = 1_000;
const NO_LIMITS: RetentionLimits = {
  age: Number.POSITIVE_INFINITY,
  jobs: Number.POSITIVE_INFINITY,
  bytes: Number.POSITIVE_INFINITY,
};

function setup() {
  const directory = openDirectory();
  const state = directory.path;
  mkdirSync(join(state, "ledgers"));
  const log = createLog({ level: "error", format: "text", write: () => {}, now: () => new Date() });
  const index = new JobIndex(join(state, "state.db"), log);
  const trimmed = new Map<JobId, number>();
  const live = { written: 0, trim: (job: JobId, bytes: number) => void trimmed.set(job, bytes) };
  let lastNumber = 0;
  const addLedger = (bytes = SIZE): JobId => {
    const job = v.parse(JobId, crypto.randomUUID());
    mkdirSync(join(state, "ledgers", job));
    writeFileSync(join(state, "ledgers", job, "0.seg"), new Uint8Array(bytes));
    writeFileSync(join(state, "ledgers", job, "start.ndjson"), "");
    return job;
  };
  return {
    index,
    live,
    trimmed,
    addRunning(bytes = SIZE): JobId {
      const job = addLedger(bytes);
      index.put({ start: createStart({ job, number: ++lastNumber }), closed: false });
      return job;
    },
    /** A job that ended at this time (wall clock, ms). */
    addEnded(at = 0, bytes = SIZE, outcome: RecordedOutcome = { type: "exited", code: 0 }): JobId {
      const job = addLedger(bytes);
      const endedAt = new Date(at).toISOString();
      const exit = { outcome, totals: NO_TOTALS, endedAt };
      index.put({ start: createStart({ job, number: ++lastNumber }), exit, closed: true });
      return job;
    },
    open: (limits: Partial<RetentionLimits>) =>
      new Retention({ state, index, log, live, limits: { ...NO_LIMITS, ...limits } }),
    ledger: (job: JobId) => join(state, "ledgers", job),
    has: (job: JobId) => existsSync(join(state, "ledgers", job)),
    [Symbol.dispose]() {
      index[Symbol.dispose]();
      directory[Symbol.dispose]();
    },
  };
}

test("Retention by bytes removes jobs that are over, the first to end first, until the rest fits, and never one that runs", async () => {
  using world = setup();
  const running = world.addRunning();
  // It began before the others and ended after them.
  const newest = world.addEnded(30);
  const [oldest, older] = [world.addEnded(10), world.addEnded(20)];
  expect(await world.open({ bytes: 2 * SIZE }).runOnce(Date.now())).toEqual([oldest, older]);
  expect([running, oldest, older, newest].map(world.has)).toEqual([true, false, false, true]);
  expect(world.index.find(oldest)).toBeUndefined();
  expect(world.index.find(newest)?.start.number).toBe(2);
  expect(world.trimmed.size).toBe(0);
});

test("Retention leaves everything alone that fits", async () => {
  using world = setup();
  world.addEnded();
  expect(await world.open({ bytes: SIZE, jobs: 1, age: DAY }).runOnce(DAY)).toEqual([]);
});

test("Retention by count keeps so many jobs that are over, the last to end, however many run", async () => {
  using world = setup();
  const jobs = [3, 1, 2, 5, 4].map((at) => world.addEnded(at));
  for (let running = 0; running < 3; running++) world.addRunning();
  expect(await world.open({ jobs: 2 }).runOnce(DAY)).toEqual([jobs[1], jobs[2], jobs[0]] as JobId[]);
  expect(world.index.size).toBe(5);
});

test("Retention by age removes what ended longer ago, and nothing that runs", async () => {
  using world = setup();
  const [old, fresh] = [world.addEnded(0), world.addEnded(2)];
  world.addRunning();
  const retention = world.open({ age: DAY });
  expect(await retention.runOnce(DAY)).toEqual([]);
  expect(await retention.runOnce(DAY + 1)).toEqual([old]);
  expect(await retention.runOnce(DAY + 3)).toEqual([fresh]);
  expect(world.index.size).toBe(1);
});

test("Retention spares what has just ended, unless there is no room for it", async () => {
  using world = setup();
  const job = world.addEnded(DAY);
  expect(await world.open({ age: 0 }).runOnce(DAY + MINUTE)).toEqual([]);
  world.addEnded(DAY + 1);
  expect(await world.open({ jobs: 1 }).runOnce(DAY + MINUTE)).toEqual([]);
  expect(await world.open({ bytes: SIZE }).runOnce(DAY + 2)).toEqual([job]);
  expect(await world.open({ age: 0 }).runOnce(DAY + 2 * MINUTE)).toHaveLength(1);
});

test("Retention trims running jobs once nothing else is left, the largest to a common bound", async () => {
  using world = setup();
  const MiB = 1024 * 1024;
  const ended = world.addEnded(0, 2 * MiB);
  const [small, middle, large] = [1, 3, 5].map((size) => world.addRunning(size * MiB));
  const retention = world.open({ bytes: 9 * MiB });
  expect(await retention.runOnce(DAY)).toEqual([ended]);
  expect(world.trimmed.size).toBe(0);

  await world.open({ bytes: 8 * MiB }).runOnce(DAY);
  expect([...world.trimmed]).toEqual([[large as JobId, 4 * MiB]]);
  world.trimmed.clear();
  await world.open({ bytes: 5 * MiB }).runOnce(DAY);
  expect(world.trimmed).toEqual(
    new Map([
      [middle as JobId, 2 * MiB],
      [large as JobId, 2 * MiB],
    ]),
  );
  world.trimmed.clear();
  await world.open({ bytes: 0 }).runOnce(DAY);
  const least = (job: JobId | undefined) => [job as JobId, MIN_SEGMENT_BYTES] as const;
  expect(world.trimmed).toEqual(new Map([least(small), least(middle), least(large)]));
});

test("Retention forgets a job whose ledger somebody removed, and removes what a crash left of one", async () => {
  using world = setup();
  const [gone, partial, whole] = [world.addEnded(1), world.addEnded(2), world.addEnded(3)];
  const running = world.addRunning();
  rmSync(world.ledger(gone), { recursive: true });
  rmSync(join(world.ledger(partial), "start.ndjson"));
  rmSync(world.ledger(running), { recursive: true });
  const retention = world.open({});
  expect(await retention.runOnce(Date.now())).toEqual([gone, partial]);
  expect([partial, whole].map(world.has)).toEqual([false, true]);
  const known = [gone, partial, whole, running].map((job) => world.index.find(job)?.start.job);
  expect(known).toEqual([undefined, undefined, whole, running]);
  expect(world.index.wasRemoved(gone)).toBe(true);

  rmSync(world.ledger(whole), { recursive: true });
  expect(await retention.runOnce(Date.now())).toEqual([whole]);
});

test("Retention spares a lost job for as long as one of its processes runs", async () => {
  using world = setup();
  const outcome = { type: "lost" as const, since: new Date(0).toISOString() };
  const [over, alive] = [world.addEnded(0, SIZE, outcome), world.addEnded(0, SIZE, outcome)];
  const child = Bun.spawn(["sleep", "1000"], { detached: true });
  const identity = { pid: child.pid, startTime: findStartTime(child.pid) };
  writeFileSync(join(world.ledger(alive), "start.ndjson"), `{}\n${JSON.stringify(identity)}\n`);
  const retention = world.open({ bytes: 0, age: 0, jobs: 1 });
  expect(await retention.runOnce(DAY)).toEqual([over]);
  child.kill("SIGKILL");
  await child.exited;
  expect(await retention.runOnce(DAY)).toEqual([alive]);
});

test("Retention remembers the id of a removed job for a day", async () => {
  using world = setup();
  const job = world.addEnded();
  const now = Date.now();
  const retention = world.open({ bytes: 0 });
  await retention.runOnce(now);
  expect(world.index.wasRemoved(job)).toBe(true);
  await retention.runOnce(now + DAY - 1);
  expect(world.index.wasRemoved(job)).toBe(true);
  await retention.runOnce(now + DAY + 1);
  expect(world.index.wasRemoved(job)).toBe(false);
});

test("Retention never lets the number of a removed job be given again", async () => {
  using world = setup();
  world.addEnded();
  world.addEnded();
  await world.open({ bytes: 0 }).runOnce(Date.now());
  expect(world.index.lastNumber).toBe(2);
});

test("Retention sweeps long before its minute has passed when much is written", async () => {
  using world = setup();
  const MiB = 1024 * 1024;
  const controller = new AbortController();
  const ended = world.addEnded(0, 2 * MiB);
  const retaining = retain(world.open({ bytes: MiB }), controller.signal);
  await eventually(() => !world.has(ended)); // by the first sweep
  const running = world.addRunning(2 * MiB);
  world.live.written = MiB;
  await eventually(() => world.trimmed.has(running));
  controller.abort(new Error("over"));
  expect(retaining).rejects.toThrow("over");
});

test("Retention of ten thousand ledgers lets everything else have its turns", async () => {
  using world = setup();
  for (let job = 0; job < 10_000; job++) world.addEnded(job);
  const retention = world.open({ jobs: 5_000 });
  const sweep = async (): Promise<[removed: number, took: number, longest: number]> => {
    let longest = 0;
    let last = performance.now();
    const began = last;
    let over = false;
    const removed = retention.runOnce(DAY).finally(() => (over = true));
    while (!over) {
      await new Promise(setImmediate);
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }
    return [(await removed).length, performance.now() - began, longest];
  };
  for (const expected of [5_000, 0]) {
    const [removed, took, longest] = await sweep();
    console.info(
      `Sweep of 10,000 ledgers: ${removed} removed in ${Math.round(took)} ms, at most ${Math.round(longest)} ms at once`,
    );
    expect(removed).toBe(expected);
    // Ten times what it takes on a machine that is busy with other things.
    expect(longest).toBeLessThan(2_500);
  }
}, 120_000);
