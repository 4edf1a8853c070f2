import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { connect, createServer, type Socket } from "node:net";
import { eventually } from "./eventually.ts";
import { openProxy } from "./proxy.ts";

setDefaultTimeout(30_000);

/** One end of a TCP connection, and everything that happened to it. */
interface End {
  readonly socket: Socket;
  readonly heard: () => Buffer;
  /** "end" for a FIN, else the error's code. */
  readonly events: readonly string[];
}

function watch(socket: Socket): End {
  const chunks: Buffer[] = [];
  const events: string[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.on("end", () => events.push("end"));
  socket.on("error", (error) => events.push("code" in error ? String(error.code) : error.message));
  socket.on("close", () => events.push("close"));
  return { socket, heard: () => Buffer.concat(chunks), events };
}

function dial(port: number): End {
  return watch(connect({ host: "127.0.0.1", port, allowHalfOpen: true }));
}

/** A server that keeps its ends, and a proxy before it. */
async function setup(faults?: Parameters<typeof openProxy>[1]) {
  const served: End[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => served.push(watch(socket)));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("The server has no port");
  const proxy = await openProxy(`127.0.0.1:${address.port}`, faults);
  const clients: End[] = [];
  /** Connects, and resolves with both ends. */
  const open = async () => {
    const client = dial(proxy.port);
    clients.push(client);
    const index = clients.length - 1;
    await eventually(() => served.length === clients.length && proxy.connections.length === clients.length);
    const end = served[index];
    if (end === undefined) throw new Error("The server knows no such connection");
    return { client, server: end, connection: await proxy.connection(index) };
  };
  return {
    proxy,
    open,
    async [Symbol.asyncDispose]() {
      for (const { socket } of [...clients, ...served]) socket.destroy();
      await proxy[Symbol.asyncDispose]();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** Long enough for loopback to carry what it would carry. */
const MOMENT = 100;

describe("openProxy()", () => {
  test("passes everything both ways, in order", async () => {
    await using world = await setup();
    const { client, server } = await world.open();
    const there = randomBytes(8_000_000);
    const back = randomBytes(3_000_000);
    client.socket.end(there);
    server.socket.end(back);
    await eventually(() => client.events.includes("close") && server.events.includes("close"));
    expect([server.heard().equals(there), client.heard().equals(back)]).toEqual([true, true]);
    expect([client.events, server.events]).toEqual([
      ["end", "close"],
      ["end", "close"],
    ]);
    await (
      await world.proxy.connection(0)
    ).closed;
    expect(world.proxy.connections.map(({ isOpen, lanes }) => [isOpen, lanes.toServer.forwarded])).toEqual([
      [false, there.length],
    ]);
  });

  test("passes the end of one direction while the other goes on", async () => {
    await using world = await setup();
    const { client, server } = await world.open();
    client.socket.end("last");
    await eventually(() => server.events.includes("end"));
    server.socket.write("still here");
    await eventually(() => String(client.heard()) === "still here");
    expect(client.events).toEqual([]);
  });

  test("passes a reset on as a reset", async () => {
    await using world = await setup();
    const { client, server } = await world.open();
    client.socket.resetAndDestroy();
    await eventually(() => server.events.includes("ECONNRESET"));
  });

  test("resets a client of a server that is not there, and leads to another as told", async () => {
    await using world = await setup();
    const { target } = world.proxy;
    world.proxy.target = "127.0.0.1:1";
    const refused = dial(world.proxy.port);
    await eventually(() => refused.events.includes("ECONNRESET"));
    world.proxy.target = target;
    await world.open();
  });

  test.each(["toServer", "toClient"] as const)(
    "black-holes %s: nothing passes until it heals",
    async (direction) => {
      await using world = await setup();
      const { client, server } = await world.open();
      const [from, to] = direction === "toServer" ? [client, server] : [server, client];
      world.proxy.blackhole(direction);
      from.socket.end("held");
      to.socket.write("passes");
      await eventually(() => String(from.heard()) === "passes");
      await Bun.sleep(MOMENT);
      expect([String(to.heard()), to.events]).toEqual(["", []]);
      world.proxy.heal();
      await eventually(() => to.events.includes("end"));
      expect(String(to.heard())).toBe("held");
    },
  );

  test("black-holes both ways, new connections too, and tells nobody that the other side is gone", async () => {
    await using world = await setup();
    const { client, server } = await world.open();
    world.proxy.blackhole();
    const { client: late } = await world.open();
    late.socket.write("hello");
    server.socket.resetAndDestroy();
    await Bun.sleep(MOMENT);
    expect([client.events, late.events, String(late.heard())]).toEqual([[], [], ""]);
    world.proxy.heal();
    await eventually(() => client.events.includes("ECONNRESET"));
  });

  test("black-holes one connection and not the next", async () => {
    await using world = await setup();
    const { client, connection, server } = await world.open();
    connection.blackhole();
    client.socket.write("lost");
    const next = await world.open();
    next.client.socket.write("found");
    await eventually(() => String(next.server.heard()) === "found");
    expect(String(server.heard())).toBe("");
  });

  test("reads no more than it can hold of what it does not forward", async () => {
    await using world = await setup();
    const { client, server } = await world.open();
    world.proxy.blackhole("toServer");
    const bytes = randomBytes(64 * 1024 * 1024);
    client.socket.end(bytes);
    await Bun.sleep(MOMENT);
    // The kernel's buffers take some MiB; the rest has nowhere to go.
    expect(client.socket.writableLength).toBeGreaterThan(bytes.length / 2);
    world.proxy.heal();
    await eventually(() => server.events.includes("end"));
    expect(server.heard().equals(bytes)).toBe(true);
  });

  test("half-closes one direction, and drops what comes there later", async () => {
    await using world = await setup();
    const { client, server, connection } = await world.open();
    connection.halfClose("toServer");
    await eventually(() => server.events.includes("end"));
    client.socket.write("too late");
    server.socket.write("on time");
    await eventually(() => String(client.heard()) === "on time");
    expect([String(server.heard()), client.events]).toEqual(["", []]);
  });

  test("resets both sides: each sees ECONNRESET", async () => {
    await using world = await setup();
    const { client, server } = await world.open();
    world.proxy.reset();
    await eventually(() => client.events.includes("close") && server.events.includes("close"));
    expect([client.events, server.events]).toEqual([
      ["ECONNRESET", "close"],
      ["ECONNRESET", "close"],
    ]);
  });

  test("cuts both sides by FIN", async () => {
    await using world = await setup();
    const { client, server } = await world.open();
    world.proxy.cut();
    await eventually(() => client.events.includes("end") && server.events.includes("end"));
  });

  test.each([0, 1, 999, 70_000])("cuts after the byte it was told: %d more before it", async (before) => {
    await using world = await setup((index) => (index === 1 ? { cutToServer: before + 1 } : {}));
    const bytes = randomBytes(100_000);
    const whole = await world.open();
    whole.client.socket.write(bytes);
    await eventually(() => whole.server.heard().equals(bytes));
    const { client, server } = await world.open();
    client.socket.write(bytes);
    await eventually(() => server.events.includes("end"));
    expect(server.heard().equals(bytes.subarray(0, before + 1))).toBe(true);
    expect(whole.server.events).toEqual([]);
  });

  test("cuts by a reset where it is told so", async () => {
    await using world = await setup({ cutToClient: 10, cutBy: "reset" });
    const { client, server } = await world.open();
    server.socket.write("x".repeat(1_000));
    await eventually(() => client.events.includes("ECONNRESET") && server.events.includes("ECONNRESET"));
    expect(client.heard().length).toBeLessThanOrEqual(10);
  });

  test("flips a bit at an offset, and nothing else", async () => {
    await using world = await setup({ flipToClient: { offset: 70_000, bits: 0b100 } });
    const { client, server } = await world.open();
    const bytes = randomBytes(200_000);
    server.socket.end(bytes);
    await eventually(() => client.events.includes("end"));
    bytes[70_000] = (bytes[70_000] ?? 0) ^ 0b100;
    expect(client.heard().equals(bytes)).toBe(true);
  });

  test("delays what passes, with jitter, and keeps the order", async () => {
    await using world = await setup();
    world.proxy.shape({ delay: 150, jitter: 50 }, "toServer");
    const { client, server } = await world.open();
    const words = Array.from({ length: 20 }, (_, index) => `${index} `);
    const began = performance.now();
    for (const word of words) {
      client.socket.write(word);
      await Bun.sleep(1);
    }
    await eventually(() => String(server.heard()) === words.join(""));
    expect(performance.now() - began).toBeGreaterThanOrEqual(150);
  });

  test("throttles, and stops reading from the source meanwhile", async () => {
    await using world = await setup();
    world.proxy.shape({ bytesPerSecond: 200_000 });
    const { client, server } = await world.open();
    const bytes = randomBytes(32 * 1024 * 1024);
    const began = performance.now();
    client.socket.end(bytes);
    await eventually(() => server.heard().length > 100_000);
    expect(performance.now() - began).toBeGreaterThanOrEqual(450);
    expect(client.socket.writableLength).toBeGreaterThan(bytes.length / 2);
    world.proxy.heal();
    await eventually(() => server.events.includes("end"));
    expect(server.heard().equals(bytes)).toBe(true);
  });

  test("refuses new connections while old ones go on, and accepts again on the same port", async () => {
    await using world = await setup();
    const { client, server } = await world.open();
    world.proxy.refuse();
    const refused = dial(world.proxy.port);
    await eventually(() => refused.events.includes("ECONNREFUSED"));
    client.socket.write("goes on");
    await eventually(() => String(server.heard()) === "goes on");
    world.proxy.accept();
    await world.open();
  });

  test("resets what is left when it is disposed", async () => {
    await using world = await setup();
    const { client, server } = await world.open();
    await world.proxy[Symbol.asyncDispose]();
    await eventually(() => client.events.includes("ECONNRESET") && server.events.includes("ECONNRESET"));
  });
});
