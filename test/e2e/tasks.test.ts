import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { Pool } from "../../src/sdk.ts";
import type { TaskState } from "../../src/protocol/task.ts";
import { openCallers } from "../support/callers.ts";
import { openConnected } from "../support/connected.ts";
import { eventually } from "../support/eventually.ts";
import { codeOf, COUNTER, writeModule } from "../support/tasks.ts";

setDefaultTimeout(120_000);

async function setup() {
  const connected = await openConnected();
  const { world, web1 } = connected;
  const { tasks } = web1;
  const counter = writeModule(world, "counter.ts", COUNTER);
  const stateIs = async (name: string, state: TaskState) =>
    await eventually(async () => (await tasks.show(name)).state === state, 30_000);
  return {
    ...connected,
    tasks,
    counter,
    stateIs,
    [Symbol.asyncDispose]: () => connected[Symbol.asyncDispose](),
  };
}

describe("A task", () => {
  test("keeps its state from one execution to the next, answers rich values, and tells exit what it is given", async () => {
    await using world = await setup();
    const { tasks, counter } = world;
    expect(await tasks.start("counter", { module: counter, args: { from: 41n } })).toMatchObject({
      name: "counter",
      state: "running",
      restarts: 0,
      restored: false,
    });
    expect(await tasks.exec("counter", {})).toMatchObject({ state: "finished", responded: true, value: 42n });
    const rich = {
      when: new Date(5),
      set: new Set([1, undefined]),
      map: new Map([[{}, -0]]),
      big: 2n ** 70n,
    };
    expect((await tasks.exec("counter", { echo: rich })).value).toEqual(rich);
    expect(await tasks.exec("counter", { mute: true })).toMatchObject({ responded: false, value: undefined });
    const stopped = await tasks.stop("counter", { why: new Set(["enough"]) });
    expect(stopped).toMatchObject({
      end: "exited",
      value: { count: 44n, args: { why: new Set(["enough"]) } },
    });
    expect(await tasks.show("counter")).toMatchObject({ state: "stopped" });
    expect(await codeOf(tasks.exec("counter", {}))).toBe("not_running");
  });

  test("executes one at a time in the order in which it is asked, whoever asks", async () => {
    await using world = await setup();
    const { tasks, counter } = world;
    await tasks.start("counter", { module: counter, args: { from: 0 } });
    const { url, token } = world.world.local();
    await using elsewhere = new Pool({});
    const other = (await elsewhere.add(url, { token }).connect({ timeout: 20_000 })).tasks;
    const asked = Array.from({ length: 100 }, (_, note) =>
      (note < 50 ? tasks : other).exec("counter", { note, ...(note === 0 && { hold: 200 }) }),
    );
    const counts = (await Promise.all(asked)).map(({ value }) => value);
    expect(counts.toSorted((one, two) => Number(one) - Number(two))).toEqual(
      Array.from({ length: 100 }, (_, index) => index + 1),
    );
    const log = (await tasks.exec("counter", { log: true })).value as number[];
    expect(log.filter((note) => note < 50)).toEqual(Array.from({ length: 50 }, (_, note) => note));
    expect(log.filter((note) => note >= 50)).toEqual(Array.from({ length: 50 }, (_, note) => note + 50));
  });

  test("that throws says so, with the state as it was, and lives", async () => {
    await using world = await setup();
    const { tasks, counter } = world;
    await tasks.start("counter", { module: counter, args: { from: 0 } });
    expect((await tasks.exec("counter", { note: "kept" })).value).toBe(1);
    const thrown = await tasks.exec("counter", { note: "dropped", throw: "boom" }).catch((error) => error);
    expect(thrown).toMatchObject({ code: "threw", name: "RangeError", message: "boom" });
    expect(thrown.details.stack).toContain("counter.ts");
    expect((await tasks.exec("counter", { log: true })).value).toEqual(["kept"]);
    expect((await tasks.exec("counter", {})).value).toBe(3);
    expect(await tasks.show("counter")).toMatchObject({ executed: { finished: 3, threw: 1, crashed: 0 } });
  });

  test("answers once: no_response where it does not, and an error where it does twice", async () => {
    await using world = await setup();
    const { tasks, counter } = world;
    await tasks.start("counter", { module: counter });
    expect(await codeOf(tasks.exec("counter", { mute: true }, { wait: "response" }))).toBe("no_response");
    expect(await codeOf(tasks.exec("counter", { twice: true }))).toBe("invalid_input");
    expect((await tasks.exec("counter", { twice: true }, { wait: "response" })).value).toBe(2);
  });

  test("gives an id at once to whoever does not wait, and tells later what came of it", async () => {
    await using world = await setup();
    const { tasks, counter } = world;
    await tasks.start("counter", { module: counter });
    const queued = await tasks.exec("counter", { hold: 300 }, { wait: "queued" });
    expect(["queued", "running"]).toContain(queued.state);
    expect(await tasks.await("counter", queued.execution)).toMatchObject({ state: "finished", value: 1 });
    const again = await tasks.exec("counter", {}, { execution: queued.execution });
    expect(again).toMatchObject({ execution: queued.execution, value: 1 });
    expect((await tasks.exec("counter", {})).value).toBe(2);
    expect(await codeOf(tasks.await("counter", crypto.randomUUID()))).toBe("not_started");
  });

  test("of a name that runs is refused, and swapped if that is asked; where it is asked twice it starts once", async () => {
    await using world = await setup();
    const { tasks, counter } = world;
    await tasks.start("counter", { module: counter });
    expect(await codeOf(tasks.start("counter", { module: counter }))).toBe("already_started");
    await tasks.exec("counter", {});
    const swapped = await tasks.start("counter", { module: counter, args: { from: 100 }, replace: true });
    expect(swapped).toMatchObject({ state: "running", restarts: 0 });
    expect((await tasks.exec("counter", {})).value).toBe(101);
    expect((await world.web1.jobs({})).result?.jobs).toHaveLength(2);
  });

  test("whose init throws is not started, and says why", async () => {
    await using world = await setup();
    const { tasks } = world;
    const broken = writeModule(
      world.world,
      "broken.ts",
      `export default { init() { throw new TypeError("no disk"); }, exec() {} };`,
    );
    const error = await tasks
      .start("broken", { module: broken, restart: "on-failure" })
      .catch((error) => error);
    expect(error).toMatchObject({ code: "threw", name: "TypeError", message: "no disk" });
    await world.stateIs("broken", "failed");
    expect(await tasks.list()).toMatchObject([{ name: "broken", error: { message: "no disk" } }]);
  });

  test("takes no input but what it is told to do", async () => {
    await using world = await setup();
    const { tasks, counter, web1 } = world;
    const { job } = await tasks.start("counter", { module: counter });
    const sent = await web1.sendInput(String(job?.id), "garbage\n", { raiseError: false });
    expect(sent.error).toMatchObject({ code: "forbidden" });
    expect((await tasks.exec("counter", {})).value).toBe(1);
  });
});

