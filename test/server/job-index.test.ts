import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { AppError } from "../../src/protocol/error.ts";
import { JobId, KeeperId } from "../../src/protocol/id.ts";
import { NO_TOTALS } from "../../src/protocol/packet.ts";
import { type IndexedJob, JobIndex } from "../../src/server/job-index.ts";
import { openDirectory } from "../support/directory.ts";
import { eventually } from "../support/eventually.ts";

const endedAt = "2026-01-01T00:00:01.000Z";
const exit = { outcome: { type: "exited" as const, code: 3 }, totals: NO_TOTALS, endedAt };

/** The job of a number, whose id begins with `prefix`. */
function toJob(number: number, prefix = "0000"): IndexedJob {
  const id = v.parse(JobId, `${prefix}${number.toString(16).padStart(4, "0")}-0000-7000-8000-000000000000`);
  return {
    start: {
      format: 1,
      job: id,
      number,
      command: "exec",
      argv: ["echo", "zwei ä", "'; DROP TABLE jobs; --"],
      cwd: "/",
      envNames: [],
      owner: "local",
      keeper: v.parse(KeeperId, "00000000-0000-4000-8000-000000000000"),
      merge: false,
      startedAt: "2026-01-01T00:00:00.000Z",
    },
    closed: false,
  };
}

function setup() {
  const directory = openDirectory();
  const path = join(directory.path, "state.db");
  return { path, open: () => new JobIndex(path), [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

/** An index of so many jobs, numbered from 1. */
function setupFilled(jobs: number) {
  const world = setup();
  const index = world.open();
  for (let number = 1; number <= jobs; number++) index.put(toJob(number));
  return {
    ...world,
    index,
    [Symbol.dispose]: () => {
      index[Symbol.dispose]();
      world[Symbol.dispose]();
    },
  };
}

const numbers = (jobs: readonly IndexedJob[]) => jobs.map(({ start }) => start.number);

function refusal(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof AppError && error.code === "state_unusable") return error.message;
    throw error;
  }
  throw new Error("Nothing was refused");
}

describe("JobIndex", () => {
  test("is empty at first", () => {
    using world = setupFilled(0);
    expect(world.index.list(Number.MAX_SAFE_INTEGER, 10)).toEqual([]);
    expect({ size: world.index.size, last: world.index.lastNumber }).toEqual({ size: 0, last: 0 });
    expect(world.index.find(toJob(1).start.job)).toBeUndefined();
    expect(world.index.findByNumber(1)).toBeUndefined();
  });

  test("answers what was put, before and after it is written", () => {
    using world = setupFilled(1);
    const job = toJob(1);
    expect(world.index.find(job.start.job)).toEqual(job);
    world.index.flush();
    expect(world.index.find(job.start.job)).toEqual(job);
    expect(world.index.findByNumber(1)).toEqual(job);
  });

  test("keeps how a job ended in the place of what was known before", () => {
    using world = setupFilled(1);
    world.index.flush();
    const ended = { ...toJob(1), exit, closed: true };
    world.index.put(ended);
    expect(world.index.findByNumber(1)).toEqual(ended);
    expect(world.index.size).toBe(1);
  });

  test("writes by itself, and all of it is there for the next server", async () => {
    using world = setup();
    using index = world.open();
    for (let number = 1; number <= 1_000; number++) index.put(toJob(number));
    using reader = new Database(world.path, { readonly: true });
    const count = () => Object.values(reader.query("SELECT count(*) FROM jobs").get() as object)[0];
    expect(count()).toBe(0);
    await eventually(() => count() === 1_000);
  });

  test("writes what is pending when it is disposed", () => {
    using world = setup();
    {
      using index = world.open();
      index.put({ ...toJob(7), exit, closed: true });
    }
    using index = world.open();
    expect(index.findByNumber(7)).toEqual({ ...toJob(7), exit, closed: true });
    expect(index.lastNumber).toBe(7);
  });

  test("gives pages, newest first, that neither overlap nor leave out any", () => {
    using world = setupFilled(25);
    const seen: number[] = [];
    for (let before = Number.MAX_SAFE_INTEGER; ;) {
      const page = world.index.list(before, 10);
      if (page.length === 0) break;
      seen.push(...numbers(page));
      before = seen.at(-1) as number;
    }
    expect(seen).toEqual(Array.from({ length: 25 }, (_, index) => 25 - index));
  });

  test("gives the page below any number, also one that no job has", () => {
    using world = setupFilled(5);
    expect(numbers(world.index.list(4, 2))).toEqual([3, 2]);
    expect(numbers(world.index.list(100, 2))).toEqual([5, 4]);
    expect(world.index.list(1, 2)).toEqual([]);
    expect(world.index.list(0, 2)).toEqual([]);
  });

  test("finds by prefix: one, or two when there are more", () => {
    using world = setup();
    using index = world.open();
    for (const [number, prefix] of ["aaaa", "aaab", "bbbb", "aaaa"].entries())
      index.put(toJob(number + 1, prefix));
    const find = (prefix: string) => numbers(index.findByPrefix(prefix)).sort();
    expect(find("bbbb")).toEqual([3]);
    expect(find("aaab")).toEqual([2]);
    expect(find("aaaa0001")).toEqual([1]);
    expect(find("aaaa")).toEqual([1, 4]);
    expect(find("aaa")).toHaveLength(2);
    expect(find("cccc")).toEqual([]);
    expect(find(toJob(3, "bbbb").start.job)).toEqual([3]);
  });

  test("takes nothing in a prefix for a pattern", () => {
    using world = setupFilled(3);
    for (const prefix of ["%1", "_000", "0000%", "____", "' OR 1=1 --"])
      expect(world.index.findByPrefix(prefix).length).toBeLessThanOrEqual(2);
    expect(world.index.findByPrefix("1%%%%")).toEqual([]);
  });

  test("refuses a database of a newer version, and does not touch it", () => {
    using world = setup();
    {
      using newer = new Database(world.path, { create: true });
      newer.run("CREATE TABLE treasure (x)");
      newer.run("PRAGMA user_version = 99");
    }
    expect(refusal(world.open)).toBe(
      `Cannot open "${world.path}": a newer farhandd wrote it (schema 99); use that version`,
    );
    using untouched = new Database(world.path);
    const tables = untouched.query("SELECT name FROM sqlite_master WHERE type = 'table'").all();
    expect(tables).toEqual([{ name: "treasure" }]);
  });

  test("refuses what is no database, and says what to do", () => {
    using world = setup();
    writeFileSync(world.path, "x".repeat(10_000));
    expect(refusal(world.open)).toMatch(/not a database; move it away to have it rebuilt from the ledgers$/);
  });

  test("refuses a directory in its place", () => {
    using world = setup();
    mkdirSync(world.path);
    expect(refusal(world.open)).toStartWith(`Cannot open "${world.path}": `);
  });
});
