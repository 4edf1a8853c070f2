import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { MAX_CHANNELS } from "../../src/protocol/limits.ts";
import { eventually } from "../support/eventually.ts";
import { privateBytes } from "../support/memory.ts";
import { RawClient } from "../support/raw.ts";
import { testIf } from "../support/test-if.ts";
import { openWebSocketProxy } from "../support/websocket-proxy.ts";
import { openWorld, type World } from "../support/world.ts";

setDefaultTimeout(60_000);

/** A server whose sessions and holds last for 300 ms without their client. */
async function setup() {
  const world = openWorld();
  const config = join(world.home, "config.toml");
  writeFileSync(config, '[session]\ngrace = "300ms"\n');
  await world.start("--config", config, "--listen", "127.0.0.1:0");
  return { ...world, server: world.local() };
}

const open = (job: string, holder: string, channel: number, number = 0) => ({
  type: "open_output",
  channel,
  job,
  holder,
  from: { type: "since", number },
  limit: 1_000_000,
});

/** What is known of a job, of which a test looks at what it wants. */
async function show(world: World, job: string): Promise<Readonly<Record<string, unknown>>> {
  return JSON.parse((await world.farhand(["job", "show", "--json", job])).stdout);
}

/** What a client presents to go on with the session of this welcome. */
const toResume = (welcome: Readonly<Record<string, unknown>>, received = 0) => ({
  version: { major: 1, minor: 1 },
  received,
  resume: {
    session: welcome["session"],
    generation: welcome["generation"],
    token: welcome["resume"],
  },
});

describe("A hold that its reader has taken along to another session", () => {
  test("outlives the session that it comes from, by loss and by goodbye", async () => {
    for (const leave of ["cut", "goodbye"] as const) {
      await using world = await setup();
      const [job, holder] = [crypto.randomUUID(), crypto.randomUUID()];
      const first = await RawClient.open(world.server);
      const input = { argv: ["sleep", "600"], onDisconnect: "kill" };
      first.call(1, "exec", input, { job, output: { channel: 1, holder, limit: 1_000_000 } });
      await first.control("accepted");
      using second = await RawClient.open(world.server);
      second.sequenced(open(job, holder, 1));
      second.call(1, "ping");
      await second.control("result");
      if (leave === "goodbye") first.text({ type: "goodbye" });
      first[Symbol.dispose]();
      // Many times the grace.
      await Bun.sleep(1_500);
      expect({ leave, ...(await world.job(job)) }).toMatchObject({ state: "running", attached: true });
    }
  });
});

describe("A client whose first welcome is lost", () => {
  test("keeps the job that it has asked for, though the first session ends", async () => {
    await using world = await setup();
    await using proxy = await openWebSocketProxy(String(world.server.url.replace("http://", "")), (frame) =>
      frame.connection === 0 && frame.direction === "toClient" ? "drop" : "pass",
    );
    const script = "echo one; while [ ! -e go ]; do sleep 0.02; done; exit 4";
    const words = ["-H", proxy.address, "exec", "--on-disconnect", "kill", "--shell", script];
    const client = world.open(["farhand", ...words], { env: { FARHAND_TOKEN: world.server.token } });
    await eventually(async () => (await world.farhand(["jobs", "@last"])).code === 0, 30_000);
    proxy.cut();
    await eventually(() => client.said() === "one\n", 30_000);
    // The first session ends, and what it had, several times over.
    await Bun.sleep(1_500);
    writeFileSync(join(world.home, "go"), "");
    expect(await client.ran).toEqual({ code: 4, signal: null, stdout: "one\n", stderr: "" });
  });
});

describe("A client that comes back with what is not true", () => {
  test.each<[string, Readonly<Record<string, unknown>>]>([
    ["a generation that was never reached", { generation: Number.MAX_SAFE_INTEGER }],
    ["the generation that every session begins with", { generation: 0, token: "" }],
    ["another session's id", { session: crypto.randomUUID() }],
    ["a token that is longer", { token: "x".repeat(100_000) }],
  ])("has a session of its own for %s", async (_what, lie) => {
    await using world = await setup();
    const first = await RawClient.upgrade(world.server);
    first.hello();
    const welcome = await first.control("welcome");
    const truth = toResume(welcome);
    using next = await RawClient.upgrade(world.server);
    next.hello({ ...truth, resume: { ...truth.resume, ...lie } });
    expect((await next.control("welcome"))["session"]).not.toBe(welcome["session"]);
    first.call(1, "ping");
    await first.control("result"); // nobody has taken it from its client
    first[Symbol.dispose]();
  });

  test("loses its session for having received what was never sent", async () => {
    await using world = await setup();
    const first = await RawClient.upgrade(world.server);
    first.hello();
    const welcome = await first.control("welcome");
    first[Symbol.dispose]();
    using next = await RawClient.upgrade(world.server);
    next.hello(toResume(welcome, 1));
    expect(await next.ended).toMatchObject({ type: "closed", code: 4400 });
    using last = await RawClient.upgrade(world.server);
    last.hello(toResume(welcome));
    expect((await last.control("welcome"))["session"]).not.toBe(welcome["session"]);
  });

  test("a thousand times over leaves the server nothing to keep, and serves others meanwhile", async () => {
    await using world = await setup();
    const first = await RawClient.upgrade(world.server);
    first.hello();
    let welcome = await first.control("welcome");
    const session = welcome["session"];
    const clients = [first];
    for (let round = 0; round < 1_000; round++) {
      const next = await RawClient.upgrade(world.server);
      next.hello(toResume(welcome));
      welcome = await next.control("welcome");
      clients.push(next);
    }
    expect([welcome["session"], welcome["generation"]]).toEqual([session, 1_001]);
    // Each was replaced by the one after it.
    for (const client of clients.slice(0, -1))
      expect(await client.ended).toMatchObject({ type: "closed", code: 4410 });
    expect((await world.farhand(["ping"])).code).toBe(0);
    for (const client of clients) client[Symbol.dispose]();
  });
});

