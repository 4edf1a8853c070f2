import { describe, expect } from "bun:test";
import { connect, type Socket } from "node:net";
import { once } from "node:events";
import { toCanonicalAddress } from "../../src/lib/address.ts";
import { openSockets } from "../../src/process/sockets.ts";
import { eventually } from "../support/eventually.ts";
import { testIf } from "../support/test-if.ts";

const sockets = openSockets();
const test = testIf(sockets !== undefined, "this system offers no way to a process's own sockets");

async function setup(hostname: string) {
  const server = Bun.serve({
    hostname,
    port: 0,
    fetch: (request, server) => {
      const from = server.requestIP(request);
      return new Response(`${toCanonicalAddress(from?.address ?? "")} ${from?.port}`);
    },
  });
  const open: Socket[] = [];
  const dial = async (host: string) => {
    const socket = connect({ host, port: server.port ?? 0 });
    open.push(socket);
    await once(socket, "connect");
    return socket;
  };
  const list = async () => (await sockets?.list(new Set([server.port ?? 0]))) ?? [];
  return {
    server,
    dial,
    list,
    [Symbol.dispose]() {
      for (const socket of open) socket.destroy();
      server.stop(true);
    },
  };
}

describe("Sockets", () => {
  for (const [hostname, from] of [
    ["127.0.0.1", "127.0.0.1"],
    ["::", "::1"],
    ["::", "127.0.0.1"],
  ] as const)
    test(`list what came in on ${hostname} from ${from}, in the words that requests have for it`, async () => {
      using world = await setup(hostname);
      const silent = await world.dial(from);
      await eventually(async () => (await world.list()).length === 1);
      silent.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      const [answer] = await once(silent, "data");
      const [accepted] = await world.list();
      expect(String(answer).split("\r\n\r\n")[1]).toBe(accepted?.peer ?? "none");
    });

  test("list nothing of another port, and nothing that this process has opened itself", async () => {
    using one = await setup("127.0.0.1");
    using other = await setup("127.0.0.1");
    await one.dial("127.0.0.1");
    await eventually(async () => (await one.list()).length === 1);
    expect(await other.list()).toEqual([]);
  });

  test("end one both ways, and nothing whose number went to another", async () => {
    using world = await setup("127.0.0.1");
    const socket = await world.dial("127.0.0.1");
    socket.resume();
    await eventually(async () => (await world.list()).length === 1);
    const [accepted] = await world.list();
    if (accepted === undefined) throw new Error("It is gone");
    sockets?.end({ ...accepted, peer: "192.0.2.1 1" });
    socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    await once(socket, "data");
    const ended = once(socket, "end");
    sockets?.end(accepted);
    await ended;
    await eventually(async () => (await world.list()).length === 0);
    sockets?.end(accepted);
  });

  test("list thousands without keeping others waiting", async () => {
    using world = await setup("127.0.0.1");
    // No more at once than a system lets wait until they are accepted.
    for (let batch = 0; batch < 20; batch++)
      await Promise.all(Array.from({ length: 100 }, () => world.dial("127.0.0.1")));
    await eventually(async () => (await world.list()).length === 2_000);
    let [isListed, looked, most] = [false, 0, 0];
    const count = () => {
      looked = 0;
      if (!isListed) setImmediate(count);
    };
    setImmediate(count);
    const ports = new (class extends Set<number> {
      override has(port: number): boolean {
        most = Math.max(most, ++looked);
        return super.has(port);
      }
    })([world.server.port ?? 0]);
    expect(await sockets?.list(ports)).toHaveLength(2_000);
    isListed = true;
    expect(most).toBeLessThanOrEqual(256);
  });
});
