import { describe, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { createLog } from "../../../src/lib/log.ts";
import { openSockets } from "../../../src/process/sockets.ts";
import { MAX_SOURCE_STRANGERS } from "../../../src/protocol/limits.ts";
import { createToken, formatToken } from "../../../src/protocol/token.ts";
import { Gate } from "../../../src/server/gate/gate.ts";
import { eventually } from "../../support/eventually.ts";
import { testIf } from "../../support/test-if.ts";

const log = createLog({ level: "error", format: "text", write: () => {}, now: () => new Date() });
const own = formatToken(createToken());

function setup() {
  const controller = new AbortController();
  const gate = new Gate({
    log,
    isOwn: (token) => token === own,
    onPenalized: () => {},
    signal: controller.signal,
  });
  const request = (token?: string, rest: RequestInit = {}) =>
    new Request("http://server/v1/status", {
      ...(token !== undefined && { headers: { authorization: `Bearer ${token}` } }),
      ...rest,
    });
  const from = (address: string) => ({ address, port: 1 });
  const guess = (address: string, times = 1) => {
    for (let time = 0; time < times; time++) gate.knock(request(crypto.randomUUID()), from(address)).fail();
  };
  const wait = (address: string, token: string | undefined = crypto.randomUUID(), rest?: RequestInit) =>
    gate.knock(request(token, rest), from(address)).wait;
  /** A password or an invitation is presented, and perhaps a token besides. */
  const trade = (address: string, token?: string) => {
    const visit = gate.knock(request(token, { method: "POST" }), from(address));
    visit.trade();
    return visit;
  };
  return { gate, request, guess, wait, trade, [Symbol.dispose]: () => controller.abort() };
}

describe("The gate", () => {
  test("shuts out whoever guesses, with his /64 if he has one, and nobody else", () => {
    using world = setup();
    world.guess("2001:db8:1:2::1", 4);
    world.guess("192.0.2.1", 4);
    const waits = ["2001:db8:1:2:ffff::9", "2001:db8:1:3::1", "::ffff:192.0.2.1", "192.0.2.2"].map(
      (address) => world.wait(address),
    );
    expect(waits.map((wait) => wait > 0)).toEqual([true, false, true, false]);
  });

  test("shuts nobody out who presents nothing: any page can have a browser do that", () => {
    using world = setup();
    for (let time = 0; time < 100; time++)
      world.gate.knock(world.request(), { address: "192.0.2.1", port: 1 }).fail();
    expect(world.wait("192.0.2.1")).toBe(0);
  });

  test.each([undefined, "the-same"])(
    "counts each password and invitation, whatever token is shown besides",
    (token) => {
      using world = setup();
      for (let time = 0; time < 4; time++) world.trade("192.0.2.1", token).fail();
      expect(world.wait("192.0.2.1")).toBeGreaterThan(0);
    },
  );

  test("counts tickets", () => {
    using world = setup();
    for (let time = 0; time < 4; time++) {
      const headers = { "sec-websocket-protocol": `farhand.v1, farhand.ticket.${crypto.randomUUID()}` };
      world.gate.knock(world.request(undefined, { headers }), { address: "192.0.2.1", port: 1 }).fail();
    }
    expect(world.wait("192.0.2.1")).toBeGreaterThan(0);
  });

  test("looks at the token of this start from loopback, whatever else came from there, and from nowhere else", () => {
    using world = setup();
    for (const address of ["127.0.0.1", "192.0.2.1"]) world.guess(address, 10);
    expect([world.wait("127.0.0.1", own), world.wait("127.77.0.1", own), world.wait("::1", own)]).toEqual([
      0, 0, 0,
    ]);
    expect([world.wait("127.0.0.1") > 0, world.wait("192.0.2.1", own) > 0]).toEqual([true, true]);
  });

  test("never shuts a Unix socket, which only one user reaches", () => {
    using world = setup();
    for (let time = 0; time < 100; time++) world.gate.knock(world.request(crypto.randomUUID()), null).fail();
    expect(world.gate.knock(world.request(crypto.randomUUID()), null).wait).toBe(0);
  });

  test("looks at tokens from where somebody is let in, and at nothing else from there", () => {
    using world = setup();
    const presence = world.gate.enter("192.0.2.1");
    world.guess("192.0.2.1", 20);
    presence[Symbol.dispose]();
    expect(world.wait("192.0.2.1")).toBe(0);
    expect(world.gate.knock(world.request(), { address: "192.0.2.1", port: 1 }).wait).toBeGreaterThan(0);
    expect(world.trade("192.0.2.1").wait).toBeGreaterThan(0);
    expect(world.trade("192.0.2.1", crypto.randomUUID()).wait).toBeGreaterThan(0);
  });
});

testIf(openSockets() !== undefined, "this system offers no way to a process's own sockets")(
  "The gate sends silent connections away, all but a few of each source, and lets those that speak go on (C4)",
  async () => {
    using world = setup();
    using server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      idleTimeout: 60,
      fetch(request, server) {
        const visit = world.gate.knock(request, server.requestIP(request));
        if (request.url.endsWith("/in")) visit.admit();
        return new Response("ok");
      },
    });
    world.gate.watch(server.port ?? 0);
    const open = new Set<Socket>();
    const dial = () =>
      new Promise<Socket>((resolve) => {
        const socket = connect({ host: "127.0.0.1", port: server.port ?? 0 });
        open.add(socket);
        socket.on("connect", () => resolve(socket));
        socket.on("error", () => {});
        socket.on("close", () => open.delete(socket));
        socket.resume();
      });
    const friend = await dial();
    friend.write("GET /in HTTP/1.1\r\nHost: x\r\n\r\n");
    // Fewer at once than the 512 that wait to be accepted: of what comes beyond, the kernel forgets some that their clients take for
    // open, and nobody ever closes those.
    for (let batch = 0; batch < 8; batch++) await Promise.all(Array.from({ length: 250 }, dial));
    for (let round = 0; round < 10; round++)
      expect(await (await fetch(server.url, { headers: { connection: "close" } })).text()).toBe("ok");
    await eventually(() => open.size <= MAX_SOURCE_STRANGERS + 1, 30_000);
    expect(open.has(friend)).toBe(true);
    for (const socket of open) socket.destroy();
  },
  60_000,
);
