import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { openConnected } from "../support/connected.ts";
import { eventually } from "../support/eventually.ts";
import { openGauge } from "../support/memory.ts";
import { codeOf, COUNTER, writeModule } from "../support/tasks.ts";

setDefaultTimeout(180_000);

const MiB = 1024 * 1024;
/** What the server may grow by, and in which milliseconds it answers 99 of 100 pings: ten times what is promised. */
const GROWTH = 160 * MiB;
const PROMPT = 2_500;

/** Does one of many bad things when it is told to. */
const HOSTILE = `
  import { closeSync, writeSync } from "node:fs";
  import { spawn } from "node:child_process";
  const deeds = {
    spin: async (context) => { await context.save(0); for (;;); },
    exit: () => process.exit(0),
    kill: () => process.kill(process.pid, "SIGKILL"),
    garbage: () => { for (let n = 0; n < 100; n++) writeSync(3, Buffer.alloc(1000, 0xee)); },
    mumble: () => writeSync(3, Buffer.alloc(100, 0xee)),
    forge: () => writeSync(3, Buffer.from([0, 0, 0, 5, 0, 1, 2, 3, 4, 5])),
    close: () => { for (let fd = 0; fd < 8; fd++) try { closeSync(fd); } catch {} },
    flood: async () => { for (let n = 0; n < 2000; n++) { console.log("x".repeat(60_000)); if (n % 50 === 0) await new Promise(setImmediate); } },
    values: async (context) => { for (let n = 0; n < 300; n++) await context.save("x".repeat(100_000)); },
    child: () => void spawn("sleep", ["1000"], { stdio: "inherit" }),
    leave: () => { spawn("sleep", ["1000"], { stdio: "inherit", detached: true }); process.exit(4); },
    chdir: () => process.chdir("/"),
    reject: () => { Promise.reject(new Error("nobody waits for this")); setTimeout(() => { throw new Error("nor for this"); }, 1); return new Promise((resolve) => setTimeout(resolve, 50)); },
    globals: () => { for (const name of ["JSON", "Map", "Set", "Uint8Array", "TextEncoder", "setImmediate", "Buffer"]) globalThis[name] = undefined; Array.prototype.map = Promise.prototype.then = () => { throw new Error("overridden"); }; },
    leak: () => { const kept = []; for (;;) kept.push(new Uint8Array(1 << 20).fill(1)); },
    memory: () => 0,
  };
  export default {
    init: () => 0,
    async exec(context, state, deed) {
      await deeds[deed]?.(context);
      context.respond(state + 1);
      return state + 1;
    },
  };
`;

async function setup() {
  const connected = await openConnected();
  const { world, web1 } = connected;
  const { pid } = await world.status();
  const { tasks } = web1;
  const hostile = writeModule(world, "hostile.ts", HOSTILE);
  await tasks.start("counter", { module: writeModule(world, "counter.ts", COUNTER) });
  await tasks.exec("counter", {});
  return {
    world,
    tasks,
    hostile,
    /** Pings, and asks another task, until something has come to an end; then tells whether that was harmless. */
    async beside<T>(attack: Promise<T>): Promise<T> {
      using gauge = openGauge([pid]);
      let isOver = false;
      const over = () => (isOver = true);
      attack.then(over, over);
      const times: number[] = [];
      while (!isOver || times.length < 20) {
        const began = performance.now();
        await web1.ping();
        times.push(performance.now() - began);
        await tasks.exec("counter", {});
      }
      times.sort((one, two) => one - two);
      expect(times[Math.floor(times.length * 0.99)]).toBeLessThan(PROMPT);
      expect(gauge.peaks()[0]).toBeLessThan(GROWTH);
      return await attack;
    },
    [Symbol.asyncDispose]: () => connected[Symbol.asyncDispose](),
  };
}

