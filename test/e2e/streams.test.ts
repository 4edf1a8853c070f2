import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { openFakeServer } from "../support/fake-server.ts";
import { openGauge } from "../support/memory.ts";
import { cutAtRandom, openProxy } from "../support/proxy.ts";
import { RawClient } from "../support/raw.ts";
import { toRecord } from "../support/server-peer.ts";
import { isRunning, openWorld } from "../support/world.ts";

setDefaultTimeout(120_000);

const MiB = 1024 * 1024;

async function setup() {
  const world = openWorld();
  const status = await world.start();
  return {
    ...world,
    address: String(status.listen[0]),
    env: { FARHAND_TOKEN: world.local().token },
    front: status.pid,
  };
}

function hash(bytes: Uint8Array | string): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

describe("What a foreground call says and takes", () => {
  test("comes whole and once over a connection that is cut again and again", async () => {
    await using world = await setup();
    const sent = randomBytes(6 * MiB);
    writeFileSync(join(world.home, "sent"), sent);
    await using proxy = await openProxy(world.address, cutAtRandom(512 * 1024));
    const line = `farhand -H ${proxy.address} --connect-timeout 20s --heartbeat 1s rdfile "$PWD/sent" | sha256sum`;
    const ran = await world.shell(line, { env: world.env });
    expect(ran).toEqual({ code: 0, signal: null, stdout: `${hash(sent)}  -\n`, stderr: "" });
    expect(proxy.connections.length).toBeGreaterThan(8);
  });

  test("is one event after another over such a connection too", async () => {
    await using world = await setup();
    const names = Array.from({ length: 5_000 }, (_, i) => `name-${String(i).padStart(5, "0")}`);
    mkdirSync(join(world.home, "many"));
    for (const name of names) writeFileSync(join(world.home, "many", name), "");
    await using proxy = await openProxy(world.address, cutAtRandom(150 * 1024));
    const words = ["-H", proxy.address, "--connect-timeout", "20s", "--heartbeat", "1s"];
    const options = { env: world.env };
    const { code, stdout } = await world.farhand([...words, "ls", join(world.home, "many")], options);
    expect([code, stdout]).toEqual([0, names.map((name) => `${name}\n`).join("")]);
    expect(proxy.connections.length).toBeGreaterThan(1);
  });

  test("is written whole and once where its connection is cut again and again", async () => {
    await using world = await setup();
    const sent = randomBytes(6 * MiB);
    writeFileSync(join(world.home, "sent"), sent);
    await using proxy = await openProxy(world.address, cutAtRandom(512 * 1024));
    const line = `farhand -H ${proxy.address} --connect-timeout 20s --heartbeat 1s wrfile "$PWD/came" < sent`;
    expect((await world.shell(line, { env: world.env })).code).toBe(0);
    expect(hash(readFileSync(join(world.home, "came")))).toBe(hash(sent));
    expect(proxy.connections.length).toBeGreaterThan(8);
  });

  test("waits on the server, in bounded memory, for a client that reads nothing", async () => {
    await using world = await setup();
    writeFileSync(join(world.home, "big"), Buffer.alloc(256 * MiB));
    using gauge = openGauge([world.front]);
    const { stdout } = await world.shell('farhand rdfile "$PWD/big" | (sleep 4; wc -c)');
    expect(stdout.trim()).toBe(String(256 * MiB));
    expect(Math.max(...gauge.peaks())).toBeLessThan(64 * MiB);
  });

  test("fails with a reason, and not short and successful, when the server dies of it", async () => {
    await using world = await setup();
    writeFileSync(join(world.home, "big"), Buffer.alloc(64 * MiB));
    const reader = "(head -c 1000 > begun; until [ -e go ]; do sleep 0.1; done; cat > rest)";
    const client = world.open(["bash", "-c", `set -o pipefail; farhand rdfile "$PWD/big" | ${reader}`]);
    const begun = join(world.home, "begun");
    await eventually(() => existsSync(begun) && statSync(begun).size === 1_000);
    process.kill(world.front, "SIGKILL");
    await eventually(() => !isRunning(world.front));
    await world.start();
    writeFileSync(join(world.home, "go"), "");
    const { code, stderr } = await client.ran;
    expect(code).toBe(125);
    expect(stderr).toContain("the server was restarted before it answered");
  });

  test("is given up on the server when its reader leaves, and when a signal ends its client", async () => {
    await using world = await setup();
    writeFileSync(join(world.home, "big"), Buffer.alloc(64 * MiB));
    const isOpen = () => openFiles(world.front).some((path) => path === join(world.home, "big"));
    expect((await world.shell('farhand rdfile "$PWD/big" | head -c 10 | wc -c')).stdout.trim()).toBe("10");
    await eventually(() => !isOpen());
    const client = world.open(["bash", "-c", 'farhand rdfile "$PWD/big" | (touch begun; sleep 60)']);
    await eventually(() => isOpen());
    for (const pid of world.processes(/^farhand rdfile/)) process.kill(pid, "SIGINT");
    await eventually(() => !isOpen());
    for (const pid of world.processes(/^sleep/)) process.kill(pid, "SIGKILL");
    expect((await client.ran).stderr).not.toContain("farhand:");
  });
});

