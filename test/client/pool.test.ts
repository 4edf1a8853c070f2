import { describe, expect, test } from "bun:test";
import { Pool } from "../../src/client/pool.ts";
import { eventually } from "../support/eventually.ts";
import { openFakeServer } from "../support/fake-server.ts";

describe("Pool", () => {
  test("talks to two servers at once, each with its own token", async () => {
    await using one = openFakeServer({ token: "one" });
    await using two = openFakeServer({ token: "two" });
    await using pool = new Pool({});
    const [first, second] = await Promise.all([
      pool.add("127.0.0.1", { port: one.port, token: "one" }).connect(),
      pool.add(two.url, { token: "two" }).connect(),
    ]);
    expect(await first.ping()).toBeGreaterThan(0);
    expect(await second.heartbeat()).toBe(true);
    expect([one.peers.length, two.peers.length]).toEqual([1, 1]);
  });

  test("knows a server by its address", () => {
    const pool = new Pool({});
    expect(pool.add("web1")).toBe(pool.add("web1:9922"));
    expect(pool.add("web1")).not.toBe(pool.add("web1", { port: 1 }));
    expect(() => pool.add("web1", { token: "other" })).toThrow("another token");
  });

  test("opens one connection, however often it is asked", async () => {
    await using server = openFakeServer();
    await using pool = new Pool({});
    const member = pool.add(server.url, { token: "t" });
    const [a, b] = await Promise.all([member.connect(), member.connect()]);
    expect(a).toBe(b);
    expect(await member.connect()).toBe(a);
    expect(server.peers).toHaveLength(1);
  });

  test("connects again after a disconnect, and after the server has gone and come back", async () => {
    const server = openFakeServer();
    await using pool = new Pool({});
    const member = pool.add(server.url, { token: "t" });
    const first = await member.connect();
    await member.disconnect();
    expect(await first.heartbeat()).toBe(false);
    await eventually(() => server.peers[0]?.of("goodbye").length === 1);
    const second = await member.connect({ reconnect: 0 });
    expect(await second.heartbeat()).toBe(true);
    await server[Symbol.asyncDispose]();
    await eventually(() => second.ended.aborted);
    expect(await second.heartbeat({ timeout: 100 })).toBe(false);
    const connecting = member.connect({ timeout: 20_000 });
    await using _again = openFakeServer({ port: server.port });
    expect(await (await connecting).heartbeat()).toBe(true);
  });

  test("connects where the first connections break off before the welcome", async () => {
    await using server = openFakeServer({ cuts: 1 });
    await using pool = new Pool({});
    const member = pool.add(server.url, { token: "t" });
    expect(await (await member.connect({ timeout: 20_000 })).heartbeat()).toBe(true);
    expect(server.peers).toHaveLength(2);
  });

  test("closes every connection with itself, and opens none afterwards", async () => {
    await using server = openFakeServer();
    const pool = new Pool({});
    const member = pool.add(server.url, { token: "t" });
    const connection = await member.connect();
    await pool.close();
    expect(connection.ended.aborted).toBe(true);
    await expect(member.connect()).rejects.toThrow("it was closed");
    expect(pool.add(server.url)).not.toBe(member);
  });

  test("stops connecting when it is closed", async () => {
    const silent = Bun.listen({ port: 0, hostname: "127.0.0.1", socket: { data() {} } });
    const pool = new Pool({});
    const connecting = pool.add("127.0.0.1", { port: silent.port, token: "t" }).connect({ timeout: 60_000 });
    await pool.close();
    await expect(connecting).rejects.toThrow("it was closed");
    silent.stop(true);
  });

  test("closes a connection that leaves its block", async () => {
    await using server = openFakeServer();
    const pool = new Pool({});
    {
      await using _connection = await pool.add(server.url, { token: "t" }).connect();
    }
    await eventually(() => server.peers[0]?.closed?.code === 1000);
  });
});

test("heartbeat() answers false for a server that is stopped, and never throws", async () => {
  await using server = openFakeServer({
    answer: (frame, peer) => {
      if (frame.type === "hello") peer.welcome();
    },
  });
  await using connection = await new Pool({}).add(server.url, { token: "t" }).connect();
  expect(await connection.heartbeat({ timeout: 50 })).toBe(false);
});