describe("A task hurts nobody else", () => {
  test("that loops for ever: it is killed when it is stopped, and what it did is told as that", async () => {
    await using world = await setup();
    const { tasks, hostile } = world;
    await tasks.start("bad", { module: hostile });
    const spinning = codeOf(tasks.exec("bad", "spin"));
    await eventually(async () => (await tasks.show("bad")).saved !== undefined, 30_000);
    const stopping = tasks.stop("bad", undefined, { grace: 1_000 });
    expect(await world.beside(stopping)).toMatchObject({ end: "killed" });
    expect(await spinning).toBe("cancelled");
    expect((await tasks.show("bad")).state).toBe("stopped");
  });

  test("that ends its own process, however: it is told, and started again", async () => {
    await using world = await setup();
    const { tasks, hostile } = world;
    await tasks.start("bad", { module: hostile, restart: "on-failure" });
    const details = { exit: { code: 0 }, kill: { signal: "SIGKILL" }, leave: { code: 4 } };
    for (const [deed, how] of Object.entries(details)) {
      const crashed = await world.beside(tasks.exec("bad", deed).catch((error) => error));
      expect(crashed).toMatchObject({ code: "crashed", details: how });
      expect((await tasks.exec("bad", "nothing")).value).toBe(1);
    }
    for (const pid of world.world.processes(/^sleep\0?1000/)) process.kill(pid);
  });

  test("that writes garbage where it should tell things, or closes that: what it did is no more", async () => {
    await using world = await setup();
    const { tasks, hostile } = world;
    for (const deed of ["garbage", "mumble", "close"]) {
      await tasks.start("bad", { module: hostile });
      expect(await world.beside(codeOf(tasks.exec("bad", deed)))).toBe("crashed");
      expect((await tasks.show("bad")).state).toBe("failed");
    }
  });

  test("that floods: the server stays small and answers", async () => {
    await using world = await setup();
    const { tasks, hostile } = world;
    await tasks.start("bad", { module: hostile });
    expect(await world.beside(tasks.exec("bad", "flood"))).toMatchObject({ value: 1 });
    expect(await world.beside(tasks.exec("bad", "values"))).toMatchObject({ value: 2 });
    expect((await tasks.show("bad")).saved?.bytes).toBeGreaterThan(100_000);
  });

  test("that leaves children, another directory, rejections and overridden globals behind: it goes on, or says that it cannot", async () => {
    await using world = await setup();
    const { tasks, hostile } = world;
    await tasks.start("bad", { module: hostile });
    for (const [index, deed] of ["child", "chdir", "reject"].entries())
      expect((await world.beside(tasks.exec("bad", deed))).value).toBe(index + 1);
    const globals = tasks.exec("bad", "globals").then(
      () => "answered",
      (error) => error.code,
    );
    const stopping = Promise.race([globals, eventually(async () => false, 3_000).catch(() => "silent")]);
    expect(["answered", "crashed", "threw", "silent"]).toContain(await world.beside(stopping));
    await tasks.stop("bad", undefined, { grace: 500 }).catch(() => {});
    expect((await tasks.show("bad")).state).toBe("stopped");
    for (const pid of world.world.processes(/^sleep/)) process.kill(pid);
  });

  test("that takes all memory: its limit ends it", async () => {
    await using world = await setup();
    const { tasks, hostile } = world;
    await tasks.start("bad", { module: hostile, limits: { memoryBytes: 1024 * MiB } });
    expect(["crashed", "threw"]).toContain(await world.beside(codeOf(tasks.exec("bad", "leak"))));
  });
});

test("Arguments that nobody has room for are refused, and the server stays small", async () => {
  await using world = await setup();
  const { tasks, hostile } = world;
  await tasks.start("busy", { module: hostile });
  const spinning = codeOf(tasks.exec("busy", "spin"));
  await tasks.exec("busy", undefined, { wait: "queued" });
  const large = new Uint8Array(12 * MiB);
  const flood = [
    ...Array.from({ length: 24 }, () => codeOf(tasks.exec("busy", large, { wait: "queued" }))),
    ...Array.from({ length: 4 }, () => codeOf(tasks.start("busy", { module: hostile, args: large }))),
  ];
  const codes = await world.beside(Promise.all(flood));
  expect(codes).toEqual([...Array(24).fill("queue_full"), ...Array(4).fill("already_started")]);
  const starting = Array.from({ length: 2 }, (_, index) =>
    tasks.start(`large${index}`, { module: hostile, args: large }),
  );
  expect((await world.beside(Promise.all(starting))).map(({ state }) => state)).toEqual(
    Array(2).fill("running"),
  );
  await tasks.stop("busy", undefined, { grace: 100 });
  expect(await spinning).toBe("cancelled");
});