describe("A task that somebody has asked who goes away", () => {
  test("does it to the end, and tells whoever asks what came of it", async () => {
    await using world = await setup();
    const { tasks, counter } = world;
    await tasks.start("counter", { module: counter });
    const [first, second] = [crypto.randomUUID(), crypto.randomUUID()];
    const { url, token } = world.world.local();
    await using elsewhere = new Pool({});
    const other = await elsewhere.add(url, { token }).connect({ timeout: 20_000 });
    const asked = [
      other.tasks.exec("counter", { hold: 500 }, { execution: first }),
      other.tasks.exec("counter", {}, { execution: second }),
    ];
    await eventually(async () => (await tasks.show("counter")).waiting === 1, 30_000);
    await elsewhere.close();
    expect((await Promise.allSettled(asked)).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(await tasks.await("counter", first)).toMatchObject({ value: 1 });
    expect(await tasks.await("counter", second)).toMatchObject({ value: 2 });
  });

  test("does nothing of which it did not get all, and keeps nobody waiting for that for long", async () => {
    await using callers = await openCallers("");
    const { world, open } = callers;
    const token = world.local().token;
    const counter = writeModule(world, "counter.ts", COUNTER);
    expect((await world.farhand(["task", "start", "counter", counter])).code).toBe(0);
    const session = await open(token);
    const ask = (execution: string) =>
      session.call("task-exec", { task: "counter", execution, argBytes: 1_000 }).catch((error) => error);
    const gone = await open(token);
    const execution = crypto.randomUUID();
    gone.call("task-exec", { task: "counter", execution, argBytes: 1_000 }).catch(() => {});
    await eventually(async () =>
      (await world.farhand(["task", "show", "counter"])).stdout.includes(execution),
    );
    await gone[Symbol.asyncDispose]();
    const began = performance.now();
    const [late, other] = await Promise.all([
      ask(crypto.randomUUID()),
      world.farhand(["task", "exec", "counter", "--await"]),
    ]);
    expect(late).toMatchObject({ code: "not_started" });
    expect(other).toMatchObject({ code: 0, stdout: "1\n" });
    expect(performance.now() - began).toBeLessThan(50_000);
  });

  test("that is ended as any job is has stopped, and is not started again", async () => {
    await using world = await setup();
    const { tasks, counter } = world;
    const { job } = await tasks.start("counter", { module: counter, restart: "on-failure" });
    const under = tasks.exec("counter", { hold: 60_000 });
    const waiting = codeOf(tasks.exec("counter", {}));
    await eventually(async () => (await tasks.show("counter")).waiting === 1, 30_000);
    expect((await world.world.farhand(["kill", String(job?.number)])).code).toBe(0);
    await world.stateIs("counter", "stopped");
    expect(await waiting).toBe("not_started");
    expect(await under).toMatchObject({ state: "finished", value: 1 }); // which its signal has told to end
    expect(await tasks.show("counter")).toMatchObject({ restarts: 0 });
  });
});

describe("A task whose process dies", () => {
  test("can be started again when the record of what it was is gone", async () => {
    await using world = await setup();
    const { tasks, counter } = world;
    const { job } = await tasks.start("counter", { module: counter });
    await tasks.exec("counter", { save: true });
    await tasks.stop("counter");
    expect((await world.world.farhand(["job", "remove", String(job?.number)])).code).toBe(0);
    expect(await tasks.show("counter")).toMatchObject({ state: "stopped" });
    expect(await tasks.restart("counter")).toMatchObject({ state: "running", restored: true });
    expect((await tasks.exec("counter", {})).value).toBe(2);
    // It may have been before.
    expect(await codeOf(tasks.await("counter", crypto.randomUUID()))).toBe("incomplete_output");
  });

  test("fails what it did as crashed, tells how, and is down", async () => {
    await using world = await setup();
    const { tasks, counter } = world;
    await tasks.start("counter", { module: counter });
    const [crashed, waiting] = await Promise.allSettled([
      tasks.exec("counter", { code: 7 }),
      tasks.exec("counter", {}),
    ]);
    expect(crashed).toMatchObject({ reason: { code: "crashed", details: { code: 7 } } });
    expect(waiting).toMatchObject({ reason: { code: "not_started" } });
    expect(await tasks.show("counter")).toMatchObject({ state: "failed", error: { code: "crashed" } });
    expect(await codeOf(tasks.exec("counter", {}))).toBe("not_running");
    expect(await tasks.restart("counter")).toMatchObject({ state: "running", restarts: 1, restored: false });
    expect(await tasks.exec("counter", {})).toMatchObject({ value: 1, restarts: 1, restored: false });
  });

  test("is started again if that was asked, with the state that it saved, and what waits goes on", async () => {
    await using world = await setup();
    const { tasks, counter } = world;
    await tasks.start("counter", { module: counter, restart: "on-failure" });
    await tasks.exec("counter", { save: true });
    await tasks.exec("counter", { save: true });
    const [pid] = world.world.processes(/runner job/);
    const [crashed, waiting] = await Promise.allSettled([
      tasks.exec("counter", { code: 7 }),
      tasks.exec("counter", {}),
    ]);
    expect(crashed).toMatchObject({ reason: { code: "crashed" } });
    expect(waiting).toMatchObject({ value: { value: 3, restarts: 1, restored: true } });
    expect(world.world.processes(/runner job/)).not.toEqual([pid]);
  });

  test("goes on where it was after kill -9 between executions, if its state is saved after each", async () => {
    await using world = await setup();
    const { tasks, counter } = world;
    await tasks.start("counter", { module: counter, restart: "on-failure", checkpoint: true });
    for (let count = 1; count <= 12; count++) {
      if (count % 4 === 0) {
        const [pid] = world.world.processes(/runner job/);
        process.kill(Number(pid), "SIGKILL");
        await eventually(async () => (await tasks.show("counter")).restarts === count / 4, 30_000);
      }
      expect((await tasks.exec("counter", {})).value).toBe(count);
    }
    expect(await tasks.show("counter")).toMatchObject({ restarts: 3, restored: true, checkpoint: true });
  });

  test("loses its state if that was not saved, and every answer says so", async () => {
    await using world = await setup();
    const { tasks, counter } = world;
    await tasks.start("counter", { module: counter, restart: "on-failure" });
    await tasks.exec("counter", {});
    const [pid] = world.world.processes(/runner job/);
    process.kill(Number(pid), "SIGKILL");
    await eventually(async () => (await tasks.show("counter")).restarts === 1, 30_000);
    expect(await tasks.exec("counter", {})).toMatchObject({ value: 1, restarts: 1, restored: false });
  });
});
