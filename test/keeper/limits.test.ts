import { describe, expect, setDefaultTimeout, test } from "bun:test";
import * as v from "valibot";
import { HolderId, type JobId } from "../../src/protocol/id.ts";
import { MIN_KEEP_BYTES } from "../../src/protocol/limits.ts";
import type { JobLimits } from "../../src/protocol/terms.ts";
import { eventually } from "../support/eventually.ts";
import type { Front } from "../support/front.ts";
import { type JobRequest, KeeperProcess } from "../support/keeper.ts";
import { bytesOf, textOf } from "../support/packets.ts";
import { isRunning, readProcess } from "../support/world.ts";

setDefaultTimeout(60_000);

async function setup() {
  const keeper = await KeeperProcess.start();
  const front = await keeper.front();
  const spawn = (script: string, limits: JobLimits, options: JobRequest = {}) =>
    keeper.spawn(front, ["bash", "-c", script], { ...options, terms: { limits, ...options.terms } });
  const run = async (script: string, limits: JobLimits, options?: JobRequest) => {
    const job = await spawn(script, limits, options);
    const { outcome } = await keeper.exitOf(front, job);
    await front.hear("closed", (message) => message.job === job);
    return { outcome, packets: keeper.ledger(job) };
  };
  const holder = v.parse(HolderId, crypto.randomUUID());
  return { keeper, front, spawn, run, holder, [Symbol.asyncDispose]: () => keeper[Symbol.asyncDispose]() };
}

/** The exit in a job's ledger, for when there is no front to be told. */
const recorded = (keeper: KeeperProcess, job: JobId) =>
  keeper.ledger(job).find((packet) => packet.type === "exit")?.outcome;

describe("The time limit", () => {
  test("ends a job by TERM, and says so beside how it ended", async () => {
    await using world = await setup();
    const { outcome } = await world.run("sleep 60 & sleep 60", { execMs: 200 });
    expect(outcome).toEqual({ type: "timed_out", limit: 200, end: { type: "signaled", signal: "SIGTERM" } });
  });

  test("ends one that ignores TERM by KILL after the grace, and what left its session with it", async () => {
    await using world = await setup();
    const script = "(trap '' TERM; exec setsid sleep 60) & trap '' TERM; while :; do sleep 0.05; done";
    const { outcome } = await world.run(script, { execMs: 1_000, graceMs: 200 });
    expect(outcome).toMatchObject({ type: "timed_out", end: { signal: "SIGKILL" } });
  });

  test("leaves the code of a program that obeys", async () => {
    await using world = await setup();
    const script = "trap 'echo bye; exit 3' TERM; while :; do sleep 0.02; done";
    const { outcome, packets } = await world.run(script, { execMs: 1_000 });
    expect(outcome).toEqual({ type: "timed_out", limit: 1_000, end: { type: "exited", code: 3 } });
    expect(textOf(packets)).toBe("bye\n");
  });

  test("means nothing to a job that is done before it, nor to what that left in the background", async () => {
    await using world = await setup();
    const { outcome, packets } = await world.run("(sleep 2; echo late) & exit 4", { execMs: 1_000 });
    expect(outcome).toEqual({ type: "exited", code: 4 });
    expect(textOf(packets)).toBe("late\n");
  });
});

describe("The idle limit", () => {
  test("ends a job that writes nothing for so long", async () => {
    await using world = await setup();
    const { outcome, packets } = await world.run("echo one; sleep 60", { idleMs: 1_000 });
    expect(outcome).toEqual({
      type: "idle_timed_out",
      limit: 1_000,
      end: { type: "signaled", signal: "SIGTERM" },
    });
    expect(textOf(packets)).toBe("one\n");
  });

  test("leaves one that writes now and then, on either stream, however long it runs", async () => {
    await using world = await setup();
    const script = "for i in 1 2 3 4 5; do sleep 0.2; echo out; sleep 0.2; echo err >&2; done; exit 6";
    expect((await world.run(script, { idleMs: 1_500 })).outcome).toEqual({ type: "exited", code: 6 });
  });

  test("does not run while a slow reader holds the job back, and begins anew when that goes on", async () => {
    await using world = await setup();
    const { front, keeper, holder } = world;
    const job = await world.spawn("yes | head -c 3000000; sleep 60", { idleMs: 1_000 }, { holder });
    await front.until(() => front.standing(job).position >= MIN_KEEP_BYTES / 2 || undefined);
    await Bun.sleep(2_500); // more than twice the limit in which nothing is read
    expect(front.standing(job).exit).toBeUndefined();
    front.send({ type: "release", job, holder });
    expect((await keeper.exitOf(front, job)).outcome).toMatchObject({ type: "idle_timed_out" });
    expect(front.standing(job).exit?.totals.stdoutBytes).toBe(3_000_000);
  });
});

