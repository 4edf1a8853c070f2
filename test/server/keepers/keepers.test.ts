import { describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { createLog } from "../../../src/lib/log.ts";
import { claimLock } from "../../../src/process/lock.ts";
import type { KeeperId } from "../../../src/protocol/id.ts";
import { Keepers, type KeepersOptions } from "../../../src/server/keepers/keepers.ts";
import { openDirectory } from "../../support/directory.ts";
import { eventually } from "../../support/eventually.ts";
import { Front } from "../../support/front.ts";
import { KeeperProcess } from "../../support/keeper.ts";

const fixture = resolve(import.meta.dir, "../../fixtures/keeper.ts");

/** The keepers of a state directory, as a front of this build has them. The fixture's own build is "test". */
function open(state: string, options: Partial<KeepersOptions> = {}) {
  mkdirSync(join(state, "logs"), { recursive: true });
  const events: string[] = [];
  const keepers = new Keepers(
    {
      state,
      build: "test",
      grace: 120_000,
      log: createLog({ level: "error", format: "text", write: () => {}, now: () => new Date() }),
      env: { PATH: process.env["PATH"] ?? "" },
      toCommand: (id: KeeperId) => ({
        argv: [process.execPath, "--config=/dev/null", fixture, state, id],
        argv0: "bun",
      }),
      onAdopt: (_link, jobs) => void events.push(`adopt ${jobs.length}`),
      onProgress: () => {},
      onClosed: () => {},
      onUnreached: () => void events.push("unreached"),
      onDead: () => void events.push("dead"),
      ...options,
    },
    new AbortController().signal,
  );
  const seen = (event: string) => eventually(() => events.includes(event), 20_000);
  /** As a start of the server; a keeper that has just begun to listen may be reached at the second try only. */
  const adopted = async () => {
    await keepers.adoptAll();
    await eventually(() => keepers.isReady);
  };
  return { keepers, events, seen, adopted, [Symbol.dispose]: () => keepers[Symbol.dispose]() };
}

describe("adoptAll()", () => {
  test("adopts a keeper that runs with its jobs, and gives it new ones", async () => {
    await using keeper = await KeeperProcess.start();
    await keeper.spawn(await keeper.front(), ["sleep", "1000"]);
    using world = open(keeper.state);
    await world.adopted();
    expect(world.events).toEqual(["adopt 1"]);
    expect(world.keepers.isReady).toBe(true);
    expect((await world.keepers.current()).id).toBe(keeper.id);
    expect(world.keepers.findUnreached(keeper.id)).toBeUndefined();
  });

  test("retires a keeper of another build, which ends with its last job", async () => {
    await using keeper = await KeeperProcess.start();
    using world = open(keeper.state, { build: "another" });
    await world.keepers.adoptAll();
    expect(world.keepers.isReady).toBe(false);
    await world.seen("dead");
    expect(await keeper.process.exited).toBe(0);
    expect(world.keepers.living).toEqual([]);
  });

  test("does not wait for one that is frozen, adopts it as it thaws, and retires it if another took its place", async () => {
    await using keeper = await KeeperProcess.start();
    const job = await keeper.spawn(await keeper.front(), ["sleep", "1000"]);
    keeper.process.kill("SIGSTOP");
    using world = open(keeper.state);
    await world.keepers.adoptAll();
    expect(world.events).toEqual([]);
    expect(world.keepers.findUnreached(keeper.id)?.state.state).toBe("unreached");
    const current = await world.keepers.current();
    expect(current.id).not.toBe(keeper.id);

    keeper.process.kill("SIGCONT");
    await world.seen("adopt 1");
    const [link] = world.keepers.living.filter(({ id }) => id === keeper.id).map(({ link }) => link);
    await link?.request({ type: "signal", job, signal: "SIGKILL" });
    expect(await keeper.process.exited).toBe(0);
    expect((await world.keepers.current()).id).toBe(current.id);
  });

  test("buries what a dead keeper left", async () => {
    await using keeper = await KeeperProcess.start();
    await keeper.kill();
    using world = open(keeper.state);
    await world.keepers.adoptAll();
    expect(world.events).toEqual([]);
    expect(world.keepers.living).toEqual([]);
    expect(readdirSync(keeper.path("keeper"))).toEqual([]);
  });
});

describe("A keeper whose link is lost", () => {
  test("is reached again while it lives", async () => {
    await using keeper = await KeeperProcess.start();
    using world = open(keeper.state);
    await world.adopted();
    const link = (await world.keepers.current()).link;
    const lost = link.waitForLoss(new AbortController().signal);
    (await Front.connect(keeper.socket))[Symbol.dispose]();
    await lost;
    await eventually(() => world.events.filter((event) => event === "adopt 0").length === 2);
    expect((await world.keepers.current()).link).toBe(link);
    expect(world.events).not.toContain("dead");
  });

  test("and cannot be had again is replaced, though it lives", async () => {
    await using keeper = await KeeperProcess.start();
    await keeper.spawn(await keeper.front(), ["sleep", "1000"]);
    using world = open(keeper.state);
    await world.adopted();
    const stranger = await Front.connect(keeper.socket);
    rmSync(keeper.socket);
    stranger[Symbol.dispose]();
    await eventually(() => world.keepers.isReady && world.keepers.living.length === 2);
    expect((await world.keepers.current()).id).not.toBe(keeper.id);
    expect(world.events).not.toContain("dead");
  });

  test("is replaced by itself as soon as that can be done", async () => {
    await using keeper = await KeeperProcess.start();
    let isBroken = true;
    let tries = 0;
    const started = (id: KeeperId) => [process.execPath, "--config=/dev/null", fixture, keeper.state, id];
    const toCommand = (id: KeeperId) => {
      tries++;
      return { argv: isBroken ? ["false"] : started(id), argv0: "bun" };
    };
    using world = open(keeper.state, { toCommand });
    await world.adopted();
    await keeper.kill();
    await eventually(() => tries > 3);
    expect(world.keepers.isReady).toBe(false);
    isBroken = false;
    await eventually(() => world.keepers.isReady, 20_000);
  }, 40_000);

  test("because it gives no sign of life is replaced, and adopted when it thaws", async () => {
    await using keeper = await KeeperProcess.start();
    const job = await keeper.spawn(await keeper.front(), ["sleep", "1000"]);
    using world = open(keeper.state, { beat: { every: 100, patience: 5 } });
    await world.adopted();
    keeper.process.kill("SIGSTOP");
    await eventually(() => world.keepers.isReady && world.keepers.living.length === 2);
    const frozen = world.keepers.findUnreached(keeper.id);
    expect(frozen?.state).toMatchObject({ state: "unreached", pid: keeper.process.pid });
    expect((await world.keepers.current()).id).not.toBe(keeper.id);

    keeper.process.kill("SIGCONT");
    await eventually(() => frozen?.state.state === "reached");
    await frozen?.request({ type: "signal", job, signal: "SIGKILL" });
    expect(await keeper.process.exited).toBe(0);
  });

  test("is never one that only has much to do", async () => {
    await using keeper = await KeeperProcess.start();
    const front = await keeper.front();
    for (let job = 0; job < 10; job++) await keeper.spawn(front, ["yes"]);
    using world = open(keeper.state, { beat: { every: 200, patience: 20 } });
    await world.adopted();
    for (let round = 0; round < 20; round++) {
      await Bun.sleep(200);
      expect((await world.keepers.current()).id).toBe(keeper.id);
    }
    expect(world.events).toEqual(["adopt 10"]);
  }, 30_000);

  test("is buried when it is dead, and another takes new jobs", async () => {
    await using keeper = await KeeperProcess.start();
    using world = open(keeper.state);
    await world.adopted();
    await keeper.kill();
    await world.seen("dead");
    expect((await world.keepers.current()).id).not.toBe(keeper.id);
  });

  test("is not buried while its lock is held, however long nobody answers", async () => {
    using directory = openDirectory();
    mkdirSync(join(directory.path, "keeper"));
    const id = crypto.randomUUID();
    const lock = claimLock(join(directory.path, "keeper", `${id}.lock`));
    using world = open(directory.path);
    await world.keepers.adoptAll();
    await eventually(() => world.events.filter((event) => event === "unreached").length > 3);
    expect(world.keepers.living.map((keeper) => keeper.id as string)).toEqual([id]);
    lock?.[Symbol.dispose]();
    await world.seen("dead");
    expect(world.keepers.living).toEqual([]);
  });
});

describe("current()", () => {
  test("starts one keeper for all who ask at once", async () => {
    using directory = openDirectory();
    mkdirSync(join(directory.path, "keeper"));
    mkdirSync(join(directory.path, "ledgers"));
    using world = open(directory.path);
    const asked = await Promise.all([1, 2, 3].map(() => world.keepers.current()));
    expect(new Set(asked).size).toBe(1);
    expect(world.keepers.living).toHaveLength(1);
  });

  test("throws when the keeper ends at once, and leaves nothing of it", async () => {
    using directory = openDirectory();
    mkdirSync(join(directory.path, "keeper"));
    using world = open(directory.path, { toCommand: () => ({ argv: ["false"], argv0: "false" }) });
    expect(await world.keepers.current().catch((error) => error.message)).toContain("it ended at once");
    expect(world.keepers.living).toEqual([]);
    expect(readdirSync(join(directory.path, "keeper"))).toEqual([]);
  });

  test("throws a sentence when the keeper does not answer, and ends it", async () => {
    using directory = openDirectory();
    mkdirSync(join(directory.path, "keeper"));
    const toCommand = () => ({ argv: ["sleep", "1000"], argv0: "sleep" });
    using world = open(directory.path, { toCommand });
    const message: string = await world.keepers.current().catch((error) => error.message);
    const [, pid] = /^Cannot start a keeper: pid (\d+) did not answer within 10 s$/.exec(message) ?? [];
    expect(() => process.kill(Number(pid ?? process.pid), 0)).toThrow("ESRCH");
  }, 30_000);
});
