import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { cpSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { PROTOCOL_VERSION } from "../../src/protocol/hello.ts";
import { type Outcome, Pool } from "../../src/sdk.ts";
import { anyValue } from "../support/any-value.ts";
import { RawClient } from "../support/raw.ts";
import { findDifference } from "../support/same.ts";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

const FIXTURES = join(import.meta.dir, "../fixtures");
const MANY = 10_000;
const BATCH = 250;
const LARGE = 16 * 1024 * 1024;

/** New ones each time. */
const sampleBatches = () =>
  fc.sample(fc.array(anyValue, { minLength: BATCH, maxLength: BATCH }), MANY / BATCH);

/** A server whose commands give back what they are given, and a connection to it. */
async function setup() {
  const world = openWorld();
  mkdirSync(join(world.state, "commands"), { recursive: true, mode: 0o700 });
  cpSync(join(FIXTURES, "echo.ts"), join(world.state, "commands/echo.ts"));
  await world.start();
  const { url, token } = world.local();
  const pool = new Pool({});
  const connection = await pool.add(url, { token }).connect({ timeout: 20_000 });
  const call = async (name: string, value: unknown) => {
    const reply = await connection.call(name, { value }, { raiseError: true });
    return { events: "events" in reply ? reply.events : [], result: reply.result };
  };
  return {
    call,
    world,
    connection,
    raw: (minor: number) => RawClient.open({ url, token }, { version: { major: 1, minor } }),
    async [Symbol.asyncDispose]() {
      await pool.close();
      await world[Symbol.asyncDispose]();
    },
  };
}

describe("Of 10,000 values of every kind, each is itself again, also where it is there twice or within itself,", () => {
  test("from a command in the foreground", async () => {
    await using stage = await setup();
    for (const batch of sampleBatches()) {
      const { events, result } = await stage.call("echo", batch);
      expect(findDifference(batch, result)).toBeUndefined();
      expect(findDifference([{ said: batch }], events)).toBeUndefined();
    }
  });

  test("from one that is a job", async () => {
    await using stage = await setup();
    for (const batch of sampleBatches()) {
      const { events, result } = await stage.call("echo-job", batch);
      expect(findDifference(batch, result)).toBeUndefined();
      expect(findDifference([{ said: batch }], events)).toBeUndefined();
    }
  });

  test("from a task, and from its state", async () => {
    await using stage = await setup();
    const { tasks } = stage.connection;
    await tasks.start("echo", { module: join(FIXTURES, "echo-task.ts") });
    let before: unknown;
    for (const batch of sampleBatches()) {
      const { value } = await tasks.exec("echo", batch);
      expect(findDifference({ args: batch, before }, value)).toBeUndefined();
      before = batch;
    }
  });
});

describe("What is large:", () => {
  test("16 MiB go to a task and come back in well under a second", async () => {
    await using stage = await setup();
    const { tasks } = stage.connection;
    await tasks.start("echo", { module: join(FIXTURES, "echo-task.ts") });
    const bytes = crypto.getRandomValues(new Uint8Array(65_536));
    const large = new Uint8Array(LARGE).map((_, index) => bytes[index % bytes.length] ?? 0);
    const start = performance.now();
    const { value } = await tasks.exec("echo", { large });
    const took = performance.now() - start;
    console.log(`16 MiB to a task and back: ${took.toFixed(0)} ms`);
    expect(findDifference({ args: { large }, before: undefined }, value)).toBeUndefined();
    expect(took).toBeLessThan(10_000);
  });

  test("more than a packet has room for comes from a job as what it says and what it returns, and is read again", async () => {
    await using stage = await setup();
    const large = new Uint8Array(700_000).fill(7);
    const { events, result } = await stage.call("echo-job", { large });
    expect(findDifference([{ said: { large } }], events)).toBeUndefined();
    expect(findDifference({ large }, result)).toBeUndefined();
    const again = await stage.connection.result("@last");
    expect(
      findDifference({ large }, again.result && "value" in again.result ? again.result.value : undefined),
    ).toBeUndefined();
    const listener = await stage.connection.follow("@last", { since: 12 });
    const outcome = await listener.outcome;
    expect(
      findDifference({ large }, outcome.type === "returned" ? outcome.value : undefined),
    ).toBeUndefined();
  });
});

test("Whoever asks the SDK for a job that returned something is told the value itself, unless it is large", async () => {
  await using stage = await setup();
  const { connection } = stage;
  const value = new Map([["at", [new Date(0), 7n, undefined]]]);
  await stage.call("echo-job", value);
  await stage.call("echo-job", new Uint8Array(700_000));
  const outcome: Outcome = { type: "returned", value };
  const returned: Outcome = { type: "returned" };
  const now = new AbortController();
  for await (const batch of connection.watch({}, now.signal)) {
    expect(batch.map((event) => event.type === "job" && event.job.outcome)).toEqual([outcome, returned]);
    break;
  }
  const { result } = await connection.jobs([1, 2]);
  expect(result?.jobs.map((job) => job.outcome)).toEqual([outcome, returned]);
  expect((await connection.allJobs()).map((job) => job.outcome)).toEqual([returned, outcome]);
  expect((await connection.wait(1)).result?.outcome).toEqual(outcome);
  expect((await connection.jobShow(1)).result?.outcome).toEqual(outcome);
  expect((await connection.result(1)).result).toMatchObject({ type: "value", value, outcome });
  const pruned = await connection.prune({}, { dryRun: true });
  expect(pruned.map((job) => job.outcome)).toEqual([returned, outcome]);
  const page = await connection.jobPrune({ filter: {} });
  expect(page.result?.removed.map((job) => job.outcome)).toEqual([returned, outcome]);
});

test("What a job says that is no value ends the reading of it in a sentence, which tells where it goes on, and harms nothing else", async () => {
  await using stage = await setup();
  const { world } = stage;
  const garbled = await world.farhand(["call", "garble", "--input", '{"value": {"$set": [1]}}']);
  expect(garbled).toMatchObject({ code: 125, stdout: '{"$set":[1]}\n' });
  expect(garbled.stderr).toContain("Cannot read a value: it has a simple value that there is not (packet 1)");
  const [job] = await stage.connection.allJobs();
  expect(garbled.stderr).toContain(`farhand follow ${job?.id} --since 2`);
  expect(await world.farhand(["follow", "1", "--since", "2", "--unit", "packets", "--json"])).toMatchObject({
    stdout: expect.stringContaining('"value":{"$set":[1]}'),
  });
  expect(await stage.call("echo", 1)).toMatchObject({ result: 1 });
});

test("A call whose input is no value, or too much of one, fails in a sentence, and its session goes on", async () => {
  await using stage = await setup();
  using client = await stage.raw(PROTOCOL_VERSION.minor);
  const hostile = [
    "",
    "no base64!",
    "d9d9f7ff",
    "d9d9f7" + "81".repeat(100_000),
    "d9d9f79f" + "80".repeat(70_000),
    "d9d9f79b0000ffffffffffff",
  ];
  for (const [index, hex] of hostile.entries()) {
    const value = Buffer.from(hex, "hex").toString("base64url");
    const input = { encoding: "cbor", value: hex === "no base64!" ? hex : value };
    client.sequenced({ type: "call", call: index + 1, command: "echo", input });
    expect(await client.control("failed")).toMatchObject({
      call: index + 1,
      error: { code: "protocol_error", message: expect.stringContaining("Cannot read a value: it ") },
    });
  }
  client.call(hostile.length + 1, "echo", { value: "fine" });
  expect(await client.control("result")).toMatchObject({ result: { value: "fine" } });
});

test("A client of an older version, which knows JSON alone, is told so, and is served on", async () => {
  await using stage = await setup();
  await stage.call("echo-job", new Date(0));
  const [job] = await stage.connection.allJobs();
  using old = await stage.raw(3);
  old.call(1, "echo", { value: 1 });
  expect(await old.control("failed")).toMatchObject({
    error: { code: "unsupported_version", message: expect.stringContaining("1.4") },
  });
  old.sequenced({ type: "open_output", channel: 1, job: job?.id, from: { type: "since", number: 0 } });
  expect(await old.control("broken")).toMatchObject({ error: { code: "unsupported_version" } });
  old.call(2, "ping");
  expect(await old.control("result")).toMatchObject({ call: 2 });
});