describe("The output limit", () => {
  test("records exactly so much of both streams together, and ends the job", async () => {
    await using world = await setup();
    const { outcome, packets } = await world.run("echo error >&2; sleep 0.2; exec yes", {
      outputBytes: 100_000,
    });
    expect(outcome).toMatchObject({ type: "output_limited", limit: 100_000 });
    expect(bytesOf(packets, "stdout").length + bytesOf(packets, "stderr").length).toBe(100_000);
    expect(packets.find(({ type }) => type === "exit")).toMatchObject({
      totals: { stdoutBytes: 99_994, stderrBytes: 6 },
    });
  });

  test("is the outcome too when the program is gone before its output is read", async () => {
    await using world = await setup();
    for (let round = 0; round < 10; round++) {
      const { outcome, packets } = await world.run("head -c 50000 /dev/zero", { outputBytes: 49_999 });
      // Whether it is, is for the scheduler to say.
      expect(outcome).toMatchObject({ type: "output_limited", limit: 49_999 });
      expect(bytesOf(packets, "stdout").length).toBe(49_999);
    }
  });

  test("leaves a job that writes as much and no more", async () => {
    await using world = await setup();
    const { outcome } = await world.run("head -c 50000 /dev/zero", { outputBytes: 50_000 });
    expect(outcome).toEqual({ type: "exited", code: 0 });
  });

  test("ends what a program left behind that goes on writing, and leaves a gap there", async () => {
    await using world = await setup();
    const script = "(sleep 1; exec yes) & echo done";
    const { outcome, packets } = await world.run(script, { outputBytes: 200_000 });
    expect(outcome).toEqual({ type: "exited", code: 0 });
    expect(bytesOf(packets, "stdout").length).toBe(200_000);
    expect(packets.map(({ type }) => type)).toContain("gap");
  });
});

describe("Limits hold without a front", () => {
  test.each([
    ["timed_out", "sleep 60", { execMs: 1_000 }],
    ["idle_timed_out", "echo one; sleep 60", { idleMs: 1_000 }],
    ["output_limited", "sleep 1; exec yes", { outputBytes: 1_000 }],
  ] as const)("%s", async (type, script, limits) => {
    await using world = await setup();
    const job = await world.spawn(script, limits);
    world.front[Symbol.dispose]();
    await eventually(() => recorded(world.keeper, job) !== undefined, 30_000);
    expect(recorded(world.keeper, job)).toMatchObject({ type });
  });
});

describe("A job that is to end on a disconnect", () => {
  async function setupHeld(onDisconnect: "keep" | "kill" = "kill") {
    const world = await setup();
    const { keeper, front, holder } = world;
    front.hello(300);
    const job = await keeper.spawn(front, ["sleep", "60"], { holder, terms: { onDisconnect } });
    return { ...world, job };
  }

  test("is cancelled when its client has been gone for the grace", async () => {
    await using world = await setupHeld();
    const { front, job, holder, keeper } = world;
    front.send({ type: "orphan", job, holder });
    expect((await keeper.exitOf(front, job)).outcome).toEqual({
      type: "cancelled",
      by: "disconnect",
      end: { type: "signaled", signal: "SIGTERM" },
    });
  });

  test("is cancelled too when the front is gone with its client", async () => {
    await using world = await setupHeld();
    world.front[Symbol.dispose]();
    await eventually(() => recorded(world.keeper, world.job) !== undefined, 30_000);
    expect(recorded(world.keeper, world.job)).toMatchObject({ type: "cancelled", by: "disconnect" });
  });

  test("goes on when the client comes back in time, or lets go on purpose; and without that term", async () => {
    await using world = await setupHeld();
    const { front, job, holder, keeper } = world;
    front.send({ type: "orphan", job, holder });
    front.send({ type: "attach", job, holder, position: 0 });
    const released = await keeper.spawn(front, ["sleep", "60"], { holder, terms: { onDisconnect: "kill" } });
    front.send({ type: "release", job: released, holder });
    const kept = await keeper.spawn(front, ["sleep", "60"], { holder, terms: { onDisconnect: "keep" } });
    front.send({ type: "orphan", job: kept, holder });
    const doomed = await keeper.spawn(front, ["sleep", "60"], { holder, terms: { onDisconnect: "kill" } });
    front.send({ type: "orphan", job: doomed, holder });
    // The last one was orphaned last: when it has ended, the graces of the others are over.
    await keeper.exitOf(front, doomed);
    for (const other of [job, released, kept]) expect(front.standing(other).exit).toBeUndefined();
  });
});

