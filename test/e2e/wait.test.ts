import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { JobSummary } from "../../src/protocol/job.ts";
import type { RecordedOutcome } from "../../src/protocol/outcome.ts";
import { toValue } from "../../src/protocol/value.ts";
import { Pool } from "../../src/sdk.ts";
import { eventually } from "../support/eventually.ts";
import { openLedger } from "../support/ledgers.ts";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

async function setup() {
  const world = openWorld();
  await world.start();
  const json = async (...args: string[]) => JSON.parse((await world.farhand([...args, "--json"])).stdout);
  /** A job that ends with `code` once there is a file of this name. */
  const until = (name: string, code: number) =>
    world.detach("--shell", `while [ ! -e ${name} ]; do sleep 0.02; done; exit ${code}`);
  const touch = (name: string) => writeFileSync(join(world.home, name), "");
  return { ...world, json, until, touch };
}

describe("farhand wait", () => {
  test("of several exits with the code of the first named that failed, whichever ended first", async () => {
    await using world = await setup();
    await world.until("go", 5);
    await world.detach("--", "true");
    await world.detach("--", "sh", "-c", "exit 6");
    const waiting = world.open(["farhand", "wait", "2", "1", "3"]);
    await eventually(() => waiting.said().includes("Job 3: exited 6"), 30_000);
    world.touch("go");
    expect(await waiting.ran).toMatchObject({ code: 5, stderr: "" });
    expect(waiting.said()).toEndWith("Job 1: exited 5\n");
    const all = await world.json("wait", "3", "2", "1");
    expect(all.jobs.map(({ number, outcome }: JobSummary) => [number, outcome])).toEqual([
      [3, { type: "exited", code: 6 }],
      [2, { type: "exited", code: 0 }],
      [1, { type: "exited", code: 5 }],
    ]);
    expect((await world.farhand(["wait", "2", "2"])).code).toBe(0);
    expect(await world.json("wait", "1")).toMatchObject({ number: 1, outcome: { code: 5 } });
  });

  test("--any exits with the code of the first that ends, and tells which", async () => {
    await using world = await setup();
    await world.until("one", 5);
    await world.until("two", 6);
    const waiting = world.open(["farhand", "wait", "--any", "1", "2"]);
    world.touch("two");
    expect(await waiting.ran).toMatchObject({ code: 6, stdout: "Job 2: exited 6\n", stderr: "" });
    const { id } = await world.job("2");
    expect(await world.json("wait", "--any", "1", "2")).toMatchObject({
      first: id,
      jobs: [{ number: 1 }, { id }],
    });
    expect((await world.job("1")).state).toBe("running");
  });

  test("--timeout exits with 124 and names what still runs, which goes on", async () => {
    await using world = await setup();
    await world.until("go", 0);
    await world.detach("--", "sh", "-c", "exit 6");
    expect(await world.farhand(["wait", "2", "1", "--timeout", "500ms"])).toMatchObject({
      code: 124,
      stdout: "Job 2: exited 6\n",
      stderr: "farhand: Not waiting any longer: still running: 1\n",
    });
    const late = await world.farhand(["wait", "--any", "1", "--timeout", "50ms", "--json"]);
    expect([late.code, JSON.parse(late.stdout)]).toMatchObject([
      124,
      { timedOut: true, jobs: [{ number: 1 }] },
    ]);
    expect((await world.job("1")).state).toBe("running");
    world.touch("go");
    expect((await world.farhand(["wait", "1", "--timeout", "30s"])).code).toBe(0);
  });
});

test("--json tells a program's 255, 256 or 125 from a signal, and from Farhand's own failure", async () => {
  await using world = await setup();
  const exec = async (...args: string[]) => {
    const { code, stdout } = await world.farhand(["exec", "--json", ...args]);
    const last = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
    return [code, last.outcome ?? last];
  };
  expect(await exec("--", "sh", "-c", "exit 255")).toEqual([255, { type: "exited", code: 255 }]);
  expect(await exec("--", "sh", "-c", "exit 125")).toEqual([125, { type: "exited", code: 125 }]);
  expect(await exec("--", "sh", "-c", "kill -KILL $$")).toEqual([
    137,
    { type: "signaled", signal: "SIGKILL" },
  ]);
  expect(await exec("--", "sh", "-c", "kill -ABRT $$")).toEqual([
    134,
    { type: "signaled", signal: "SIGABRT" },
  ]);
  // A system has one byte for a code: 256 reaches nobody, and is no failure.
  expect(await exec("--", "bash", "-c", "exit 256")).toEqual([0, { type: "exited", code: 0 }]);
  expect(await exec("--keep-output", "1B", "--", "true")).toMatchObject([125, { type: "error" }]);
  expect(await world.json("wait", "1")).toMatchObject({ outcome: { type: "exited", code: 255 } });
});

