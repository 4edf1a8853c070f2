import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import fc from "fast-check";
import * as v from "valibot";
import { createLog } from "../../../src/lib/log.ts";
import { AppError } from "../../../src/protocol/error.ts";
import { JobId, KeeperId } from "../../../src/protocol/id.ts";
import { NO_TOTALS } from "../../../src/protocol/packet.ts";
import { type IndexedJob, JobIndex } from "../../../src/server/jobs/job-index.ts";
import {
  fillDisk,
  findMountFault,
  mountSmall,
  openDirectory,
  type TestDirectory,
} from "../../support/directory.ts";
import { eventually } from "../../support/eventually.ts";
import { createStart } from "../../support/start.ts";
import { testIf } from "../../support/test-if.ts";

const endedAt = "2026-01-01T00:00:01.000Z";
const exit = { outcome: { type: "exited" as const, code: 3 }, totals: NO_TOTALS, endedAt };

/** The job of a number, whose id begins with `prefix`. */
function toJob(number: number, prefix = "0000"): IndexedJob {
  const id = v.parse(JobId, `${prefix}${number.toString(16).padStart(4, "0")}-0000-7000-8000-000000000000`);
  return {
    start: createStart({
      job: id,
      number,
      argv: ["echo", "zwei ä", "'; DROP TABLE jobs; --"],
      keeper: v.parse(KeeperId, "00000000-0000-4000-8000-000000000000"),
    }),
    closed: false,
  };
}

