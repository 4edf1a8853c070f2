import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import * as v from "valibot";
import { openPlace } from "../../src/keeper/place.ts";
import { JobId, KeeperId } from "../../src/protocol/id.ts";
import { FARHANDD } from "../support/built.ts";
import { eventually } from "../support/eventually.ts";
import { Front } from "../support/front.ts";
import { createStart } from "../support/start.ts";
import { buildVariant } from "../support/variant.ts";
import { isRunning, openWorld, readProcess } from "../support/world.ts";

setDefaultTimeout(120_000);

/** Says one thing, then another when the file `go` appears, and ends with 7. */
const waiter = ": > ready; echo one; while [ ! -e go ]; do sleep 0.02; done; echo two; exit 7";

function setup() {
  const world = openWorld();
  const keepers = async () => (await world.status()).keepers;
  const keeper = async () => (await keepers())[0]?.pid ?? 0;
  return {
    ...world,
    keepers,
    keeper,
    touch: (name: string) => writeFileSync(join(world.home, name), ""),
    exists: (name: string) => eventually(() => existsSync(join(world.home, name)), 30_000),
    read: (name: string) => readFileSync(join(world.home, name), "utf8"),
    /** Kills so that nothing more is said, and resolves when it is gone. */
    murder: async (pid: number) => {
      process.kill(pid, "SIGKILL");
      await eventually(() => !isRunning(pid), 30_000);
    },
    gone: (pid: number) => eventually(() => !isRunning(pid), 60_000),
  };
}

describe("A keeper that freezes while it is linked", () => {
  test("keeps nobody waiting until it thaws: its jobs go on, another takes new ones, and nothing runs twice", async () => {
    await using world = setup();
    await world.start();
    const job = await world.detach("--shell", waiter);
    await world.exists("ready");
    const frozen = await world.keeper();
    process.kill(frozen, "SIGSTOP");
    // Both reach a front that does not know yet.
    const created = world.open(["farhand", "exec", "--shell", "echo x >> lines; echo new"]);
    const killed = world.open(["farhand", "kill", "--signal", "CONT", job]);
    expect(await created.ran).toMatchObject({ code: 0, stdout: "new\n" });
    const { code, stderr } = await killed.ran;
    expect([code, stderr]).toEqual([
      125,
      expect.stringContaining(`the keeper with pid ${frozen} does not answer, and may still do it`),
    ]);
    // From now on it is known.
    const later = await world.farhand(["kill", "--signal", "CONT", job]);
    expect([later.code, later.stderr]).toEqual([125, expect.stringContaining("lives but does not answer")]);
    expect(await world.keepers()).toContainEqual(
      expect.objectContaining({ pid: frozen, state: "unreached", jobs: 1 }),
    );
    expect(await world.job(job)).toMatchObject({ state: "running" });
    expect((await fetch(`${world.local().url}/readyz`)).status).toBe(200);

    process.kill(frozen, "SIGCONT");
    await eventually(async () => (await world.keepers()).every(({ state }) => state === "reached"), 30_000);
    world.touch("go");
    expect(await world.farhand(["follow", job])).toMatchObject({ code: 7, stdout: "one\ntwo\n" });
    await world.gone(frozen);
    expect(world.read("lines")).toBe("x\n");
  });

  test("and is killed then makes its jobs lost, and the one that was under way runs elsewhere", async () => {
    await using world = setup();
    await world.start();
    const job = await world.detach("--shell", waiter);
    await world.exists("ready");
    const frozen = await world.keeper();
    process.kill(frozen, "SIGSTOP");
    const created = world.open(["farhand", "exec", "--shell", "echo x >> lines; echo new"]);
    process.kill(frozen, "SIGKILL");
    expect(await created.ran).toMatchObject({ code: 0, stdout: "new\n" });
    expect(world.read("lines")).toBe("x\n");
    expect(await world.job(job)).toMatchObject({ state: "lost" });
  });
});

