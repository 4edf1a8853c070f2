import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { isRunning, openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

async function setup() {
  const world = openWorld();
  await world.start();
  /** Kills front or keeper so that it cannot say a word, and resolves when it is gone. */
  const murder = async (pid: number) => {
    process.kill(pid, "SIGKILL");
    await eventually(() => !isRunning(pid), 30_000);
  };
  const killFront = async () => murder((await world.status()).pid);
  const killKeeper = async () => {
    const [keeper] = (await world.status()).keepers;
    if (keeper === undefined) throw new Error("There is no keeper");
    await murder(keeper.pid);
  };
  const touch = (name: string) => writeFileSync(join(world.home, name), "");
  const exists = (name: string) => eventually(() => existsSync(join(world.home, name)), 30_000);
  return { ...world, killFront, killKeeper, touch, exists };
}

/** Prints a numbered line every 10 ms, and ends with 7. */
const LINES = 200;
const printer = `i=0; while [ $i -lt ${LINES} ]; do i=$((i+1)); echo $i; sleep 0.01; [ $i = 50 ] && : > half; done; exit 7`;
const printed = Array.from({ length: LINES }, (_, i) => `${i + 1}\n`).join("");
/** Says one thing, then another when the file `go` appears, and ends with 7. */
const waiter = ": > ready; echo one; while [ ! -e go ]; do sleep 0.02; done; echo two; exit 7";

describe("kill -9 of the front", () => {
  test("leaves a job printing, and a new front adopts it with every line once", async () => {
    await using world = await setup();
    const before = await world.status();
    const job = await world.detach("--shell", printer);
    await world.exists("half");
    await world.killFront();
    const after = await world.start();
    expect(after.keepers.map(({ pid }) => pid)).toEqual(before.keepers.map(({ pid }) => pid));
    expect(after.pid).not.toBe(before.pid);
    expect(await world.farhand(["follow", job, "--since", "0"])).toMatchObject({ code: 7, stdout: printed });
    expect(await world.farhand(["wait", job])).toMatchObject({ code: 7 });
  });

  test("again and again loses nothing of a job either", async () => {
    await using world = await setup();
    const job = await world.detach("--shell", printer);
    await world.exists("half");
    for (let round = 0; round < 4; round++) {
      await world.killFront();
      await world.start();
    }
    expect(await world.farhand(["follow", job])).toMatchObject({ code: 7, stdout: printed });
  });

  test("under an attached client: it exits with 125, names the job, and the job goes on", async () => {
    await using world = await setup();
    const client = world.open(["farhand", "exec", "--shell", waiter]);
    await eventually(() => client.said() === "one\n", 30_000);
    await world.killFront();
    const { code, stderr } = await client.ran;
    expect(code).toBe(125);
    const [, job = "", next = ""] = /follow ([0-9a-f-]{36}) --since (\d+)\n$/.exec(stderr) ?? [];
    await world.start();
    world.touch("go");
    const rest = await world.farhand(["follow", job, "--since", next]);
    expect(rest).toMatchObject({ code: 7, stdout: "two\n" });
  });

  test("hides no job that ended before it", async () => {
    await using world = await setup();
    await world.farhand(["exec", "--", "sh", "-c", "echo first; exit 3"]);
    await world.farhand(["exec", "--", "sh", "-c", "kill -KILL $$"]);
    await world.farhand(["exec", "--", "no-such-program"]);
    const listed = async () =>
      Promise.all(["1", "2", "3"].map(async (ref) => (await world.job(ref)).outcome));
    const before = await listed();
    await world.killFront();
    await world.start();
    expect(await listed()).toEqual(before);
    expect(before.map((outcome) => outcome?.type)).toEqual(["exited", "signaled", "not_started"]);
    expect((await world.farhand(["wait", "1"])).code).toBe(3);
    expect((await world.farhand(["wait", "2"])).code).toBe(137);
    expect(await world.farhand(["follow", "1"])).toMatchObject({ code: 3, stdout: "first\n" });
    expect(await world.farhand(["follow", "3"])).toMatchObject({ code: 127 });
    // Numbers go on where they were.
    expect(await world.detach("--", "true")).toBe((await world.job("4")).id);
  });

  test("hides no job that ended while there was no front", async () => {
    await using world = await setup();
    const job = await world.detach("--shell", `${waiter.replace("exit 7", ": > done; exit 7")}`);
    await world.exists("ready");
    const { keepers } = await world.status();
    await world.killFront();
    world.touch("go");
    await world.exists("done");
    // A keeper without a front and without a job ends itself, which is when the ledger is complete.
    await eventually(() => !isRunning(keepers[0]?.pid ?? 0), 30_000);
    await world.start();
    expect(await world.farhand(["follow", job])).toMatchObject({ code: 7, stdout: "one\ntwo\n" });
  });

  test("leaves a job's input and signals in reach of the next front", async () => {
    await using world = await setup();
    const job = await world.detach(
      "--shell",
      "trap 'echo told; exit 8' USR1; : > ready; while :; do sleep 0.02; done",
    );
    await world.exists("ready");
    await world.killFront();
    await world.start();
    expect((await world.farhand(["kill", "--signal", "USR1", job])).code).toBe(0);
    expect(await world.farhand(["follow", job])).toMatchObject({ code: 8, stdout: "told\n" });
  });
});

describe("Stopping the server", () => {
  test("lets jobs go on, and a new start knows them", async () => {
    await using world = await setup();
    const job = await world.detach("--shell", waiter);
    await world.exists("ready");
    const stopped = await world.farhandd(["stop"]);
    expect([stopped.code, stopped.stdout]).toEqual([0, expect.stringContaining("1 running jobs go on")]);
    await world.start();
    expect(await world.job(job)).toMatchObject({ state: "running" });
    world.touch("go");
    expect(await world.farhand(["follow", job])).toMatchObject({ code: 7, stdout: "one\ntwo\n" });
  });
});

describe("kill -9 of the keeper", () => {
  test("makes its job lost: exit 125, output readable, process listed and killable", async () => {
    await using world = await setup();
    const job = await world.detach("--shell", "echo said; sleep 1000");
    const follower = world.open(["farhand", "follow", job]);
    await eventually(() => follower.said() === "said\n", 30_000);
    await world.killKeeper();

    expect((await follower.ran).code).toBe(125);
    await eventually(async () => (await world.job(job)).state === "lost", 30_000);
    expect(await world.farhand(["follow", job])).toMatchObject({ code: 125, stdout: "said\n" });
    expect((await world.farhand(["wait", job])).code).toBe(125);
    const { outcome, processes = [] } = await world.job(job);
    expect(outcome?.type).toBe("lost");
    const sleeper = world.processes(/^sleep 1000/)[0] ?? 0;
    expect(processes).toContainEqual({ pid: sleeper, startTime: expect.stringMatching(/^\d+$/) });
    expect((await world.farhand(["jobs"])).stdout).toContain(`pid ${sleeper} started`);

    expect((await world.farhand(["kill", job])).code).toBe(0);
    await eventually(() => world.processes(/^sleep 1000/).length === 0, 30_000);
    expect((await world.job(job)).processes ?? []).toEqual([]);
    expect((await world.job(job)).outcome?.type).toBe("lost");
  });

  test("under an attached client: it exits with 125", async () => {
    await using world = await setup();
    const client = world.open(["farhand", "exec", "--shell", waiter]);
    await eventually(() => client.said() === "one\n", 30_000);
    await world.killKeeper();
    const { code, stdout, stderr } = await client.ran;
    expect([code, stdout]).toEqual([125, "one\n"]);
    expect(stderr).toMatch(/^farhand: Job .+ is lost since .+\n$/);
  });

  test("is followed by a new keeper for the next job", async () => {
    await using world = await setup();
    await world.killKeeper();
    await eventually(async () => (await world.farhand(["exec", "--", "echo", "here"])).stdout === "here\n");
  });

  test("while there is no front makes its jobs lost at the next start, and those that ended stay", async () => {
    await using world = await setup();
    await world.farhand(["exec", "--", "sh", "-c", "echo over; exit 3"]);
    await world.detach("--shell", waiter);
    await world.exists("ready");
    const { keepers } = await world.status();
    await world.killFront();
    process.kill(keepers[0]?.pid ?? 0, "SIGKILL");
    await eventually(() => !isRunning(keepers[0]?.pid ?? 0), 30_000);
    await world.start();
    expect((await world.job("1")).outcome).toEqual({ type: "exited", code: 3 });
    expect(await world.job("2")).toMatchObject({ state: "lost", outcome: { type: "lost" } });
    expect(await world.farhand(["follow", "2"])).toMatchObject({ code: 125, stdout: "one\n" });
  });
});

test("kill -9 of the client leaves the job, which can be followed", async () => {
  await using world = await setup();
  const client = world.open(["farhand", "exec", "--shell", waiter]);
  await eventually(() => client.said() === "one\n", 30_000);
  client.kill("SIGKILL");
  await client.ran;
  await eventually(async () => !(await world.job("@last")).attached, 30_000);
  expect(await world.job("@last")).toMatchObject({ state: "running" });
  world.touch("go");
  expect(await world.farhand(["follow", "@last"])).toMatchObject({ code: 7, stdout: "one\ntwo\n" });
});