function setup(directory: TestDirectory = openDirectory()) {
  const path = join(directory.path, "state.db");
  const logged: string[] = [];
  const write = (line: string) => void logged.push(line);
  const log = createLog({ level: "debug", format: "text", write, now: () => new Date() });
  return {
    path,
    logged,
    open: () => new JobIndex(path, log),
    [Symbol.dispose]: () => directory[Symbol.dispose](),
  };
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

const HINT = "run farhandd repair, which sets it aside and rebuilds it from the ledgers";

/** What farhandd 0.1.0 made at first. */
const FIRST_SCHEMA = [
  "CREATE TABLE jobs (id TEXT PRIMARY KEY, number INTEGER NOT NULL, start TEXT NOT NULL, exit TEXT, closed INTEGER NOT NULL) STRICT",
  "CREATE INDEX jobs_by_number ON jobs (number)",
  "CREATE TABLE counter (last INTEGER NOT NULL) STRICT",
  "INSERT INTO counter (last) VALUES (0)",
  "CREATE TABLE removed (id TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT",
  "PRAGMA user_version = 1",
];

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

const mountFault = findMountFault();
if (mountFault !== undefined) console.warn(`An index on a full disk is not tested: ${mountFault}`);

/** Checks an index that cannot be written until `free` is called. */
async function checkUnwritable(
  { path, logged }: { readonly path: string; readonly logged: readonly string[] },
  index: JobIndex,
  free: () => void,
): Promise<void> {
  for (let number = 1; number <= 20; number++) index.put(toJob(number));
  for (let tries = 0; tries < 3; tries++) index.flush();
  expect(logged).toEqual([expect.stringContaining("index not written")]);
  index.put({ ...toJob(7), exit, closed: true });

  expect(numbers(index.list(15, 3))).toEqual([14, 13, 12]);
  expect(numbers(index.list(Number.MAX_SAFE_INTEGER, 100))).toHaveLength(20);
  expect(index.find(toJob(7).start.job)).toMatchObject({ closed: true, exit });
  expect(index.findByNumber(7)).toMatchObject({ closed: true, exit });
  expect(numbers(index.findByPrefix(toJob(9).start.job.slice(0, 8), undefined))).toEqual([9]);
  expect(index.findByPrefix("0000", undefined)).toHaveLength(2);
  expect(index.listEnded()).toEqual([{ id: toJob(7).start.job, number: 7, outcome: "exited", endedAt }]);
  expect(index.listOpen()).toHaveLength(19);
  expect([index.size, index.lastNumber]).toEqual([20, 20]);

  free();
  using reader = new Database(path, { readonly: true });
  const count = () => Object.values(reader.query("SELECT count(*) FROM jobs").get() as object)[0];
  await eventually(() => count() === 20);
  expect(logged).toHaveLength(1);
  index.put(toJob(21));
  expect([index.size, index.lastNumber]).toEqual([21, 21]);
}

describe("JobIndex", () => {
  test("findLast() answers the newest job of an owner, written or not", () => {
    using world = setup();
    using index = world.open();
    const put = (number: number, owner: string) => {
      const job = toJob(number);
      index.put({ ...job, start: { ...job.start, owner } });
    };
    const last = (owner: string) => index.findLast({ owner, link: undefined })?.start.number;
    put(1, "ann");
    put(2, "bob");
    put(3, "ann");
    expect([last("ann"), last("bob"), last("eve")]).toEqual([3, 2, undefined]);
    index.flush();
    put(4, "bob");
    expect([last("ann"), last("bob"), last("eve")]).toEqual([3, 4, undefined]);
  });

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
    const find = (prefix: string) => numbers(index.findByPrefix(prefix, undefined)).sort();
    expect(find("bbbb")).toEqual([3]);
    expect(find("aaab")).toEqual([2]);
    expect(find("aaaa0001")).toEqual([1]);
    expect(find("aaaa")).toEqual([1, 4]);
    expect(find("aaa")).toHaveLength(2);
    expect(find("cccc")).toEqual([]);
    expect(find(toJob(3, "bbbb").start.job)).toEqual([3]);
  });

  test("finds the newest job of an owner's key, written or not, and nobody else's", () => {
    using world = setup();
    using index = world.open();
    const put = (number: number, owner: string, key?: string) => {
      const { start } = toJob(number);
      index.put({ start: { ...start, owner, ...(key !== undefined && { key }) }, closed: true });
    };
    const find = (owner: string, key: string) => index.findByKey(owner, key, [])?.start.number;
    const strange = "'; \u0000 ä %";
    put(1, "local", "deploy");
    put(2, "local", "deploy");
    put(3, "other", "deploy");
    put(4, "local");
    put(5, "local", strange);
    const expectAll = () =>
      expect([find("local", "deploy"), find("other", "deploy"), find("local", strange)]).toEqual([2, 3, 5]);
    expectAll();
    index.flush();
    expectAll();
    expect([find("local", "Deploy"), find("local", ""), find("nobody", "deploy")]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);

    put(6, "local", "deploy");
    expect(find("local", "deploy")).toBe(6);
    index.remove(toJob(6).start.job, 0);
    expect(find("local", "deploy")).toBe(2);
    // The older one is changed while the newer is written already.
    index.put({ ...toJob(1), start: { ...toJob(1).start, key: "deploy" }, exit, closed: true });
    expect(find("local", "deploy")).toBe(2);
  });

  test("looks a key up by an index, not row by row", () => {
    using world = setupFilled(3);
    using reader = new Database(world.path, { readonly: true });
    const plan = reader
      .query("EXPLAIN QUERY PLAN SELECT 1 FROM jobs WHERE owner = ? AND key = ?")
      .all("", "");
    expect(JSON.stringify(plan)).toContain("jobs_by_key");
  });

  test("takes nothing in a prefix for a pattern", () => {
    using world = setupFilled(3);
    for (const prefix of ["%1", "_000", "0000%", "____", "' OR 1=1 --"])
      expect(world.index.findByPrefix(prefix, undefined).length).toBeLessThanOrEqual(2);
    expect(world.index.findByPrefix("1%%%%", undefined)).toEqual([]);
  });

  test("lists jobs that are over in the order of their ends, and those that are not, written or not", () => {
    using world = setup();
    using index = world.open();
    for (const number of [5, 2, 4]) index.put({ ...toJob(number), closed: true });
    index.put(toJob(3));
    index.flush();
    index.put({ ...toJob(3), exit, closed: true });
    index.put({ ...toJob(2), exit, closed: true });
    index.put({ ...toJob(1), closed: true });
    const ended = () => index.listEnded().map(({ number }) => number);
    // Where it is not known when they ended, they are the oldest.
    expect(ended()).toEqual([1, 4, 5, 2, 3]);
    index.put({ ...toJob(5), exit: { ...exit, endedAt: "2026-01-01T00:00:00.500Z" }, closed: true });
    index.put({ ...toJob(1), exit: { ...exit, endedAt: "2026-01-02T00:00:00.000Z" }, closed: true });
    expect(ended()).toEqual([4, 5, 2, 3, 1]);
    index.put(toJob(6));
    const open = () => index.listOpen();
    expect(open()).toEqual([toJob(6).start.job]);
    index.flush();
    expect([ended(), open()]).toEqual([[4, 5, 2, 3, 1], [toJob(6).start.job]]);
  });

  test("removes a job that is not written yet, and keeps its number", () => {
    using world = setupFilled(3);
    const { job } = toJob(3).start;
    world.index.remove(job, 0);
    world.index.flush();
    expect(world.index.find(job)).toBeUndefined();
    expect(world.index.wasRemoved(job)).toBe(true);
    expect([world.index.size, world.index.lastNumber]).toEqual([2, 3]);
  });

  test("answers while another connection keeps it from writing, and writes later", async () => {
    using world = setup();
    using index = world.open();
    using other = new Database(world.path);
    other.run("BEGIN IMMEDIATE");
    await checkUnwritable(world, index, () => other.run("ROLLBACK"));
  });

  test.skipIf(mountFault !== undefined)("answers while the disk is full, and writes later", async () => {
    using small = mountSmall(1024 * 1024);
    using world = setup(small);
    using index = world.open();
    using filler = fillDisk(small.path);
    await checkUnwritable(world, index, () => filler[Symbol.dispose]());
  });

  test.skipIf(mountFault !== undefined)("removes a job whole or not at all while the disk is full", () => {
    using small = mountSmall(1024 * 1024);
    using world = setup(small);
    using index = world.open();
    index.put(toJob(30));
    index.flush();
    using filler = fillDisk(small.path);
    for (let number = 31; number <= 60; number++) index.put(toJob(number));
    const { job } = toJob(30).start;
    expect(() => index.remove(job, 0)).toThrow(
      expect.objectContaining({
        code: "unavailable",
        message: "Cannot write the index: the disk of the state directory is full",
      }),
    );
    expect([index.find(job)?.start.number, index.wasRemoved(job)]).toEqual([30, false]);
    filler[Symbol.dispose]();
    index.remove(job, 0);
    expect([index.find(job), index.wasRemoved(job)]).toEqual([undefined, true]);
  });

  test("can be closed while it cannot be written: the ledgers know the rest", () => {
    using world = setup();
    const index = world.open();
    using other = new Database(world.path);
    other.run("BEGIN IMMEDIATE");
    index.put(toJob(1));
    index[Symbol.dispose]();
    other.run("ROLLBACK");
    using again = world.open();
    expect(again.size).toBe(0);
  });

  test("takes a database of the first version with all it says, and finds its jobs by their keys", () => {
    using world = setup();
    const job = { ...toJob(7), start: { ...toJob(7).start, key: "deploy" }, exit, closed: true };
    {
      using old = new Database(world.path, { create: true });
      for (const line of FIRST_SCHEMA) old.run(line);
      old
        .query("INSERT INTO jobs VALUES (?, ?, ?, ?, ?)")
        .run(job.start.job, 7, JSON.stringify(job.start), JSON.stringify(exit), 1);
      old.query("INSERT INTO removed VALUES (?, ?)").run(toJob(3).start.job, 5);
      old.run("UPDATE counter SET last = 9");
    }
    for (let opened = 0; opened < 2; opened++) {
      using index = world.open();
      expect(index.find(job.start.job)).toEqual(job);
      expect(index.findByKey("local", "deploy", [])).toEqual(job);
      expect(index.wasRemoved(toJob(3).start.job)).toBe(true);
      expect(index.lastNumber).toBe(9);
    }
  });

  test("refuses a database of a newer version, and does not touch it", () => {
    using world = setup();
    {
      using newer = new Database(world.path, { create: true });
      newer.run("CREATE TABLE treasure (x)");
      newer.run("PRAGMA user_version = 99");
    }
    const before = readFileSync(world.path);
    expect(refusal(world.open)).toBe(
      `Cannot open "${world.path}": a newer farhandd wrote it (schema 99); ` +
        "use that version, or run farhandd repair --rebuild",
    );
    expect(readFileSync(world.path).equals(before)).toBe(true);
    expect(readdirSync(dirname(world.path))).toEqual([basename(world.path)]);
  });

  test("refuses a database of another program, and does not touch it", () => {
    using world = setup();
    {
      using foreign = new Database(world.path, { create: true });
      foreign.run("CREATE TABLE jobs (x)");
    }
    const before = readFileSync(world.path);
    expect(refusal(world.open)).toBe(`Cannot open "${world.path}": it is no index of farhandd; ` + HINT);
    expect(readFileSync(world.path).equals(before)).toBe(true);
  });

  test("takes a database that is empty, as one whose making was cut short is", () => {
    using world = setup();
    writeFileSync(world.path, "");
    using index = world.open();
    expect(index.size).toBe(0);
  });

  test("refuses what is no database, and says what to do", () => {
    using world = setup();
    writeFileSync(world.path, "x".repeat(10_000));
    expect(refusal(world.open)).toEndWith(`not a database; ${HINT}`);
  });

  test("refuses one that has lost all it had, and does not touch it", () => {
    using world = setup();
    writeFileSync(world.path, "");
    const log = createLog({ level: "error", format: "text", write: () => {}, now: () => new Date() });
    expect(refusal(() => new JobIndex(world.path, log, false))).toEndWith(`it has lost all it had; ${HINT}`);
    expect(readFileSync(world.path)).toHaveLength(0);
    // One that is missing is another matter: the ledgers make it anew.
    rmSync(world.path);
    new JobIndex(world.path, log, false)[Symbol.dispose]();
  });

  test("refuses one that is cut anywhere or in which a page is overwritten, or says in use that it is damaged", () => {
    using world = setup();
    {
      using index = world.open();
      for (let number = 1; number <= 100; number++) index.put({ ...toJob(number), exit, closed: true });
    }
    const sound = readFileSync(world.path);
    const expectTold = (act: () => unknown) => {
      try {
        act();
      } catch (error) {
        expect(error).toMatchObject({ code: "state_unusable", message: expect.stringContaining("repair") });
      }
    };
    const use = (bytes: Uint8Array): string[] => {
      writeFileSync(world.path, bytes);
      const told: string[] = [];
      expectTold(() => {
        using index = world.open();
        expectTold(() => index.list(Number.MAX_SAFE_INTEGER, 1_000));
        expectTold(() => index.listEnded());
        expectTold(() =>
          told.push(...index.findByPrefix(toJob(7).start.job, undefined).map(({ start }) => start.job)),
        );
      });
      return told;
    };
    expect(use(sound)).toEqual([toJob(7).start.job]);
    const page = 4096;
    for (let at = 0; at < sound.length; at += page) {
      // What is cut away is missed at once.
      expect(use(sound.subarray(0, at + 1_000))).toEqual([]);
      const overwritten = Uint8Array.from(sound);
      overwritten.fill(0x5a, at, at + page);
      expect(use(overwritten)).toEqual([]);
    }
    fc.assert(
      fc.property(fc.nat(sound.length * 8 - 1), (bit) => {
        const flipped = Uint8Array.from(sound);
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        use(flipped);
      }),
      { numRuns: 60 },
    );
  }, 60_000);

  testIf(process.getuid?.() === 0, "becoming another user takes root")(
    "refuses one that this user may not write, and says so",
    () => {
      using world = setup();
      world.open()[Symbol.dispose]();
      chmodSync(world.path, 0o400);
      Bun.spawnSync(["chown", "-R", "65534", dirname(world.path)]);
      const child = Bun.spawnSync([
        "setpriv",
        "--reuid=65534",
        "--clear-groups",
        process.execPath,
        "-e",
        OPENER,
        world.path,
      ]);
      expect(child.stderr.toString()).toBe("");
      expect(child.stdout.toString()).toContain("see that it is a file that this user may write");
    },
  );

  test("refuses a directory in its place", () => {
    using world = setup();
    mkdirSync(world.path);
    expect(refusal(world.open)).toStartWith(`Cannot open "${world.path}": `);
  });
});

/** Tells why an index cannot be opened. */
const OPENER = `
  const { JobIndex } = await import(${JSON.stringify(join(import.meta.dir, "../../../src/server/jobs/job-index.ts"))});
  try {
    new JobIndex(process.argv[1], console);
  } catch (error) {
    console.log(error.message);
  }
`;
