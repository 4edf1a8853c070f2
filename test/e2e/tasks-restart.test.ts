import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { AppError, type ErrorCode } from "../../src/protocol/error.ts";
import type { TaskState } from "../../src/protocol/task.ts";
import { Pool } from "../../src/sdk.ts";
import { eventually } from "../support/eventually.ts";
import { codeOf, COUNTER, writeModule } from "../support/tasks.ts";
import { isRunning, openWorld } from "../support/world.ts";

setDefaultTimeout(180_000);

async function setup() {
  const world = openWorld();
  await world.start();
  const { url } = world.local();
  // That of this start would not do for the next.
  const token = (await world.farhandd(["token", "create", "lasting"])).stdout.trim();
  const pool = new Pool({});
  const { tasks } = await pool.add(url, { token }).connect({ timeout: 20_000 });
  const counter = writeModule(world, "counter.ts", COUNTER);
  const kill = async (pattern: RegExp) => {
    const pids = world.processes(pattern);
    for (const pid of pids) process.kill(pid, "SIGKILL");
    await eventually(() => pids.every((pid) => !isRunning(pid)), 30_000);
  };
  const startAgain = () => world.start("--listen", new URL(url).host);
  return {
    world,
    tasks,
    counter,
    kill,
    killFront: async () => {
      const { pid } = await world.status();
      process.kill(pid, "SIGKILL");
      await eventually(() => !isRunning(pid), 30_000);
    },
    startAgain,
    isExecuting: () => eventually(async () => (await tasks.show("counter")).execution !== undefined, 30_000),
    stateIs: (state: TaskState) =>
      eventually(async () => (await tasks.show("counter")).state === state, 30_000),
    runners: () => world.processes(/runner job/),
    async [Symbol.asyncDispose]() {
      await pool.close();
      await world[Symbol.asyncDispose]();
    },
  };
}

interface Result {
  readonly note: number;
  readonly code: ErrorCode | undefined;
}

describe("A server that is killed and started again", () => {
  test("finds the execution that was under way, refuses those that waited as not_started, and the task has noticed nothing", async () => {
    await using world = await setup();
    const { tasks, counter } = world;
    await tasks.start("counter", { module: counter });
    await tasks.exec("counter", {});
    const runners = world.runners();
    const asked = [
      tasks.exec("counter", { hold: 1_500 }),
      tasks.exec("counter", {}),
      tasks.exec("counter", {}),
    ];
    const settled = Promise.allSettled(asked);
    await world.isExecuting();
    await world.killFront();
    await world.startAgain();
    const [underWay, ...waited] = await settled;
    expect(underWay).toMatchObject({ value: { state: "finished", value: 2, restarts: 0 } });
    for (const each of waited) expect(each).toMatchObject({ reason: { code: "not_started" } });
    expect((await tasks.exec("counter", {})).value).toBe(3);
    expect(world.runners()).toEqual(runners);
    expect(await tasks.show("counter")).toMatchObject({ state: "running", restarts: 0 });
  });

  test("answers what was over before, and does none of it again", async () => {
    await using world = await setup();
    const { tasks, counter } = world;
    await tasks.start("counter", { module: counter });
    const done = await tasks.exec("counter", { echo: new Map([[1, "x".repeat(200_000)]]) });
    const thrown = await tasks.exec("counter", { throw: "boom" }).catch((error) => error);
    // Its process is another by then.
    await tasks.exec("counter", { save: true });
    await tasks.restart("counter");
    await world.killFront();
    await world.startAgain();
    expect((await tasks.await("counter", done.execution)).value).toEqual(done.value);
    expect((await tasks.exec("counter", {}, { execution: done.execution })).value).toEqual(done.value);
    const again = await tasks.await("counter", thrown.details.execution).catch((error) => error);
    expect(again).toMatchObject({ code: "threw", message: "boom" });
    expect((await tasks.exec("counter", {})).value).toBe(3);
  });

  test("at any moment loses no execution that it answered, and does none twice", async () => {
    await using world = await setup();
    const { tasks, counter } = world;
    await tasks.start("counter", { module: counter });
    const results: Result[] = [];
    let note = 0;
    for (let round = 0; round < 6; round++) {
      const storm = Array.from({ length: 60 }, () => ask(note++));
      // Somewhere in the middle of them.
      await eventually(() => results.length > round * 60 + round * 9, 30_000);
      await world.killFront();
      await world.startAgain();
      await Promise.all(storm);
    }
    const log = (await tasks.exec("counter", { log: true })).value;
    const done = results.filter(({ code }) => code === undefined).map(({ note }) => note);
    expect(log).toEqual(done.toSorted((one, two) => one - two));
    expect(new Set(results.map(({ code }) => code))).toEqual(new Set([undefined, "not_started"]));
    expect(results.length).toBe(note);

    async function ask(note: number): Promise<void> {
      const code = await tasks.exec("counter", { note }).then(
        () => undefined,
        (error: unknown) => {
          if (error instanceof AppError) return error.code;
          throw error;
        },
      );
      results.push({ note, code });
    }
  });

  test("after its runner has died starts that again if it was asked, with what was saved", async () => {
    await using world = await setup();
    const { tasks, counter } = world;
    await tasks.start("counter", { module: counter, restart: "on-failure" });
    await tasks.exec("counter", { save: true });
    const underWay = tasks.exec("counter", { hold: 60_000 }).catch((error) => error);
    await world.isExecuting();
    await world.killFront();
    await world.kill(/runner job/);
    await world.startAgain();
    expect(await underWay).toMatchObject({ code: "crashed", details: { signal: "SIGKILL" } });
    await world.stateIs("running");
    expect(await tasks.exec("counter", {})).toMatchObject({ value: 2, restarts: 1, restored: true });
  });

  test("in the middle of large arguments has the task forget what it got of them", async () => {
    await using world = await setup();
    const { tasks, counter } = world;
    await tasks.start("counter", { module: counter });
    const asked = Array.from({ length: 4 }, () =>
      tasks.exec("counter", { large: new Uint8Array(8 * 1024 ** 2) }),
    );
    const settled = Promise.allSettled(asked);
    await world.isExecuting();
    await world.killFront();
    await world.startAgain();
    const done = (await settled).filter(({ status }) => status === "fulfilled").length;
    for (const each of await settled)
      if (each.status === "rejected") expect(each.reason).toMatchObject({ code: "not_started" });
    expect((await tasks.exec("counter", {})).value).toBe(done + 1);
  });
});