/** The cause that an outcome of a race may have. */
const WINNERS = ["exited", "cancelled", "timed_out", "output_limited"];

test("1,000 races of cancel, limits and exit end in one outcome each", async () => {
  await using world = await setup();
  const { keeper } = world;
  const counts = new Map<string, number>();
  // Whoever wins has to start a little later the next time, and whoever loses earlier: so it stays close on any machine.
  let [cancelAfter, limit] = [200, 200];
  const race = async (front: Front, at: number) => {
    const script = `sleep 0.2${10 + (at % 50)}; ${at % 7 === 0 ? "echo more than one" : ":"}; exit 7`;
    const job = await keeper.spawn(front, ["sh", "-c", script], {
      terms: { limits: { execMs: Math.round(limit) + (at % 5), outputBytes: 4, graceMs: 50 } },
    });
    await Bun.sleep(cancelAfter + (at % 7));
    const request = keeper.nextRequest();
    front.send({ type: "cancel", request, job, signal: "SIGTERM", grace: 50, by: "racer" });
    const reply = await front.hear("reply", (reply) => reply.request === request);
    if (reply.error !== undefined) expect(reply.error.code).toBe("not_running");
    else expect(reply.ended?.leftBehind).toBeUndefined();
    await front.hear("closed", (message) => message.job === job);
    const exits = keeper.ledger(job).filter((packet) => packet.type === "exit");
    expect(exits).toHaveLength(1);
    const type = exits[0]?.outcome.type ?? "none";
    expect(WINNERS).toContain(type);
    expect(front.standing(job).exit?.outcome).toEqual(exits[0]?.outcome);
    cancelAfter = Math.max(0, cancelAfter + (type === "cancelled" ? 4 : -2));
    limit = Math.max(1, limit + (type === "timed_out" ? 4 : -2));
    counts.set(type, (counts.get(type) ?? 0) + 1);
  };
  for (let at = 0; at < 1_000; at += 10) {
    const front = await keeper.front();
    await Promise.all(Array.from({ length: 10 }, (_, index) => race(front, at + index)));
  }
  console.log(`Races were won by: ${JSON.stringify(Object.fromEntries(counts))}`);
  for (const winner of WINNERS) expect(counts.get(winner) ?? 0, winner).toBeGreaterThan(0);
}, 300_000);

/** The keeper's zombies, and how many descriptors it has. */
function measure({ process: { pid } }: KeeperProcess, front: Front) {
  const children = readProcess(pid, `task/${pid}/children`).split(" ").filter(Boolean).map(Number);
  const zombies = children.filter((child) => !isRunning(child));
  return { children, zombies, front };
}

test("Orphans that end are no zombies for long, and those that live are left alone", async () => {
  await using world = await setup();
  const { keeper, front } = world;
  const script =
    "for i in 1 2 3 4 5; do setsid sleep 0.5 & done; setsid sleep 60 </dev/null >/dev/null 2>&1 & exit 0";
  await keeper.run(front, script);
  await eventually(() => measure(keeper, front).children.length === 1, 20_000);
  expect(measure(keeper, front).zombies).toEqual([]);
  for (const pid of measure(keeper, front).children) process.kill(pid, "SIGKILL");
  await eventually(() => measure(keeper, front).children.length === 0, 20_000);
});