testIf(process.platform === "linux", "only Linux shows what a process takes")(
  "A thousand sessions that their clients have deserted take little",
  async () => {
    await using world = openWorld();
    const { pid } = await world.start();
    const server = world.local();
    const job = await world.detach("sleep", "600");
    const desert = async (sessions: number) => {
      for (let round = 0; round < sessions; round++) {
        using client = await RawClient.open(server);
        client.sequenced(open(job, crypto.randomUUID(), 1));
        client.call(1, "ping");
        await client.control("result");
      }
    };
    await desert(200); // what the first ones take is once and for all
    const before = privateBytes(pid);
    await desert(1_000);
    expect(privateBytes(pid) - before).toBeLessThan(64 * 1024 * 1024);
    expect((await world.job(job)).attached).toBe(false);
  },
);

describe("A session that goes on", () => {
  test("with every channel that there can be keeps them all", async () => {
    await using world = await setup();
    const job = await world.detach("sleep", "600");
    const first = await RawClient.open(world.server);
    const holders = Array.from({ length: MAX_CHANNELS }, () => crypto.randomUUID());
    const [welcome] = first.received.flatMap((one) => (one.type === "control" ? [one.frame] : []));
    for (const [index, holder] of holders.entries()) {
      first.sequenced(open(job, holder, index + 1));
      if (index % 100 === 0) await first.control("ack");
    }
    first.call(1, "ping");
    await first.control("result");
    first[Symbol.dispose]();
    using next = await RawClient.upgrade(world.server);
    next.hello(toResume(welcome ?? {}, 1));
    expect((await next.control("welcome"))["session"]).toBe(welcome?.["session"]);
    for (const [index, holder] of holders.entries()) {
      const seq = MAX_CHANNELS + 2 + index;
      next.text({ ...open(job, holder, MAX_CHANNELS + index + 1), seq });
      if (index % 100 === 0) await next.control("ack");
    }
    next.call(2, "ping");
    await next.control("result");
    expect((await show(world, job)).holders).toBe(MAX_CHANNELS);
  });

  test("disturbs no hold that is not taken up again yet", async () => {
    await using world = await setup();
    const jobs = [crypto.randomUUID(), crypto.randomUUID()] as const;
    const holders = [crypto.randomUUID(), crypto.randomUUID()] as const;
    const first = await RawClient.upgrade(world.server);
    first.hello();
    const welcome = await first.control("welcome");
    const script = "echo one; while [ ! -e go ]; do sleep 0.02; done; echo two; sleep 600";
    for (const [index, job] of jobs.entries()) {
      const output = { channel: index + 1, holder: holders[index], limit: 1_000_000 };
      first.call(index + 1, "exec", { shell: script, cwd: world.home }, { job, output });
      await first.control("accepted");
      await eventually(async () => (await show(world, job)).next === 1, 30_000);
    }
    first[Symbol.dispose]();
    using next = await RawClient.upgrade(world.server);
    next.hello(toResume(welcome, 2));
    const again = await next.control("welcome");
    expect(again["session"]).toBe(welcome["session"]);
    next.text({ ...open(jobs[0], holders[0], 3), seq: 3 });
    writeFileSync(join(world.home, "go"), "");
    await eventually(async () => (await show(world, jobs[1])).next === 2, 30_000);
    // Credit for one channel has the server look at all of them.
    next.text({ type: "credit", channel: 3, received: 0, limit: 1_000_000 });
    next.call(3, "ping");
    await next.control("result");
    const said = next.received.flatMap((one) => (one.type === "control" ? [one.frame] : []));
    expect(said.filter(({ type }) => type === "broken")).toEqual([]);
  });
});