/** Its exit waits until there is a file, or for ever. */
const SLOW_END = `
  import { existsSync } from "node:fs";
  export default {
    init: () => 0,
    exec: (context, count) => count + 1,
    async exit(context, count, gate) {
      context.log("at the end");
      while (!existsSync(String(gate))) await Bun.sleep(5);
      context.respond({ last: count });
    },
  };
`;

describe("A task that is told to end by a server that is killed meanwhile", () => {
  async function begin() {
    const stage = await setup();
    const { world, tasks } = stage;
    await tasks.start("slow", { module: writeModule(world, "slow.ts", SLOW_END), restart: "on-failure" });
    await tasks.exec("slow");
    return {
      ...stage,
      isEnding: () =>
        eventually(async () =>
          (await world.farhand(["task", "follow", "slow", "--no-follow"])).stderr.includes("at the end"),
        ),
      slowStateIs: (state: TaskState) =>
        eventually(async () => (await tasks.show("slow")).state === state, 30_000),
      [Symbol.asyncDispose]: () => stage[Symbol.asyncDispose](),
    };
  }

  test("ends, and what its exit answers is told to whoever asked", async () => {
    await using stage = await begin();
    const { world, tasks } = stage;
    for (const isEarly of [true, false]) {
      const gate = join(world.home, `gate-${isEarly}`);
      const stopping = tasks.stop("slow", gate, { grace: 60_000 });
      await stage.isEnding();
      await stage.killFront();
      if (isEarly) writeFileSync(gate, "");
      await stage.startAgain();
      writeFileSync(gate, "");
      expect(await stopping).toMatchObject({ end: "exited", value: { last: isEarly ? 1 : 0 } });
      expect(await codeOf(tasks.exec("slow"))).toBe("not_running");
      await tasks.restart("slow");
    }
  });

  test("is killed if it does not end, and keeps nobody waiting", async () => {
    await using stage = await begin();
    const { tasks, world } = stage;
    const { url } = world.local();
    const other = new Pool({});
    const token = (await world.farhandd(["token", "create", "other"])).stdout.trim();
    const connection = await other.add(url, { token }).connect({ timeout: 20_000, reconnect: 0 });
    const stopping = codeOf(connection.tasks.stop("slow", "never", { grace: 3_600_000 }));
    await stage.isEnding();
    await stage.killFront();
    await stopping;
    await other.close();
    await stage.startAgain();
    expect(["cancelled", "not_running", "not_started"]).toContain(await codeOf(tasks.exec("slow")));
    await stage.slowStateIs("stopped");
    expect(stage.runners()).toEqual([]);
  });
});

describe("A server that is stopped and started again", () => {
  test("goes on with its tasks, and with --jobs has them end properly and stay ended", async () => {
    await using world = await setup();
    const { tasks, counter } = world;
    await tasks.start("counter", { module: counter, restart: "on-failure" });
    await tasks.exec("counter", {});
    await world.world.farhandd(["stop"]);
    await world.startAgain();
    expect((await tasks.exec("counter", {})).value).toBe(2);
    const { job } = await tasks.show("counter");
    await world.world.farhandd(["stop", "--jobs"]);
    expect(world.runners()).toEqual([]);
    await world.startAgain();
    expect(await tasks.show("counter")).toMatchObject({ state: "stopped" });
    expect((await world.world.packets(String(job?.id))).at(-1)).toMatchObject({
      type: "exit",
      outcome: { type: "cancelled" },
    });
    expect(world.runners()).toEqual([]);
    expect(await tasks.restart("counter")).toMatchObject({ state: "running" });
    expect((await tasks.exec("counter", {})).value).toBe(1);
  });
});

describe("A keeper that is killed", () => {
  test("takes its tasks with it, and no two processes of one are ever there", async () => {
    await using world = await setup();
    const { tasks, counter } = world;
    await tasks.start("counter", { module: counter, restart: "on-failure", checkpoint: true });
    await tasks.exec("counter", {});
    const runners = world.runners();
    await world.kill(/farhandd keeper/);
    await eventually(async () => (await tasks.show("counter")).restarts === 1, 30_000);
    expect(await tasks.exec("counter", {})).toMatchObject({ value: 2, restored: true });
    await eventually(() => world.runners().length === 1, 30_000);
    expect(world.runners()).not.toEqual(runners);
  });

  test("leaves a task that is not to be started again down", async () => {
    await using world = await setup();
    const { tasks, counter } = world;
    await tasks.start("counter", { module: counter });
    await world.kill(/farhandd keeper/);
    await world.stateIs("failed");
    expect(await codeOf(tasks.exec("counter", {}))).toBe("not_running");
    await eventually(() => world.runners().length === 0, 30_000);
  });
});
