import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AppError, ClientError, Pool } from "../../src/sdk.ts";
import { openConnected } from "../support/connected.ts";
import { eventually } from "../support/eventually.ts";
import { openProxy } from "../support/proxy.ts";

setDefaultTimeout(60_000);

/** Answers what it is given at once, and ends when there is a file of that name. */
const GATE = `
  import { existsSync } from "node:fs";
  export default {
    init: () => 0,
    async exec(context, count, { answer, gate }) {
      if (answer !== undefined) context.respond(answer);
      while (gate !== undefined && !existsSync(gate)) {
        context.signal.throwIfAborted();
        await Bun.sleep(5);
      }
      return count + 1;
    },
    exit(context, count) { context.respond(count); },
  };
`;

/** A connection to a server that has the task "gate". */
async function setup() {
  const stage = await openConnected();
  const at = (name: string) => join(stage.world.home, name);
  writeFileSync(at("gate.ts"), GATE);
  const { tasks } = stage.web1;
  await tasks.start("gate", { module: at("gate.ts") });
  const caught = (promise: Promise<unknown>) => promise.catch((error: unknown) => error);
  return { ...stage, tasks, at, caught };
}

describe("connection.tasks", () => {
  test("takes a module as a path or as a bundle, which is kept once, and no function", async () => {
    await using stage = await setup();
    const { tasks, at, world, caught } = stage;
    const bundled = await world.farhandd(["extension", "bundle", at("gate.ts"), "--output", at("gate.js")]);
    expect(bundled.code).toBe(0);
    const module = await Bun.file(at("gate.js")).bytes();
    const kept = () => readdirSync(join(world.state, "modules")).length;
    const before = kept();
    await tasks.start("again", { module });
    expect(kept()).toBe(before); // it is the same to the byte
    expect(await tasks.exec("again", { answer: "here" })).toMatchObject({ value: "here" });
    const closure = { init: () => 0, exec: () => 1 };
    expect(await caught(tasks.start("closure", { module: closure as never }))).toMatchObject({
      code: "invalid_module",
      message: expect.stringContaining("path of a file"),
    });
  });

  test("answers when an execution has ended, has answered, or is queued, as it is told", async () => {
    await using stage = await setup();
    const { tasks, at } = stage;
    const gate = at("go");
    const first = await tasks.exec("gate", { answer: 1, gate }, { wait: "response" });
    expect(first).toMatchObject({ state: "responded", responded: true, value: 1 });
    const second = await tasks.exec("gate", { answer: 2 }, { wait: "queued" });
    expect(second).toMatchObject({ state: "queued", responded: false, value: undefined });
    expect((await tasks.show("gate")).waiting).toBe(1);
    const third = tasks.exec("gate", { answer: 3 });
    writeFileSync(gate, "");
    expect(await third).toMatchObject({ state: "finished", value: 3 });
    expect(await tasks.await("gate", second.execution)).toMatchObject({ state: "finished", value: 2 });
    expect(await tasks.stop("gate")).toMatchObject({ end: "exited", dropped: 0, value: 3 });
  });

  test("does an execution once, however often it is asked for under one id", async () => {
    await using stage = await setup();
    const { tasks } = stage;
    const execution = crypto.randomUUID();
    const ask = (answer: string) => tasks.exec("gate", { answer }, { execution });
    const answers = await Promise.all(["one", "two", "three"].map(ask));
    expect(answers.map(({ value }) => value)).toEqual(["one", "one", "one"]);
    expect(await ask("four")).toMatchObject({ execution, value: "one" });
    expect((await tasks.stop("gate")).value).toBe(1);
  });

  test("does an execution once, also where it is asked for again hundreds of others later", async () => {
    await using stage = await setup();
    const { tasks, caught } = stage;
    for (const execution of [Bun.randomUUIDv7(), crypto.randomUUID()]) {
      expect((await tasks.exec("gate", { answer: "one" }, { execution })).value).toBe("one");
      await Promise.all(Array.from({ length: 300 }, () => tasks.exec("gate", {})));
      expect((await tasks.exec("gate", { answer: "two" }, { execution })).value).toBe("one");
    }
    expect((await tasks.stop("gate")).value).toBe(602);
    // What was not begun may be asked for again, under its id too.
    await tasks.restart("gate");
    const running = caught(tasks.exec("gate", { gate: "never" }));
    const execution = crypto.randomUUID();
    await tasks.exec("gate", {}, { execution, wait: "queued" });
    await tasks.stop("gate");
    expect(await running).toBeInstanceOf(AppError);
    expect(await caught(tasks.await("gate", execution))).toMatchObject({ code: "not_started" });
    await tasks.restart("gate");
    expect(await tasks.exec("gate", { answer: 3 }, { execution })).toMatchObject({ value: 3 });
  });

  test("ends waiting by timeout and signal, which end nothing else", async () => {
    await using stage = await setup();
    const { tasks, at, caught } = stage;
    const gate = at("go");
    const late = await caught(tasks.exec("gate", { gate }, { timeout: 20 }));
    expect(late).toBeInstanceOf(ClientError);
    expect(late).toMatchObject({ code: "timeout", details: { task: "gate" } });
    const stop = new AbortController();
    const execution = crypto.randomUUID();
    const stopped = caught(tasks.exec("gate", { answer: 2 }, { signal: stop.signal, execution }));
    await eventually(async () => (await tasks.show("gate")).waiting === 1);
    stop.abort(new Error("enough"));
    expect(await stopped).toMatchObject({ message: "enough" });
    writeFileSync(gate, "");
    const { details } = late as AppError;
    expect(await tasks.await("gate", String(details?.["execution"]))).toMatchObject({ state: "finished" });
    expect(await tasks.await("gate", execution)).toMatchObject({ state: "finished", value: 2 });
  });

  test("is another program's too, and goes on when who started it has gone", async () => {
    await using stage = await setup();
    const { tasks, world } = stage;
    await tasks.exec("gate", {});
    await stage.pool.close();
    await using pool = new Pool({});
    const { url, token } = world.local();
    const other = await pool.add(url, { token }).connect();
    expect((await other.tasks.list()).map(({ name }) => name)).toEqual(["gate"]);
    await other.tasks.exec("gate", {});
    expect((await other.tasks.stop("gate")).value).toBe(2);
  });

  test("restarts a task with the state that was saved, and follows what it says", async () => {
    await using stage = await setup();
    const { tasks, at, caught } = stage;
    expect(await caught(tasks.start("gate", { module: at("gate.ts") }))).toMatchObject({
      code: "already_started",
    });
    const options = { module: at("gate.ts"), replace: true, checkpoint: true };
    expect(await tasks.start("gate", options)).toMatchObject({ checkpoint: true });
    await tasks.exec("gate", {});
    expect(await tasks.restart("gate")).toMatchObject({ state: "running", restored: true });
    expect(await tasks.exec("gate", {})).toMatchObject({ restarts: 1, restored: true });
    await using listener = await tasks.follow("gate");
    const { execution } = await tasks.exec("gate", { answer: new Map([["a", 1n]]) });
    for await (const packet of listener) {
      if (packet.type !== "value" || !Array.isArray(packet.value)) continue;
      const [type, id, value] = packet.value;
      if (type !== "responded") continue;
      expect([id, value]).toEqual([execution, new Map([["a", 1n]])]);
      break;
    }
    expect((await tasks.stop("gate")).value).toBe(3);
  });
});