test("A front that was frozen for longer than a keeper may be finds its keeper as it was", async () => {
  await using world = setup();
  const { pid } = await world.start();
  const before = await world.keepers();
  const job = await world.detach("--shell", waiter);
  await world.exists("ready");
  process.kill(pid, "SIGSTOP");
  await Bun.sleep(25_000);
  process.kill(pid, "SIGCONT");
  expect(await world.farhand(["exec", "--", "echo", "here"])).toMatchObject({ code: 0, stdout: "here\n" });
  expect((await world.keepers()).map(({ pid }) => pid)).toEqual(before.map(({ pid }) => pid));
  world.touch("go");
  expect(await world.farhand(["follow", job])).toMatchObject({ code: 7, stdout: "one\ntwo\n" });
  const { stdout } = await world.shell("grep -c 'link to a keeper broken' $FARHAND_STATE/logs/server.log");
  expect(stdout).toBe("0\n");
});

describe("A keeper of an older build", () => {
  /** One of link 1.0 that keeps a job, as a front of its time has left it. */
  async function openOld(world: ReturnType<typeof setup>) {
    for (const room of ["ledgers", "keeper", "logs"])
      mkdirSync(join(world.state, room), { recursive: true, mode: 0o700 });
    const id = v.parse(KeeperId, crypto.randomUUID());
    const fixture = resolve(import.meta.dir, "../fixtures/old-keeper.ts");
    const keeper = world.open([process.execPath, "--config=/dev/null", fixture, world.state, id]);
    const { socket } = openPlace(world.state, id);
    await eventually(() => existsSync(socket));
    let front: Front | undefined;
    await eventually(async () => (front = await Front.connect(socket).catch(() => undefined)) !== undefined);
    if (front === undefined) throw new Error("No front"); // never; a type cannot tell what a callback has set
    const hello = await front.hear("hello");
    const job = v.parse(JobId, Bun.randomUUIDv7());
    const start = createStart({ job, argv: ["sh", "-c", waiter], cwd: world.home, keeper: id });
    front.send({ type: "spawn", request: 1, start, env: { ...world.env }, umask: 0o022, stdin: false });
    await front.hear("spawned");
    front[Symbol.dispose]();
    return { keeper, hello, job };
  }

  test("is adopted for its jobs and retired, while a new one takes new jobs; it ends with its last", async () => {
    await using world = setup();
    const { keeper, hello, job } = await openOld(world);
    expect(hello.version).toEqual({ major: 1, minor: 0 });
    await world.exists("ready");
    await world.start();
    expect(await world.keepers()).toEqual([
      expect.objectContaining({ pid: keeper.pid, state: "reached", build: "0.0.1+old", jobs: 1 }),
      expect.objectContaining({ state: "reached", jobs: 0 }),
    ]);
    const labelled = ["exec", "--label", "who=me", "--", "echo", "new"];
    expect(await world.farhand(labelled)).toMatchObject({ code: 0, stdout: "new\n" });
    const next = await world.detach("--", "sleep", "1000");
    expect((await world.keepers()).map(({ jobs }) => jobs)).toEqual([1, 1]);

    const follower = world.open(["farhand", "follow", job]);
    await eventually(() => follower.said() === "one\n", 30_000);
    world.touch("go");
    expect(await follower.ran).toMatchObject({ code: 7, stdout: "one\ntwo\n" });
    expect((await keeper.ran).code).toBe(0);
    expect(await world.keepers()).toEqual([expect.objectContaining({ state: "reached", jobs: 1 })]);
    expect(await world.job(next)).toMatchObject({ state: "running" });
  });

  test("stays reached though it knows no ping, and obeys what it knows", async () => {
    await using world = setup();
    const { keeper, job } = await openOld(world);
    await world.exists("ready");
    await world.start();
    // Longer than one that gives no sign of life is waited for.
    const deadline = performance.now() + 25_000;
    await eventually(async () => {
      expect((await world.keepers())[0]).toMatchObject({ pid: keeper.pid, state: "reached", jobs: 1 });
      await Bun.sleep(500);
      return performance.now() > deadline;
    }, 60_000);
    expect(await world.farhand(["kill", job])).toMatchObject({ code: 0 });
    expect((await world.job(job)).outcome).toMatchObject({ type: "cancelled" });
    expect((await keeper.ran).code).toBe(0);
  });
});