describe("farhand result", () => {
  test("has a tag and a code of its own for each answer", async () => {
    await using world = await setup();
    const expectResult = async (ref: string, code: number, result: object) => {
      const { code: given, stdout, stderr } = await world.farhand(["result", ref, "--json"]);
      expect([given, JSON.parse(stdout), stderr]).toMatchObject([code, result, ""]);
    };
    await world.detach("--", "true");
    await world.detach("--", "sh", "-c", "exit 255");
    await world.detach("--", "sh", "-c", "kill -SEGV $$");
    await world.detach("--", "sleep", "600");
    await world.farhand(["wait", "1", "2", "3"]);
    await expectResult("1", 0, { type: "value", number: 1, value: { code: 0 } });
    await expectResult("2", 2, { type: "failed", outcome: { type: "exited", code: 255 } });
    await expectResult("3", 2, { type: "failed", outcome: { type: "signaled", signal: "SIGSEGV" } });
    await expectResult("4", 75, { type: "not_finished", number: 4 });
    await world.farhand(["kill", "4"]);
    await expectResult("4", 130, { type: "cancelled", by: "local", end: { type: "signaled" } });
    expect((await world.farhand(["result", "9"])).code).toBe(125);
    expect(await world.farhand(["result", "1"])).toMatchObject({ stdout: '{"code":0}\n', stderr: "" });
    expect(await world.farhand(["result", "2"])).toMatchObject({
      stdout: "",
      stderr: "farhand: Job 2 failed: exited 255\n",
    });
  });

  test("has them also for what no program can do: a job whose record says that it threw, or returned a value", async () => {
    await using world = await setup();
    await world.farhandd(["stop"]);
    const error = { code: "not_found", message: "Nobody is there" } as const;
    const outcomes: RecordedOutcome[] = [
      { type: "threw", error },
      { type: "returned", value: toValue([1, "two"]) },
    ];
    for (const outcome of outcomes) {
      using ledger = openLedger(world.state, { number: outcomes.indexOf(outcome) + 1 }).writer;
      ledger.close(ledger.exit({ outcome, endedAt: "2026-01-01T00:00:01.000Z" }));
    }
    await world.start();
    const threw = await world.farhand(["result", "1", "--json"]);
    expect([threw.code, JSON.parse(threw.stdout)]).toMatchObject([1, { type: "threw", error }]);
    expect(await world.farhand(["result", "1"])).toMatchObject({
      stdout: "",
      stderr: "farhand: Job 1 threw: Nobody is there\n",
    });
    const returned = await world.farhand(["result", "2", "--json"]);
    expect([returned.code, JSON.parse(returned.stdout)]).toMatchObject([
      0,
      { type: "value", value: [1, "two"] },
    ]);
    expect(await world.farhand(["wait", "2", "1"])).toMatchObject({ code: 1 });
  });

  test("--wait answers when the job has ended, --no-wait at once", async () => {
    await using world = await setup();
    await world.until("go", 0);
    const waiting = world.open(["farhand", "result", "--wait", "1"]);
    expect((await world.farhand(["result", "--no-wait", "1"])).code).toBe(75);
    world.touch("go");
    expect(await waiting.ran).toMatchObject({ code: 0, stdout: '{"code":0}\n' });
  });

  test("asked again by the SDK is never what it was before the job ended", async () => {
    await using world = await setup();
    await world.until("go", 3);
    const { url, token } = world.local();
    await using pool = new Pool();
    const connection = await pool.add(url, { token }).connect({ timeout: 10_000 });
    expect((await connection.result("@last")).result).toMatchObject({ type: "not_finished" });
    const waiting = connection.result(1, { wait: true });
    world.touch("go");
    expect((await waiting).result).toMatchObject({ type: "failed", outcome: { type: "exited", code: 3 } });
    expect((await connection.result("@last")).result).toMatchObject({ type: "failed" });
  });
});

describe("farhand kill", () => {
  test("--all ends what runs and matches, tells of each, and leaves the others", async () => {
    await using world = await setup();
    for (const label of ["a=1", "a=2", "b=1"]) await world.detach("--label", label, "--", "sleep", "600");
    await world.detach("--label", "a=3", "--", "true");
    await world.farhand(["wait", "4"]);
    expect((await world.farhand(["kill", "--all"])).code).toBe(125);
    expect((await world.job("1")).state).toBe("running");
    const killed = await world.farhand(["kill", "--all", "--label", "a"]);
    expect([killed.code, killed.stdout.match(/^Job \d/gm)?.sort()]).toEqual([0, ["Job 1", "Job 2"]]);
    const states = async () =>
      (await world.json("jobs")).jobs.map(({ outcome }: JobSummary) => outcome?.type);
    expect(await states()).toEqual(["exited", undefined, "cancelled", "cancelled"]);
    expect(await world.farhand(["kill", "--all", "--label", "a"])).toMatchObject({
      code: 0,
      stdout: "No running job matches\n",
    });
    const rest = await world.json("kill", "--all", "--yes");
    expect(rest.jobs).toMatchObject([{ number: 3 }]);
    expect(await states()).toEqual(["exited", "cancelled", "cancelled", "cancelled"]);
  });

  test("of several ends those that it can, tells what it cannot, and then fails", async () => {
    await using world = await setup();
    await world.detach("--", "true");
    await world.farhand(["wait", "1"]);
    await world.detach("--", "sleep", "600");
    const { code, stdout, stderr } = await world.farhand(["kill", "1", "2"]);
    expect([code, stdout.match(/^Job \d/gm)]).toEqual([125, ["Job 2"]]);
    expect(stderr).toMatch(/^farhand: Cannot .*1/);
    expect((await world.job("2")).outcome).toMatchObject({ type: "cancelled" });
    // A reference that means nothing ends nothing.
    await world.detach("--", "sleep", "600");
    expect((await world.farhand(["kill", "3", "9"])).code).toBe(125);
    expect((await world.job("3")).state).toBe("running");
    expect((await world.farhand(["kill", "-s", "HUP", "3", "@last"])).code).toBe(0);
    await world.farhand(["wait", "3"]);
    expect((await world.job("3")).outcome).toEqual({ type: "signaled", signal: "SIGHUP" });
  });
});