const COUNT = `export default {
  init: () => 0,
  async exec(context, count, { id, slow }) {
    if (slow) await Bun.sleep(20);
    context.respond({ id, count: count + 1 });
    return count + 1;
  },
};`;

/** What was asked of the task "count", under a number that the answer has too. */
interface Counted {
  readonly id: number;
  readonly count: number;
}

describe("An execution is done once at most", () => {
  test("over a link that breaks off again and again: all are done, in order", async () => {
    await using stage = await setup();
    writeFileSync(stage.at("count.ts"), COUNT);
    await stage.tasks.start("count", { module: stage.at("count.ts") });
    const { url, token } = stage.world.local();
    await using proxy = await openProxy(new URL(url).host);
    await using pool = new Pool({});
    const { tasks } = await pool.add(proxy.address, { token }).connect();
    const counts: unknown[] = [];
    for (let round = 0; round < 6; round++) {
      const asked = Array.from({ length: 20 }, (_, id) => tasks.exec("count", { id, slow: id % 4 === 0 }));
      await Promise.race(asked); // some are done, and others under way
      proxy.reset();
      for (const { value } of await Promise.all(asked)) counts.push((value as Counted).count);
    }
    expect(counts).toEqual(Array.from({ length: 120 }, (_, index) => index + 1));
  });

  test("when the server is killed again and again: each is done or not started, and whoever asked knows which", async () => {
    await using stage = await setup();
    const { world, tasks, at } = stage;
    writeFileSync(at("count.ts"), COUNT);
    await tasks.start("count", { module: at("count.ts") });
    const { host } = new URL(world.local().url);
    await using pool = new Pool({ FARHAND_STATE: world.state });
    const connection = await pool.add(host).connect();
    const done: Counted[] = [];
    for (let round = 0; round < 4; round++) {
      const asked = Array.from({ length: 8 }, (_, id) => connection.tasks.exec("count", { id, slow: true }));
      await Promise.race(asked);
      process.kill((await world.status()).pid, "SIGKILL");
      await eventually(
        () =>
          world.start("--listen", host).then(
            () => true,
            () => false, // the one that was killed is not gone yet
          ),
        30_000,
      );
      for (const [id, one] of (await Promise.allSettled(asked)).entries()) {
        if (one.status === "rejected") expect(one.reason).toMatchObject({ code: "not_started" });
        else {
          const value = one.value.value as Counted;
          expect(value.id).toBe(id);
          done.push(value);
        }
      }
    }
    expect(done.map(({ count }) => count)).toEqual(done.map((_, index) => index + 1));
    const last = await connection.tasks.exec("count", { id: 0 });
    expect(last.value).toEqual({ id: 0, count: done.length + 1 });
  });
});
