import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { Database } from "bun:sqlite";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { claimLedger } from "../../src/ledger/start.ts";
import { LedgerWriter } from "../../src/ledger/writer.ts";
import { readBootId } from "../../src/process/boot.ts";
import { findStartTime } from "../../src/process/identity.ts";
import type { JobSummary } from "../../src/protocol/job.ts";
import { JobId, KeeperId } from "../../src/protocol/id.ts";
import { eventually } from "../support/eventually.ts";
import { createStart } from "../support/start.ts";
import { isRunning, openWorld, readProcess } from "../support/world.ts";

setDefaultTimeout(60_000);

/** A state directory as a machine has left it that went down, and a process of somebody else that has its pids now. */
function setup() {
  const world = openWorld();
  const stranger = Bun.spawn(["sleep", "1000"], { detached: true, env: {} });
  const startTime = findStartTime(stranger.pid) ?? "";
  for (const room of ["ledgers", "keeper", "logs"])
    mkdirSync(join(world.state, room), { recursive: true, mode: 0o700 });
  /** Plants a job that runs as far as its ledger tells, as the process of this pid and start time. */
  const plant = (startTime: string): JobId => {
    const job = v.parse(JobId, Bun.randomUUIDv7());
    const directory = join(world.state, "ledgers", job);
    const start = createStart({ job, argv: ["make"], startedAt: new Date().toISOString() });
    using claim = claimLedger(directory, start);
    claim?.noteProcess({ pid: stranger.pid, startTime });
    const options = { keepBytes: undefined, clock: () => 0, released: () => Number.POSITIVE_INFINITY };
    using ledger = LedgerWriter.create(directory, job, options);
    ledger.append("stdout", new TextEncoder().encode("said\n"));
    return job;
  };
  const isUntouched = () =>
    isRunning(stranger.pid) && /^State:\tS/m.test(readProcess(stranger.pid, "status"));
  return {
    ...world,
    stranger,
    startTime,
    plant,
    isUntouched,
    async [Symbol.asyncDispose]() {
      stranger.kill("SIGKILL");
      await world[Symbol.asyncDispose]();
    },
  };
}

describe("A job that the boot ended", () => {
  test.each([
    [
      "of another boot, whose ticks are the stranger's",
      (own: string) => own.replace(readBootId(), crypto.randomUUID()),
    ],
    ["of this boot, who started at another time", () => `${readBootId()}/1`],
    ["noted without a boot, whose ticks are the stranger's", (own: string) => own.split("/")[1] ?? ""],
    ["whose start was not found", () => ""],
  ] as const)("is lost, and no process is taken for that of its pid, %s", async (_which, toStartTime) => {
    await using world = setup();
    const job = world.plant(toStartTime(world.startTime));
    await world.start();
    const found: JobSummary = await world.job(job);
    expect(found).toMatchObject({ state: "lost", outcome: { type: "lost" } });
    expect(found.processes ?? []).toEqual([]);
    expect(await world.farhand(["follow", job])).toMatchObject({ code: 125, stdout: "said\n" });
    for (const args of [
      ["kill", job],
      ["kill", "--signal", "STOP", job],
      ["kill", "--grace", "0s", job],
    ])
      await world.farhand(args);
    await world.farhandd(["stop"]);
    await world.start();
    expect(world.isUntouched()).toBe(true);
  });

  test("is lost also when the machine took its ledger with it, which was not on the disk yet", async () => {
    await using world = setup();
    await world.start();
    const job = await world.detach("--label", "who=me", "--", "sleep", "1000");
    const isIndexed = () => {
      using database = new Database(join(world.state, "state.db"), { readonly: true });
      return database.query("SELECT 1 FROM jobs WHERE id = ?").get(job) !== null;
    };
    await eventually(isIndexed);
    for (const pid of world.processes(/./)) process.kill(pid, "SIGKILL");
    await eventually(() => world.processes(/./).length === 0);
    rmSync(join(world.state, "ledgers", job), { recursive: true });
    await world.start();
    expect(await world.job(job)).toMatchObject({ state: "lost", number: 1, labels: { who: "me" } });
    expect((await world.farhand(["wait", job])).code).toBe(125);
  });
});

test("Notes of dead servers and keepers that name a stranger's pid do him nothing", async () => {
  await using world = setup();
  const { pid } = world.stranger;
  const keeper = v.parse(KeeperId, crypto.randomUUID());
  const note = (extension: string) => join(world.state, "keeper", `${keeper}.${extension}`);
  writeFileSync(note("lock"), "");
  writeFileSync(note("pid"), String(pid));
  const left = { url: "http://127.0.0.1:1", token: "farhand_x", pid, version: "0.0.0" };
  writeFileSync(join(world.state, "local.json"), JSON.stringify(left), { mode: 0o600 });
  expect((await world.farhandd(["status"])).code).toBe(3);
  expect((await world.farhandd(["stop"])).code).toBe(1);
  const { keepers } = await world.start();
  expect(keepers.map((keeper) => keeper.pid)).not.toContain(pid);
  expect(existsSync(note("pid"))).toBe(false);
  await world.farhandd(["stop"]);
  expect(world.isUntouched()).toBe(true);
});