describe("The end of what a call says", () => {
  test("is told in its answer too, however it ended: how many packets there are", async () => {
    await using world = await setup();
    mkdirSync(join(world.home, "few"));
    for (const name of ["a", "b", "c"]) writeFileSync(join(world.home, "few", name), "");
    using client = await RawClient.open(world.local());
    const events = (channel: number) => ({ events: { channel, limit: 1_000_000 } });
    client.call(1, "ls", { paths: [join(world.home, "few")] }, events(1));
    expect(await client.control("result")).toMatchObject({ call: 1, packets: 3 });
    client.call(2, "ls", { paths: [join(world.home, "none")] }, events(2));
    expect(await client.control("failed")).toMatchObject({ call: 2, packets: 0 });
    client.call(3, "ls", { paths: [join(world.home, "few")] });
    expect(await client.control("result")).not.toHaveProperty("packets"); // nobody listened
  });

  test.each([
    ["all that the answer tells of had come, which is whole", 1, { code: 0, stderr: "" }],
    ["something had not, which is said", 2, { code: 125, stderr: expect.stringContaining("incomplete") }],
  ] as const)(
    "need not come from a server that is killed, and restarted, when %s",
    async (_when, packets, how) => {
      await using world = openWorld();
      await using server = openFakeServer({
        answer(frame, peer) {
          if (frame.type === "hello") peer.welcome(); // each connection finds another server
          if (frame.type !== "call" || frame.events === undefined) return;
          const value = { size: 4, offset: 0, bytes: 4, changed: false };
          peer.say({ type: "result", call: frame.call, result: { encoding: "json", value }, packets });
          peer.data(frame.events.channel, toRecord("stdout", 0, "here"));
        },
      });
      await using proxy = await openProxy(`127.0.0.1:${server.port}`);
      const argv = ["farhand", "-H", proxy.address, "rdfile", "/x"];
      const reader = world.open(argv, { env: { FARHAND_TOKEN: "x" } });
      await eventually(() => reader.said() === "here");
      proxy.reset();
      expect(await reader.ran).toMatchObject({ stdout: "here", ...how });
      expect(server.peers.flatMap((peer) => peer.of("call"))).toHaveLength(1);
    },
  );

  test("heard of over the next connection only is none yet: the client asks on, and gets it all", async () => {
    await using world = await setup();
    mkdirSync(join(world.home, "few"));
    for (const name of ["a", "b", "c"]) writeFileSync(join(world.home, "few", name), "");
    const target = world.local();
    const first = await RawClient.upgrade(target);
    first.hello();
    const { session, generation, resume: token } = await first.control("welcome");
    first.call(1, "ls", { paths: [join(world.home, "few")] }, { events: { channel: 1, limit: 1_000_000 } });
    await first.control("end");
    first[Symbol.dispose]();
    using second = await RawClient.upgrade(target);
    second.hello({ resume: { session, generation, token } });
    await second.control("welcome");
    second.text({ type: "ack", ack: 0 });
    const { seq } = await second.control("end");
    second.text({ type: "ack", ack: seq });
    second.text({ type: "open_events", seq: 2, channel: 2, call: 1, since: 0, limit: 1_000_000 });
    second.text({ type: "close", seq: 3, channel: 1 });
    const bytes = await second.next((received) => (received.type === "data" ? received.bytes : undefined));
    expect(Buffer.from(bytes).toString()).toContain('"name":"c"');
    expect(await second.control("end", "broken")).toMatchObject({ type: "end", channel: 2 });
    // It is forgotten once that is acknowledged.
    second.text({ type: "ack", ack: Number(seq) + 1 });
    second.text({ type: "open_events", seq: 4, channel: 3, call: 1, since: 3, limit: 1_000_000 });
    expect(await second.control("broken")).toMatchObject({ channel: 3, error: { code: "not_found" } });
  });
});

/** Paths of what a process has open. */
function openFiles(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      return []; // closed meanwhile
    }
  });
}