describe("An upgrade in place", () => {
  test.each([
    [
      "stop and start",
      async (world: ReturnType<typeof setup>, farhandd: string) => {
        expect((await world.shell(`${farhandd} stop`)).code).toBe(0);
      },
    ],
    [
      "kill -9 and start",
      async (world: ReturnType<typeof setup>) => world.murder((await world.status()).pid),
    ],
  ] as const)(
    "by mv over the running executable, %s: jobs survive, new ones are the new keeper's",
    async (_how, end) => {
      await using stack = new AsyncDisposableStack();
      const world = stack.use(setup());
      const variant = stack.use(buildVariant());
      const farhandd = join(world.home, "farhandd");
      copyFileSync(FARHANDD, farhandd);
      const start = () => world.shell(`${farhandd} start --listen 127.0.0.1:0`);
      expect((await start()).code).toBe(0);
      const [before] = await world.keepers();
      const job = await world.detach("--shell", waiter);
      await world.exists("ready");
      renameSync(variant.farhandd, farhandd);
      // The old one goes on meanwhile.
      expect((await world.farhand(["exec", "--", "echo", "still"])).stdout).toBe("still\n");
      await end(world, farhandd);
      expect((await start()).code).toBe(0);
      const [old, current] = await world.keepers();
      expect(old).toMatchObject({ pid: before?.pid, state: "reached", jobs: 1 });
      expect(current).toMatchObject({ state: "reached", jobs: 0 });
      const builds = [old, current].map((keeper) => (keeper?.state === "reached" ? keeper.build : ""));
      expect(new Set(builds).size).toBe(2);

      const next = await world.detach("--shell", waiter.replace("ready", "ready2"));
      await world.exists("ready2");
      expect((await world.keepers()).map(({ jobs }) => jobs)).toEqual([1, 1]);
      world.touch("go");
      for (const id of [job, next])
        expect(await world.farhand(["follow", id])).toMatchObject({ code: 7, stdout: "one\ntwo\n" });
      await world.gone(before?.pid ?? 0);
      expect((await world.keepers()).map(({ pid }) => pid)).toEqual([current?.pid]);
      expect((await world.farhand(["exec", "--", "echo", "here"])).stdout).toBe("here\n");
    },
  );
});

describe("A keeper without jobs and without a front", () => {
  test.each(["stop", "kill -9"])("ends itself after %s, and leaves nothing of it", async (how) => {
    await using world = setup();
    const { pid } = await world.start();
    await world.farhand(["exec", "--", "true"]);
    const keeper = await world.keeper();
    if (how === "stop") await world.farhandd(["stop"]);
    else await world.murder(pid);
    await world.gone(keeper);
    expect(world.processes(/./)).toEqual([]);
    await world.start();
    const places = (await world.shell(`ls ${world.state}/keeper | grep -c lock`)).stdout;
    expect(places).toBe("1\n");
  });

  test.each(["stop", "kill -9"])("that has a job ends with it after %s", async (how) => {
    await using world = setup();
    const { pid } = await world.start();
    await world.detach("--shell", waiter);
    await world.exists("ready");
    const keeper = await world.keeper();
    if (how === "stop") await world.farhandd(["stop"]);
    else await world.murder(pid);
    expect(isRunning(keeper)).toBe(true);
    world.touch("go");
    await world.gone(keeper);
    await world.start();
    expect(await world.farhand(["follow", "1"])).toMatchObject({ code: 7, stdout: "one\ntwo\n" });
  });
});

test("A front leaves no keeper that ended as a zombie, and has another at once", async () => {
  await using world = setup();
  const { pid } = await world.start();
  const zombies = () =>
    world.processes(/^$/).concat(
      readProcess(pid, `task/${pid}/children`)
        .split(" ")
        .filter(Boolean)
        .map(Number)
        .filter((child) => !isRunning(child)),
    );
  for (let round = 0; round < 3; round++) {
    const keeper = await world.keeper();
    process.kill(keeper, "SIGKILL");
    await eventually(async () => {
      const [next] = await world.keepers();
      return next?.state === "reached" && next.pid !== keeper;
    }, 30_000);
    expect(zombies()).toEqual([]);
  }
});
