import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Outcome } from "../../src/protocol/outcome.ts";
import { SUBPROTOCOL } from "../../src/protocol/hello.ts";
import { eventually } from "../support/eventually.ts";
import { isRunning, openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

async function setup() {
  const world = openWorld();
  await world.start();
  const exists = (name: string) => eventually(() => existsSync(join(world.home, name)), 30_000);
  const outcome = async (ref: string): Promise<Outcome | undefined> => (await world.job(ref)).outcome;
  /** Five jobs, of which one never ends, whatever it is asked. */
  const startFive = async () => {
    const scripts = [
      "trap 'echo told; exit 3' TERM; : > ready1; while :; do sleep 0.02; done",
      ": > ready2; sleep 1000",
      ": > ready3; sleep 1000 & sleep 1000",
      "trap '' TERM; : > ready4; while :; do sleep 0.02; done",
      ": > ready5; (trap '' HUP; sleep 1000) & wait",
    ];
    const jobs = await Promise.all(scripts.map((script) => world.detach("--shell", script)));
    await Promise.all([1, 2, 3, 4, 5].map((index) => exists(`ready${index}`)));
    return jobs;
  };
  return { ...world, exists, outcome, startFive };
}

/** Processes of jobs, whose environment is the world's and who are neither front nor keeper. */
const OF_JOBS = /^(?:sleep|\/bin\/sh|sh) /;

describe("farhandd stop", () => {
  test("leaves five running jobs running, and says so", async () => {
    await using world = await setup();
    const jobs = await world.startFive();
    const stopped = await world.farhandd(["stop"]);
    expect([stopped.code, stopped.stdout]).toEqual([
      0,
      expect.stringMatching(/^farhandd with pid \d+ has stopped; 5 running jobs go on without it\n$/),
    ]);
    await world.start();
    for (const job of jobs) expect(await world.job(job)).toMatchObject({ state: "running" });
  });

  test("--jobs ends five, one of which will not, with all their processes, and says so", async () => {
    await using world = await setup();
    const jobs = await world.startFive();
    const [keeper] = (await world.status()).keepers;
    const stopped = await world.farhandd(["stop", "--jobs", "--grace", "1s", "--json"]);
    expect([stopped.code, stopped.stderr]).toEqual([0, ""]);
    expect(JSON.parse(stopped.stdout)).toMatchObject({ jobs: { running: 5 }, ended: 5, left: [] });
    expect(world.processes(OF_JOBS)).toEqual([]);
    await eventually(() => !isRunning(keeper?.pid ?? 0), 30_000);
    await world.start();
    const outcomes = await Promise.all(jobs.map(world.outcome));
    expect(outcomes.map((outcome) => outcome?.type)).toEqual(Array(5).fill("cancelled"));
    expect(outcomes[0]).toMatchObject({ end: { type: "exited", code: 3 } });
    expect(outcomes[3]).toMatchObject({ end: { type: "signaled", signal: "SIGKILL" } });
    expect(await world.farhand(["follow", jobs[0] ?? ""])).toMatchObject({ code: 130, stdout: "told\n" });
  });

  test("--jobs ends 200 at once, and their keeper answers all the while", async () => {
    await using world = await setup();
    const started = await world.shell(
      "seq 200 | xargs -P 4 -I{} farhand exec -d -- sh -c 'sleep 1000; true'",
    );
    expect(started.code).toBe(0);
    const stopped = await world.farhandd(["stop", "--jobs", "--grace", "20s", "--json"]);
    expect([stopped.code, stopped.stderr]).toEqual([0, ""]);
    expect(JSON.parse(stopped.stdout)).toMatchObject({ ended: 200, left: [] });
    expect(world.processes(OF_JOBS)).toEqual([]);
  });

  test("--jobs tells an attached client how its job ended, and lets nobody start another meanwhile", async () => {
    await using world = await setup();
    const script = "trap 'echo told' TERM; : > ready1; while [ ! -e go ]; do sleep 0.02; done";
    const client = world.open(["farhand", "exec", "--shell", script]);
    await world.exists("ready1");
    const { url, token } = world.local();
    const stop = world.open(["farhandd", "stop", "--jobs", "--grace", "1h"]);
    await eventually(() => client.said() === "told\n", 30_000);
    expect((await fetch(`${url}/readyz`)).status).toBe(503);
    const headers = {
      authorization: `Bearer ${token}`,
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-protocol": SUBPROTOCOL,
    };
    const refused = await fetch(`${url}/v1/channel`, { headers });
    expect([refused.status, await refused.json()]).toEqual([
      503,
      expect.objectContaining({ code: "shutting_down" }),
    ]);
    writeFileSync(join(world.home, "go"), "");
    expect(await stop.ran).toMatchObject({ code: 0, stdout: expect.stringContaining("; 1 job ended") });
    expect(await client.ran).toMatchObject({ code: 130, stdout: "told\n" });
  });

  test("--jobs that waits is hurried by another with less grace", async () => {
    await using world = await setup();
    await world.startFive();
    const patient = world.open(["farhandd", "stop", "--jobs", "--grace", "1h"]);
    await eventually(async () => (await fetch(`${world.local().url}/readyz`)).status === 503, 30_000);
    const hurried = await world.farhandd(["stop", "--jobs", "--grace", "0s"]);
    expect(hurried.code).toBe(0);
    expect(await patient.ran).toMatchObject({ code: 0, stdout: expect.stringContaining("5 jobs ended") });
    expect(world.processes(OF_JOBS)).toEqual([]);
  });

  test("--jobs without jobs stops, and --grace without --jobs is refused", async () => {
    await using world = await setup();
    const { code, stderr } = await world.farhandd(["stop", "--grace", "1s"]);
    expect([code, stderr]).toEqual([1, expect.stringContaining("without --jobs")]);
    for (const grace of ["soon", "2h"])
      expect((await world.farhandd(["stop", "--jobs", "--grace", grace])).code).toBe(1);
    const stopped = await world.farhandd(["stop", "--jobs"]);
    expect([stopped.code, stopped.stdout]).toEqual([0, expect.stringMatching(/has stopped\n$/)]);
  });

  test("--jobs names the job of a keeper that does not answer, which goes on, and exits with 1", async () => {
    await using world = await setup();
    const job = await world.detach("--shell", ": > ready1; sleep 1000");
    await world.exists("ready1");
    const { pid, keepers } = await world.status();
    const keeper = keepers[0]?.pid ?? 0;
    process.kill(keeper, "SIGSTOP");
    process.kill(pid, "SIGKILL");
    await eventually(() => !isRunning(pid), 30_000);
    await world.start();
    const { code, stdout } = await world.farhandd(["stop", "--jobs"]);
    expect(code).toBe(1);
    expect(stdout).toContain(`job 1 goes on: Cannot reach the keeper with pid ${keeper}`);
    process.kill(keeper, "SIGCONT");
    await world.start();
    expect(await world.job(job)).toMatchObject({ state: "running" });
  });
});

describe("SIGTERM", () => {
  test("drains a server with five jobs: its clients are told, the jobs stay with the keeper, and it exits with 0", async () => {
    await using world = openWorld();
    const server = world.open(["farhandd", "serve", "--listen", "127.0.0.1:0"]);
    await eventually(async () => (await world.farhandd(["status"])).code === 0, 30_000);
    const script = ": > ready; while [ ! -e go ]; do sleep 0.02; done; exit 7";
    const jobs = await Promise.all([1, 2, 3, 4].map(() => world.detach("--shell", script)));
    jobs.push(await world.detach("--shell", "trap '' TERM; while :; do sleep 0.02; done"));
    const { url, token } = world.local();
    const socket = new WebSocket(`${url.replace("http", "ws")}/v1/channel`, {
      headers: { authorization: `Bearer ${token}` },
      protocols: SUBPROTOCOL,
    });
    const heard: string[] = [];
    socket.onmessage = ({ data }) => void heard.push(String(data));
    const closed = new Promise<CloseEvent>((resolve) => (socket.onclose = resolve));
    await new Promise((resolve) => (socket.onopen = resolve));
    server.kill("SIGTERM");
    expect((await closed).code).toBe(1012);
    expect(JSON.parse(heard.at(-1) ?? "")).toMatchObject({
      type: "goodbye",
      error: { code: "shutting_down" },
    });
    const { code, stderr } = await server.ran;
    expect(code).toBe(0);
    expect(stderr).toContain("stopping running=5");
    await world.start();
    writeFileSync(join(world.home, "go"), "");
    for (const job of jobs.slice(0, 4)) expect((await world.farhand(["wait", job])).code).toBe(7);
    expect(await world.job(jobs[4] ?? "")).toMatchObject({ state: "running" });
  });

  test("ends a server at once that waits for its jobs to end, and the jobs still end", async () => {
    await using world = openWorld();
    const server = world.open(["farhandd", "serve", "--listen", "127.0.0.1:0"]);
    await eventually(async () => (await world.farhandd(["status"])).code === 0, 30_000);
    const job = await world.detach(
      "--shell",
      "trap ': > told' TERM; : > ready; while [ ! -e go ]; do sleep 0.02; done",
    );
    await eventually(() => existsSync(join(world.home, "ready")), 30_000);
    const stop = world.open(["farhandd", "stop", "--jobs", "--grace", "1h"]);
    await eventually(() => existsSync(join(world.home, "told")), 30_000);
    server.kill("SIGTERM");
    expect((await server.ran).code).toBe(0);
    await stop.ran;
    writeFileSync(join(world.home, "go"), "");
    await world.start();
    expect((await world.farhand(["wait", job])).code).toBe(130);
    expect((await world.job(job)).outcome).toMatchObject({ type: "cancelled" });
  });

  test("twice ends a server at once, however it stands, and loses nothing", async () => {
    await using world = openWorld();
    const server = world.open(["farhandd", "serve", "--listen", "127.0.0.1:0"]);
    await eventually(async () => (await world.farhandd(["status"])).code === 0, 30_000);
    const job = await world.detach("--shell", "while [ ! -e go ]; do sleep 0.02; done; echo two; exit 7");
    // A client that takes nothing keeps a server from draining as long as it may take.
    const frozen = world.open(["farhand", "follow", job]);
    process.kill(frozen.pid, "SIGSTOP");
    server.kill("SIGTERM");
    server.kill("SIGTERM");
    expect(await server.ran).toMatchObject({ code: 0, signal: null });
    await world.start();
    writeFileSync(join(world.home, "go"), "");
    expect(await world.farhand(["follow", job])).toMatchObject({ code: 7, stdout: "two\n" });
  });
});

test("A second server on one state directory exits with 1 and names the first; one that was killed leaves it free", async () => {
  await using world = await setup();
  const { pid } = await world.status();
  const second = await world.farhandd(["serve", "--listen", "127.0.0.1:0"]);
  expect([second.code, second.stderr]).toEqual([1, expect.stringContaining(`farhandd with pid ${pid}`)]);
  const twenty = Array.from({ length: 20 }, () => world.farhandd(["start", "--listen", "127.0.0.1:0"]));
  expect((await Promise.all(twenty)).map(({ code }) => code)).toEqual(Array(20).fill(1));
  expect((await world.status()).pid).toBe(pid);
  process.kill(pid, "SIGKILL");
  await eventually(() => !isRunning(pid), 30_000);
  const raced = Array.from({ length: 5 }, () => world.farhandd(["start", "--listen", "127.0.0.1:0"]));
  expect((await Promise.all(raced)).map(({ code }) => code).sort()).toEqual([0, 1, 1, 1, 1]);
  expect((await world.farhand(["exec", "--", "echo", "here"])).stdout).toBe("here\n");
});
