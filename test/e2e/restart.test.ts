import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { encodeLinkFrame, LINK_VERSION, LinkDecoder } from "../../src/keeper/link.ts";
import { openPlace } from "../../src/keeper/place.ts";
import { SEGMENT_HEADER_BYTES } from "../../src/ledger/segment.ts";
import { claimLedger } from "../../src/ledger/start.ts";
import { LedgerWriter } from "../../src/ledger/writer.ts";
import { claimLock } from "../../src/process/lock.ts";
import { JobId, KeeperId } from "../../src/protocol/id.ts";
import { RECORD_HEADER_BYTES } from "../../src/protocol/packet.ts";
import { fillDisk, findMountFault, mountOn } from "../support/directory.ts";
import { eventually } from "../support/eventually.ts";
import { Front } from "../support/front.ts";
import { isRunning, openWorld } from "../support/world.ts";
import { createStart } from "../support/start.ts";

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
    if (keeper?.pid === undefined) throw new Error("There is no keeper");
    await murder(keeper.pid);
  };
  const touch = (name: string) => writeFileSync(join(world.home, name), "");
  const exists = (name: string) => eventually(() => existsSync(join(world.home, name)), 30_000);
  return { ...world, murder, killFront, killKeeper, touch, exists };
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

  test("under an attached client: it waits for the next front, and goes on without a word", async () => {
    await using world = await setup();
    const client = world.open(["farhand", "exec", "--shell", waiter]);
    await eventually(() => client.said() === "one\n", 30_000);
    await world.killFront();
    await world.start();
    world.touch("go");
    expect(await client.ran).toEqual({ code: 7, signal: null, stdout: "one\ntwo\n", stderr: "" });
  });

  test("under an attached client that gives up: it exits with 125, names the job, and the job goes on", async () => {
    await using world = await setup();
    const client = world.open(["farhand", "--reconnect-timeout", "100ms", "exec", "--shell", waiter]);
    await eventually(() => client.said() === "one\n", 30_000);
    await world.killFront();
    const { code, stderr } = await client.ran;
    expect(code).toBe(125);
    expect(stderr).toStartWith(
      "farhand: Connection lost: it broke off, and could not be restored within 100 ms",
    );
    const [, job = "", next = ""] = /farhand follow ([0-9a-f-]{36}) --since (\d+)\n$/.exec(stderr) ?? [];
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

describe("A keeper that lives but cannot be reached", () => {
  /** Freezes the keeper, and restarts the front meanwhile. */
  async function freeze(world: Awaited<ReturnType<typeof setup>>) {
    const { pid, keepers } = await world.status();
    const keeper = keepers[0]?.pid ?? 0;
    process.kill(keeper, "SIGSTOP");
    await world.murder(pid);
    const began = performance.now();
    await world.start();
    return { keeper, startedWithin: performance.now() - began, thaw: () => process.kill(keeper, "SIGCONT") };
  }

  test("loses no job: it is frozen while a front starts, which serves at once and adopts it as it thaws", async () => {
    await using world = await setup();
    const job = await world.detach("--shell", waiter);
    await world.exists("ready");
    const { keeper, startedWithin, thaw } = await freeze(world);
    expect(startedWithin).toBeLessThan(10_000);
    expect((await world.status()).keepers).toContainEqual(
      expect.objectContaining({ pid: keeper, state: "unreached", jobs: 1 }),
    );
    expect((await world.farhand(["exec", "--", "echo", "new"])).stdout).toBe("new\n");
    expect(await world.job(job)).toMatchObject({ state: "running" });
    const follower = world.open(["farhand", "follow", job]);
    const waiting = world.open(["farhand", "wait", job]);
    await eventually(() => follower.said() === "one\n", 30_000);
    const killed = await world.farhand(["kill", job]);
    expect([killed.code, killed.stderr]).toEqual([
      125,
      expect.stringContaining(`keeper with pid ${keeper}: it lives but does not answer`),
    ]);

    thaw();
    world.touch("go");
    expect(await follower.ran).toMatchObject({ code: 7, stdout: "one\ntwo\n" });
    expect((await waiting.ran).code).toBe(7);
    // It takes no new jobs, since another does, and ends with its last.
    await eventually(async () => (await world.status()).keepers.length === 1, 30_000);
  });

  test("makes its job lost when it dies without having answered", async () => {
    await using world = await setup();
    const job = await world.detach("--shell", waiter);
    await world.exists("ready");
    const { keeper } = await freeze(world);
    const waiting = world.open(["farhand", "wait", job]);
    expect(await world.job(job)).toMatchObject({ state: "running" });
    process.kill(keeper, "SIGKILL");
    expect((await waiting.ran).code).toBe(125);
    expect(await world.job(job)).toMatchObject({ state: "lost" });
  });

  test("is found where its socket is, also by a front with another temporary directory", async () => {
    await using world = await setup();
    const state = join(world.home, "long".repeat(30));
    const start = async (temporary: string) => {
      mkdirSync(join(world.home, temporary), { recursive: true });
      const env = { TMPDIR: join(world.home, temporary) };
      const args = ["start", "--state", state, "--listen", "127.0.0.1:0", "--json"];
      return JSON.parse((await world.farhandd(args, { env })).stdout);
    };
    const env = { FARHAND_STATE: state };
    const before = await start("one");
    expect((await world.farhand(["exec", "-d", "--shell", waiter], { env })).code).toBe(0);
    await world.exists("ready");
    await world.murder(before.pid);
    const after = await start("two");
    expect(after.keepers.map(({ pid }: { pid: number }) => pid)).toEqual([before.keepers[0].pid]);
    world.touch("go");
    expect(await world.farhand(["follow", "1"], { env })).toMatchObject({ code: 7, stdout: "one\ntwo\n" });
  });

  test("because it is of another version is left alone, and its jobs are read from their ledgers", async () => {
    await using world = await setup();
    await world.farhandd(["stop"]);
    using stranger = openStranger(world.state);
    await world.start();
    expect((await world.status()).keepers).toContainEqual({
      id: stranger.id,
      state: "unsupported",
      pid: process.pid,
      build: "2.0.0",
      major: LINK_VERSION.major + 1,
      jobs: 2,
    });
    const jobs = ["1", "2"];
    const states = () => Promise.all(jobs.map(async (ref) => (await world.job(ref)).state));
    expect(await states()).toEqual(["running", "running"]);
    expect((await world.farhandd(["status"])).stdout).toContain("cannot use");
    const followers = jobs.map((ref) => world.open(["farhand", "follow", ref]));
    await eventually(() => followers.every(({ said }) => said() === "said\n"), 30_000);

    stranger.end(0);
    expect(await followers[0]?.ran).toMatchObject({ code: 6, stdout: "said\nlast\n" });
    expect(await states()).toEqual(["closed", "running"]);
    expect(stranger.heard).toEqual(["hello"]);

    stranger[Symbol.dispose]();
    expect((await followers[1]?.ran)?.code).toBe(125);
    expect(await states()).toEqual(["closed", "lost"]);
  });

  test("because the link broke is reached again: output, input and signals go on", async () => {
    await using world = await setup();
    const script = ": > ready; while read line; do echo $line; done; echo over; exit 7";
    const source = "echo first; while [ ! -e go ]; do sleep 0.02; done; echo second";
    const client = world.open(["bash", "-c", `{ ${source}; } | farhand exec -- sh -c '${script}'`]);
    await eventually(() => client.said() === "first\n", 30_000);
    const [keeper] = (await world.status()).keepers;
    for (let round = 0; round < 3; round++) {
      // Whoever connects takes the front's place, and then leaves it.
      (await Front.connect(openPlace(world.state, v.parse(KeeperId, keeper?.id)).socket))[Symbol.dispose]();
      await eventually(async () => (await world.status()).keepers[0]?.state === "reached");
    }
    world.touch("go");
    expect(await client.ran).toMatchObject({ code: 7, stdout: "first\nsecond\nover\n" });
    expect((await world.status()).keepers).toEqual([
      expect.objectContaining({ pid: keeper?.pid, state: "reached" }),
    ]);
    expect((await world.farhand(["exec", "--", "echo", "here"])).stdout).toBe("here\n");
  });
});

const mountFault = findMountFault();

test.skipIf(mountFault !== undefined)(
  `Jobs that are lost while the disk is full are recorded so as soon as there is room${mountFault ? ` (skipped: ${mountFault})` : ""}`,
  async () => {
    await using stack = new AsyncDisposableStack();
    const world = stack.use(openWorld());
    mkdirSync(world.state);
    stack.use(mountOn(world.state, 16 * 1024 * 1024));
    const { keepers } = await world.start();
    // Each ledger ends with a page, so that nothing more can be written into that.
    const bytes = 4096 - SEGMENT_HEADER_BYTES - RECORD_HEADER_BYTES;
    const script = `head -c ${bytes} /dev/zero; sleep 1000`;
    const jobs = await Promise.all([1, 2, 3, 4].map(() => world.detach("--shell", script)));
    const followers = jobs.map((job) => world.open(["farhand", "follow", job]));
    await eventually(() => followers.every(({ said }) => said().length === bytes), 30_000);
    const waiting = jobs.map((job) => world.open(["farhand", "wait", job]));
    const states = () => Promise.all(jobs.map(async (job) => (await world.job(job)).state));
    {
      using _filler = fillDisk(world.state);
      process.kill(keepers[0]?.pid ?? 0, "SIGKILL");
      const isKnown = async () => (await world.status()).keepers.some(({ pid }) => pid === keepers[0]?.pid);
      await eventually(async () => !(await isKnown()), 30_000);
      // What the keeper itself took of the disk is enough for one.
      expect((await states()).filter((state) => state === "running").length).toBeGreaterThan(1);
    }
    const codes = await Promise.all([...waiting, ...followers].map(async ({ ran }) => (await ran).code));
    expect(new Set(codes)).toEqual(new Set([125]));
    expect(new Set(await states())).toEqual(new Set(["lost"]));
  },
);

/** Two jobs of a keeper of the next major version, which lives in this very process. */
function openStranger(state: string) {
  const id = v.parse(KeeperId, crypto.randomUUID());
  const place = openPlace(state, id);
  const lock = claimLock(place.lock);
  const heard: string[] = [];
  const decoder = new LinkDecoder();
  const listener = Bun.listen({
    unix: place.socket,
    socket: {
      data(socket, chunk) {
        for (const { message } of decoder.push(chunk)) heard.push((message as { type: string }).type);
        const version = { major: LINK_VERSION.major + 1, minor: 0 };
        // No version of the link is known that says this.
        const hello = { type: "hello", version, pid: process.pid, build: "2.0.0", riddles: [] };
        socket.write(encodeLinkFrame(hello as never));
      },
    },
  });
  const ledgers = [1, 2].map((number) => openLedger(state, id, number));
  return {
    id,
    heard,
    end(index: number) {
      const ledger = ledgers[index];
      ledger?.append("stdout", new TextEncoder().encode("last\n"));
      const exit = ledger?.exit({ outcome: { type: "exited", code: 6 }, endedAt: new Date().toISOString() });
      if (exit !== undefined) ledger?.close(exit);
    },
    [Symbol.dispose]() {
      listener.stop(true);
      for (const ledger of ledgers) ledger[Symbol.dispose]();
      lock?.[Symbol.dispose]();
    },
  };
}

function openLedger(state: string, keeper: KeeperId, number: number): LedgerWriter {
  const job = v.parse(JobId, Bun.randomUUIDv7());
  const directory = join(state, "ledgers", job);
  claimLedger(
    directory,
    createStart({ job, number, argv: ["strange"], keeper, startedAt: new Date().toISOString() }),
  )?.[Symbol.dispose]();
  const options = { keepBytes: undefined, clock: () => 0, released: () => Number.POSITIVE_INFINITY };
  const ledger = LedgerWriter.create(directory, job, options);
  ledger.append("stdout", new TextEncoder().encode("said\n"));
  return ledger;
}

describe("Stopping the server", () => {
  test("lets jobs go on, and a new start knows them", async () => {
    await using world = await setup();
    const job = await world.detach("--shell", waiter);
    await world.exists("ready");
    const stopped = await world.farhandd(["stop"]);
    expect([stopped.code, stopped.stdout]).toEqual([0, expect.stringContaining("1 running job goes on")]);
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
    expect(processes).toContainEqual({
      pid: sleeper,
      startTime: expect.stringMatching(/^[0-9a-f-]{36}\/\d+$/),
    });
    expect((await world.farhand(["jobs"])).stdout).toMatch(
      new RegExp(`lost, still alive: .*pid ${sleeper}\\b`),
    );

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
