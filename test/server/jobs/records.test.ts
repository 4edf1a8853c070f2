import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { createLog } from "../../../src/lib/log.ts";
import { findLabels } from "../../../src/ledger/labels.ts";
import { claimLedger } from "../../../src/ledger/start.ts";
import { LedgerWriter } from "../../../src/ledger/writer.ts";
import { Changes } from "../../../src/server/jobs/changes.ts";
import { Job } from "../../../src/server/jobs/job.ts";
import { JobIndex } from "../../../src/server/jobs/job-index.ts";
import { cut, Records } from "../../../src/server/jobs/records.ts";
import { openDirectory } from "../../support/directory.ts";
import { SOME_EXIT } from "../../support/packets.ts";
import { createIdentity, createRole } from "../../support/identity.ts";
import { createStart } from "../../support/start.ts";

const never = new AbortController().signal;

function setup() {
  const directory = openDirectory();
  const ledgers = join(directory.path, "ledgers");
  mkdirSync(ledgers);
  const log = createLog({ level: "error", format: "text", write: () => {}, now: () => new Date() });
  const index = new JobIndex(join(directory.path, "state.db"), log);
  const changes = new Changes();
  const jobs = new Map<string, Job>();
  const records = new Records({
    ...{ ledgers, index, changes },
    summarize: ({ start: { job: id, number, command, argv, cwd, owner, startedAt, labels }, exit }) => ({
      ...{ id, number, command, argv, cwd, owner, startedAt, attached: false },
      state: exit === undefined ? "running" : "closed",
      ...(labels && { labels }),
    }),
    find: (id) => (index.wasRemoved(id) ? undefined : jobs.get(id)),
  });
  /** A job with a ledger, that has ended or is kept by nobody yet. */
  const create = (number: number, hasEnded: boolean) => {
    const start = createStart({ number, labels: { first: "1" }, argv: ["x".repeat(40_000)] });
    const path = join(ledgers, start.job);
    claimLedger(path, start)?.[Symbol.dispose]();
    using writer = LedgerWriter.create(path, start.job, {
      ...{ keepBytes: undefined, clock: () => 0, released: () => 0 },
    });
    writer.append("stdout", new Uint8Array(10));
    if (hasEnded) writer.close(writer.exit({ outcome: SOME_EXIT.outcome, endedAt: SOME_EXIT.endedAt }));
    const job = new Job(
      start,
      undefined,
      { next: 1, position: 0, exit: hasEnded ? SOME_EXIT : undefined },
      hasEnded,
    );
    index.put({ start, exit: job.exit, closed: hasEnded });
    jobs.set(start.job, job);
    return { job, path };
  };
  return {
    ...{ records, changes, index, create },
    [Symbol.dispose]: () => {
      index[Symbol.dispose]();
      directory[Symbol.dispose]();
    },
  };
}

describe("Records", () => {
  test("describe() counts what a ledger holds, and knows a job whose ledger is gone", async () => {
    using world = setup();
    const { job, path } = world.create(1, true);
    expect(world.records.describe(job)).toMatchObject({ next: 3, ledger: { segments: 1 }, holders: 0 });
    expect(world.records.describe(job).ledger.bytes).toBeGreaterThan(40_000);
    await world.records.remove([job]);
    expect(existsSync(path)).toBe(false);
    expect(world.records.describe(job)).toMatchObject({ next: 0, ledger: { bytes: 0, segments: 0 } });
  });

  test("label() that cannot be written says so, and changes nothing", () => {
    using world = setup();
    const { job, path } = world.create(7, false);
    mkdirSync(join(path, "labels.json.new")); // what the draft would be called
    expect(() => world.records.label(job, { a: "1" }, [])).toThrow(
      expect.objectContaining({
        code: "unavailable",
        message: expect.stringContaining("Cannot label job 7: "),
      }),
    );
    expect([job.start.labels, findLabels(path)]).toEqual([{ first: "1" }, undefined]);
  });

  test("label() sets before it takes away, so that a name in both is set", () => {
    using world = setup();
    const { job } = world.create(1, false);
    world.records.label(job, { a: "1", constructor: "x" }, ["first", "a", "never"]);
    expect(job.start.labels).toEqual({ a: "1", constructor: "x" });
  });

  test("remove() removes all or none", async () => {
    using world = setup();
    const [ended, running] = [world.create(1, true), world.create(2, false)];
    await expect(world.records.remove([ended.job, running.job])).rejects.toThrow(
      expect.objectContaining({ code: "still_running" }),
    );
    expect([existsSync(ended.path), world.index.size]).toEqual([true, 2]);
    expect(await world.records.remove([ended.job, ended.job])).toHaveLength(1);
    expect(world.index.wasRemoved(ended.job.start.job)).toBe(true);
  });

  test("remove() waits for the close of a job that has just exited", async () => {
    using world = setup();
    const { job } = world.create(1, false);
    job.advance({ next: 1, position: 0, exit: SOME_EXIT });
    const removing = world.records.remove([job]);
    job.close({ next: 2, position: 0, exit: SOME_EXIT });
    expect(await removing).toHaveLength(1);
  });

  test("changes() tells in parts what is more than one answer has room for, and of what was removed", async () => {
    using world = setup();
    const viewer = createIdentity();
    const before = world.changes.cursor();
    const jobs = [1, 2, 3, 4].map((number) => world.create(number, number === 4).job);
    for (const job of jobs) world.changes.note(job.start.job, job.start);
    await world.records.remove(jobs.slice(3));
    const seen: number[] = [];
    for (let cursor = before; seen.length < 3;) {
      const answer = await world.records.changes({ cursor, filter: { states: ["running"] }, viewer }, never);
      expect(JSON.stringify(answer).length).toBeLessThan(64 * 1024);
      expect(answer.changed.every(({ isMeant }) => isMeant)).toBe(true);
      seen.push(...answer.changed.map(({ job }) => job.number));
      ({ cursor } = answer);
      if (seen.length === 3) expect(answer.removed).toEqual([jobs[3]?.start.job as never]);
    }
    expect(seen).toEqual([1, 2, 3]);
    expect(
      await world.records.changes({ cursor: "nonsense", filter: undefined, viewer }, never),
    ).toMatchObject({
      isReset: true,
      changed: [],
    });
  });

  test("changes() tells nobody of jobs that he may not see, neither that they changed nor that they were removed", async () => {
    using world = setup();
    const role = createRole({ seesAllJobs: false });
    const [own, other] = [world.create(1, true), world.create(2, true)];
    const viewer = createIdentity({ owner: own.job.start.owner, roles: [role] });
    const stranger = createIdentity({ owner: "stranger", roles: [role] });
    const before = world.changes.cursor();
    const ask = (who: typeof viewer, signal = never) =>
      world.records.changes({ cursor: before, filter: undefined, viewer: who }, signal);
    const late = new AbortController();
    const waiting = ask(stranger, late.signal);
    world.changes.note(other.job.start.job, other.job.start);
    await world.records.remove([own.job, other.job]);
    expect((await ask(viewer)).removed).toHaveLength(2);
    expect((await ask(createIdentity())).removed).toHaveLength(2);
    late.abort(new Error("told nothing"));
    await expect(waiting).rejects.toThrow("told nothing");
  });
});

test("cut() keeps the first words, and a piece of the one that is too long", () => {
  expect(cut(["ab", "cd", "ef"], 100)).toEqual(["ab", "cd", "ef"]);
  expect(cut(["ab", "cdefgh", "x"], 5)).toEqual(["ab", "cd"]);
});
