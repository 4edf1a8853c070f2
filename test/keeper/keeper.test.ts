import { expect, jest, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import * as v from "valibot";
import { keep } from "../../src/keeper/keeper.ts";
import { findEnding } from "../../src/ledger/ending.ts";
import { listSegments } from "../../src/ledger/segment.ts";
import { findProcess } from "../../src/ledger/start.ts";
import { LedgerWriter } from "../../src/ledger/writer.ts";
import { LINK_VERSION } from "../../src/keeper/link.ts";
import { isAlive } from "../../src/process/identity.ts";
import { openLibc } from "../../src/process/libc.ts";
import { claimLock } from "../../src/process/lock.ts";
import { createLog } from "../../src/lib/log.ts";
import { AppError } from "../../src/protocol/error.ts";
import { HolderId, JobId, KeeperId } from "../../src/protocol/id.ts";
import { HOLD_GRACE, MIN_KEEP_BYTES } from "../../src/protocol/limits.ts";
import { openPlace } from "../../src/keeper/place.ts";
import { openDirectory } from "../support/directory.ts";
import { eventually } from "../support/eventually.ts";
import { Front } from "../support/front.ts";
import { KeeperProcess } from "../support/keeper.ts";
import { textOf, SOME_EXIT } from "../support/packets.ts";
import { createStart } from "../support/start.ts";

async function setup() {
  const keeper = await KeeperProcess.start();
  const front = await keeper.front();
  return { keeper, front, [Symbol.asyncDispose]: () => keeper[Symbol.asyncDispose]() };
}

test("keep() answers a hello with who it is", async () => {
  await using world = await setup();
  const { keeper, front } = world;
  expect(await front.hear("hello")).toEqual({
    type: "hello",
    version: LINK_VERSION,
    build: "test",
    keeper: keeper.id,
    pid: keeper.process.pid,
    jobs: [],
  });
});

test("keep() runs a spawn once, however often it is asked under the same id", async () => {
  await using world = await setup();
  const { keeper, front } = world;
  const job = v.parse(JobId, Bun.randomUUIDv7());
  const script = ["sh", "-c", "echo ran >> runs"];
  const requests = Array.from({ length: 3 }, () => keeper.requestSpawn(front, script, { job }).request);
  const answers = await Promise.all(
    requests.map((request) => front.hear("spawned", (answer) => answer.request === request)),
  );
  expect(answers.map(({ created }) => created)).toEqual([true, false, false]);
  await front.hear("closed", (message) => message.job === job);
  // Its ledger alone tells that it was run, after it is over too, and to another front.
  const later = await keeper.front();
  const { request } = keeper.requestSpawn(later, script, { job });
  expect(await later.hear("spawned")).toEqual({ type: "spawned", request, created: false });
  await keeper.run(later, "true");
  expect(readFileSync(keeper.path("runs"), "utf8")).toBe("ran\n");
});

test("keep() hands its jobs over to a new front, and lets the old one go", async () => {
  await using world = await setup();
  const { keeper, front } = world;
  const job = await keeper.spawn(front, ["sh", "-c", "echo ready; read go; echo $go"], { stdin: true });
  await front.until(() => front.standing(job).next === 1 || undefined);

  const later = await keeper.front();
  await front.until(() => front.isClosed || undefined);
  const { next, position } = front.standing(job);
  expect((await later.hear("hello")).jobs).toEqual([{ job, next, position }]);
  const writer = crypto.randomUUID();
  later.sendRaw({ type: "writer", job, writer });
  await later.hear("taken");
  const input = new TextEncoder().encode("over\n");
  later.send({ type: "input", job, writer: (await later.hear("taken")).writer, offset: 0 }, input);
  await later.hear("closed", (message) => message.job === job);
  expect(textOf(keeper.ledger(job))).toBe("ready\nover\n");
});

test("keep() goes on with its jobs while there is no front, and tells the next one how they stand", async () => {
  await using world = await setup();
  const { keeper, front } = world;
  const job = await keeper.spawn(front, [
    "sh",
    "-c",
    "while [ ! -e go ]; do sleep 0.01; done; echo on; exec sleep 60",
  ]);
  front[Symbol.dispose]();
  await Bun.write(keeper.path("go"), "");
  await eventually(() => textOf(keeper.ledger(job)) === "on\n");
  const later = await keeper.front();
  expect((await later.hear("hello")).jobs).toMatchObject([{ job, next: 1 }]);
});

test("keep() says nothing to a front before its hello, whatever its jobs do", async () => {
  await using world = await setup();
  const { keeper, front } = world;
  const script = "while :; do echo on; sleep 0.005; done";
  const job = await keeper.spawn(front, ["sh", "-c", script]);
  using later = await Front.open(keeper.socket);
  const { length } = keeper.ledger(job);
  await eventually(() => keeper.ledger(job).length > length + 5);
  later.hello();
  await later.hear("progress", (message) => message.job === job);
  expect(later.heard[0]).toMatchObject({ type: "hello", jobs: [{ job }] });
});

test("keep() tells a front that comes back of the exit it missed", async () => {
  await using world = await setup();
  const { keeper, front } = world;
  const job = await keeper.spawn(front, ["sh", "-c", "(while [ ! -e go ]; do sleep 0.01; done) & exit 9"]);
  await keeper.exitOf(front, job);
  front[Symbol.dispose]();
  const later = await keeper.front();
  expect((await later.hear("hello")).jobs).toMatchObject([
    { job, exit: { outcome: { type: "exited", code: 9 } } },
  ]);
  await Bun.write(keeper.path("go"), "");
  await later.hear("closed", (message) => message.job === job);
});

test("keep() answers a verb that it does not know, and goes on", async () => {
  await using world = await setup();
  const { keeper, front } = world;
  front.sendRaw({ type: "dance", job: "all" });
  expect(await front.hear("unknown_verb")).toEqual({ type: "unknown_verb", verb: "dance" });
  front.sendRaw(["no", "object"]);
  await front.hear("unknown_verb", ({ verb }) => verb === "?");
  for (const message of [
    { type: "dance", request: 5 },
    { type: "spawn", request: 6, start: "now" },
  ]) {
    front.sendRaw(message);
    expect(await front.hear("reply", ({ request }) => request === message.request)).toMatchObject({
      error: { code: "unavailable", message: expect.stringContaining(message.type) },
    });
  }
  expect(textOf(await keeper.run(front, "echo still here"))).toBe("still here\n");
});

test("keep() answers a ping", async () => {
  await using world = await setup();
  const { front } = world;
  front.send({ type: "ping", request: 77 });
  expect(await front.hear("reply")).toEqual({ type: "reply", request: 77 });
});

test("keep() ignores fields that it does not know", async () => {
  await using world = await setup();
  const { front } = world;
  front.sendRaw({ type: "signal", request: 77, job: Bun.randomUUIDv7(), signal: "SIGTERM", mood: "good" });
  expect(await front.hear("reply")).toMatchObject({ request: 77, error: { code: "not_running" } });
});

test("keep() drops a front that sends no frames, and serves the next", async () => {
  await using world = await setup();
  const { keeper, front } = world;
  const job = await keeper.spawn(front, ["sleep", "60"]);
  front.sendBytes(new Uint8Array(64).fill(0xff));
  await front.until(() => front.isClosed || undefined);
  const later = await keeper.front();
  expect((await later.hear("hello")).jobs).toMatchObject([{ job }]);
});

test("keep() ends at the goodbye of its front when there are no jobs, and removes what it used", async () => {
  await using world = await setup();
  const { keeper, front } = world;
  await keeper.run(front, "true");
  expect(readdirSync(keeper.path("keeper")).toSorted()).toEqual([`${keeper.id}.lock`, `${keeper.id}.sock`]);
  front.send({ type: "goodbye" });
  expect(await keeper.process.exited).toBe(0);
  expect(readdirSync(keeper.path("keeper"))).toEqual([]);
});

test("keep() ends by itself when its front has gone without a word and there are no jobs", async () => {
  await using world = await setup();
  const { keeper, front } = world;
  await keeper.run(front, "true");
  front[Symbol.dispose]();
  expect(await keeper.process.exited).toBe(0);
}, 20_000);

test("keep() ends by itself when no front ever comes", async () => {
  await using keeper = await KeeperProcess.start();
  expect(await keeper.process.exited).toBe(0);
}, 20_000);

test("keep() stays for its last job after the front's goodbye, and ends after it", async () => {
  await using world = await setup();
  const { keeper, front } = world;
  const job = await keeper.spawn(front, ["sh", "-c", "while [ ! -e go ]; do sleep 0.01; done; echo done"]);
  front.send({ type: "goodbye" });
  await front.until(() => front.isClosed || undefined);
  await Bun.write(keeper.path("go"), "");
  expect(await keeper.process.exited).toBe(0);
  expect(textOf(keeper.ledger(job))).toBe("done\n");
  expect(findEnding(keeper.directory(job), job)).toMatchObject({
    closed: true,
    exit: { outcome: { code: 0 } },
  });
}, 20_000);

test("keep() that is retired takes no new jobs, and ends with its last one although a front is there", async () => {
  await using world = await setup();
  const { keeper, front } = world;
  const job = await keeper.spawn(front, ["sh", "-c", "while [ ! -e go ]; do sleep 0.01; done"]);
  front.send({ type: "retire" });
  const { request, job: refused } = keeper.requestSpawn(front, ["true"]);
  expect(await front.hear("reply", (reply) => reply.request === request)).toMatchObject({
    error: { code: "shutting_down" },
  });
  expect(existsSync(keeper.directory(refused))).toBe(false);
  await Bun.write(keeper.path("go"), "");
  await front.hear("closed", (message) => message.job === job);
  expect(await keeper.process.exited).toBe(0);
});

test("keep() trims a detached job on demand, and nothing that a holder of one needs", async () => {
  await using world = await setup();
  const { keeper, front } = world;
  const script = "head -c 600000 /dev/zero; : > written; while [ ! -e go ]; do sleep 0.02; done; echo last";
  const holder = v.parse(HolderId, crypto.randomUUID());
  const jobs = await Promise.all([
    keeper.spawn(front, ["sh", "-c", script]),
    keeper.spawn(front, ["sh", "-c", script.replace("written", "held")], {
      holder,
      keepBytes: 64 * 1024 * 1024,
    }),
  ]);
  const [detached, held] = jobs as [JobId, JobId];
  await front.until(() => jobs.every((job) => front.standing(job).position > 600_000) || undefined);
  for (const job of [...jobs, v.parse(JobId, Bun.randomUUIDv7())])
    front.send({ type: "trim", job, bytes: 0 });
  await eventually(() => keeper.ledger(detached)[0]?.type !== "stdout");
  await Bun.write(keeper.path("go"), "");
  for (const job of jobs) await front.hear("closed", (message) => message.job === job);
  expect(keeper.ledger(detached)).toMatchObject([
    { type: "gap", number: 0, totals: { stdoutBytes: 600_000 } },
    { type: "stdout" },
    { type: "exit", totals: { stdoutBytes: 600_005 } },
    { type: "closed" },
  ]);
  expect(textOf(keeper.ledger(held))).toHaveLength(600_005);
});

test("keep() refuses a job with a sentence where no ledger can be made", async () => {
  await using world = await setup();
  const { keeper, front } = world;
  rmSync(keeper.path("ledgers"), { recursive: true });
  const { request } = keeper.requestSpawn(front, ["true"]);
  expect(await front.hear("reply", (reply) => reply.request === request)).toMatchObject({
    error: {
      code: "unavailable",
      message: "Cannot start the job: the state directory cannot be written (ENOENT)",
    },
  });
  mkdirSync(keeper.path("ledgers"));
  expect(textOf(await keeper.run(front, "echo on"))).toBe("on\n");
});

test("keep() that is retired answers who asked for the end of its last job, and ends then", async () => {
  await using world = await setup();
  const { keeper, front } = world;
  // It exits at once, and leaves one behind that does not.
  const job = await keeper.spawn(front, [
    "sh",
    "-c",
    "(trap '' TERM; echo deaf; exec sleep 1000 > /dev/null 2>&1) & wait",
  ]);
  await front.until(() => front.standing(job).next === 1 || undefined);
  front.send({ type: "retire" });
  front.send({ type: "cancel", request: 55, job, signal: "SIGTERM", grace: 500, by: "test" });
  expect(await front.hear("reply")).toMatchObject({ request: 55, ended: { killed: 1 } });
  expect(await keeper.process.exited).toBe(0);
});

test("keep() holds the lock of its place for as long as it lives, and no longer", async () => {
  await using world = await setup();
  const { keeper } = world;
  const { lock } = openPlace(keeper.state, keeper.id);
  expect(claimLock(lock)).toBeUndefined();
  await keeper.kill();
  using claimed = claimLock(lock);
  expect(claimed).toBeDefined();
});

test("keep() leaves jobs running when it is killed, and ledgers that open at their last whole packet", async () => {
  await using world = await setup();
  const { keeper, front } = world;
  const job = await keeper.spawn(front, ["sh", "-c", "trap '' PIPE; echo said; exec sleep 60"]);
  const flood = await keeper.spawn(front, ["yes"]);
  await front.until(() => front.standing(job).next === 1 || undefined);
  await front.until(() => front.standing(flood).position > 5 * MIN_KEEP_BYTES || undefined);
  const { next } = front.standing(flood);
  await keeper.kill();
  const leader = findProcess(keeper.directory(job));
  expect(leader && isAlive(leader)).toBe(true);
  const options = { keepBytes: undefined, clock: () => 0, released: () => 0 };
  using ledger = LedgerWriter.recover(keeper.directory(flood), flood, options);
  expect(ledger.totals.packets).toBeGreaterThanOrEqual(next);
  ledger.close(SOME_EXIT);
  const packets = keeper.ledger(flood);
  expect(packets[0]).toMatchObject({ type: "gap", number: 0 });
  expect(packets.at(-1)).toMatchObject({ type: "closed", totals: { packets: ledger.totals.packets - 1 } });
});

test("keep() keeps its files to its own user", async () => {
  await using world = await setup();
  const { keeper, front } = world;
  const job = await keeper.spawn(front, ["true"]);
  await front.hear("closed", (message) => message.job === job);
  const { stdout } = Bun.spawnSync([
    "find",
    keeper.path("ledgers"),
    keeper.path("keeper"),
    "-mindepth",
    "1",
    "-perm",
    "/077",
  ]);
  expect(stdout.toString()).toBe("");
});

test("keep() listens where a front finds it when the state directory's path is too long for a socket", async () => {
  const directory = openDirectory();
  const deep = `${directory.path}/${"deep".repeat(30)}`;
  Bun.spawnSync(["mkdir", "-p", deep]);
  const place = { path: deep, [Symbol.dispose]: () => directory[Symbol.dispose]() };
  await using keeper = await KeeperProcess.start(place);
  expect(Buffer.byteLength(keeper.socket)).toBeLessThanOrEqual(103);
  const front = await keeper.front();
  expect(textOf(await keeper.run(front, "echo deep"))).toBe("deep\n");
  front.send({ type: "goodbye" });
  expect(await keeper.process.exited).toBe(0);
  expect(existsSync(keeper.socket)).toBe(false);
});

test("keep() takes an environment and arguments as large as Linux allows over its link", async () => {
  await using world = await setup();
  const { keeper, front } = world;
  const large = "x".repeat(100_000);
  const env = Object.fromEntries(Array.from({ length: 10 }, (_, index) => [`LARGE${index}`, large]));
  const packets = await keeper.run(front, "echo ${#LARGE0} ${#LARGE9}", {
    env: { PATH: "/usr/bin:/bin", ...env },
  });
  expect(textOf(packets)).toBe("100000 100000\n");
});

test("keep() queues no progress for a front that is slow to read, and tells it the last when it reads again", async () => {
  await using world = await setup();
  const { keeper, front } = world;
  const flood = await keeper.spawn(front, ["yes"]);
  front.pause();
  const packets = 20_000;
  await eventually(() => (listSegments(keeper.directory(flood)).at(-1) ?? 0) > packets, 30_000);
  front.send({ type: "signal", request: keeper.nextRequest(), job: flood, signal: "SIGKILL" });
  front.resume();
  await front.hear("closed");
  // What the socket's buffers hold was sent; the rest was not even kept.
  expect(front.heard.length).toBeLessThan(packets / 2);
  expect(front.standing(flood).next).toBe(findEnding(keeper.directory(flood), flood).next);
}, 60_000);

test("keep() lets a job go on when a front was replaced and its client did not come back within the grace", async () => {
  using directory = openDirectory();
  mkdirSync(`${directory.path}/ledgers`);
  mkdirSync(`${directory.path}/keeper`);
  const place = openPlace(directory.path, v.parse(KeeperId, Bun.randomUUIDv7()));
  const stop = new AbortController();
  const log = createLog({ level: "error", format: "text", write: () => {}, now: () => new Date() });
  const kept = keep(
    { state: directory.path, place, build: "test", libc: openLibc(), launcher: undefined, log },
    stop.signal,
  );
  using front = await Front.connect(place.socket);
  const holder = v.parse(HolderId, crypto.randomUUID());
  const job = v.parse(JobId, Bun.randomUUIDv7());
  const start = createStart({ job, argv: ["yes"], keeper: place.id, keepBytes: MIN_KEEP_BYTES });
  front.send({ type: "spawn", request: 1, start, env: {}, umask: 0o022, stdin: false, holder });
  await front.until(() => front.standing(job).position >= MIN_KEEP_BYTES / 2 || undefined);

  jest.useFakeTimers();
  try {
    using later = await Front.connect(place.socket);
    await later.hear("hello");
    jest.advanceTimersByTime(HOLD_GRACE - 1);
    expect(later.standing(job).position).toBeLessThan(MIN_KEEP_BYTES);
    jest.advanceTimersByTime(1);
    await later.until(() => later.standing(job).position > 5 * MIN_KEEP_BYTES || undefined);
    later.send({ type: "signal", request: 2, job, signal: "SIGKILL" });
    await later.hear("closed");
  } finally {
    jest.useRealTimers();
  }
  stop.abort(new AppError("shutting_down", "Test over"));
  await kept;
});
