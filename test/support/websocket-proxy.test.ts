import { expect, setDefaultTimeout, test } from "bun:test";
import { eventually } from "./eventually.ts";
import { type PassingFrame, type Verdict, openWebSocketProxy } from "./websocket-proxy.ts";

setDefaultTimeout(30_000);

/** A server that keeps what it hears and says what it is told to, a proxy before it, and clients that keep what they hear. */
async function setup(rule?: (frame: PassingFrame) => Verdict) {
  const heard: string[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request, server) {
      if (new URL(request.url).pathname === "/plain") return new Response("x".repeat(100_000));
      return server.upgrade(request) ? undefined : new Response("no", { status: 401 });
    },
    websocket: {
      message: (socket, message) => {
        heard.push(toText(message));
        socket.send(message);
      },
    },
  });
  const proxy = await openWebSocketProxy(`127.0.0.1:${server.port}`, rule);
  const sockets: WebSocket[] = [];
  const open = async () => {
    const socket = new WebSocket(`ws://${proxy.address}/`);
    sockets.push(socket);
    const answers: string[] = [];
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => answers.push(toText(data));
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = reject;
    });
    return { socket, answers };
  };
  return {
    proxy,
    heard,
    open,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.terminate();
      await proxy[Symbol.asyncDispose]();
      await server.stop(true);
    },
  };
}

function toText(message: string | ArrayBuffer | Uint8Array): string {
  return typeof message === "string" ? message : `binary of ${message.byteLength}`;
}

/** Acts on the frames that one direction carries at an index. */
function at(direction: PassingFrame["direction"], index: number, verdict: Verdict) {
  return (frame: PassingFrame): Verdict =>
    frame.direction === direction && frame.index === index ? verdict : "pass";
}

test.each([
  ["pass", ["a", "b", "c"]],
  ["drop", ["a", "c"]],
  ["duplicate", ["a", "b", "b", "c"]],
  ["swap", ["a", "c", "b"]],
] as const)("openWebSocketProxy() lets a client's frame %s", async (verdict, expected) => {
  await using world = await setup(at("toServer", 1, verdict));
  const { socket, answers } = await world.open();
  for (const word of ["a", "b", "c"]) socket.send(word);
  await eventually(() => answers.length === expected.length);
  expect([world.heard, answers]).toEqual([[...expected], [...expected]]);
});

test.each([
  ["drop", ["a", "c"]],
  ["duplicate", ["a", "b", "b", "c"]],
  ["swap", ["a", "c", "b"]],
] as const)("openWebSocketProxy() lets a server's frame %s", async (verdict, expected) => {
  await using world = await setup(at("toClient", 1, verdict));
  const { socket, answers } = await world.open();
  for (const word of ["a", "b", "c"]) socket.send(word);
  await eventually(() => answers.length === expected.length);
  expect([world.heard, answers]).toEqual([["a", "b", "c"], [...expected]]);
});

test("openWebSocketProxy() passes frames of every size as they are", async () => {
  await using world = await setup();
  const { socket, answers } = await world.open();
  const sizes = [0, 125, 126, 65_535, 65_536, 1_000_000];
  for (const size of sizes) socket.send(new Uint8Array(size));
  for (const size of sizes) socket.send("x".repeat(size));
  await eventually(() => answers.length === 2 * sizes.length);
  expect(answers.slice(0, sizes.length)).toEqual(sizes.map((size) => `binary of ${size}`));
  expect(answers.slice(sizes.length).map(({ length }) => length)).toEqual(sizes);
});

test("openWebSocketProxy() judges by what a frame says, and the rule may change at any time", async () => {
  await using world = await setup(({ json }) => (json?.["type"] === "call" ? "drop" : "pass"));
  const { socket, answers } = await world.open();
  socket.send('{"type":"call"}');
  socket.send("no JSON");
  await eventually(() => answers.length === 1);
  world.proxy.rule = () => "pass";
  socket.send('{"type":"call"}');
  await eventually(() => answers.length === 2);
  expect(answers).toEqual(["no JSON", '{"type":"call"}']);
});

test("openWebSocketProxy() replays what an earlier connection said, between frames and in their place", async () => {
  await using world = await setup();
  const earlier = await world.open();
  earlier.socket.send("old");
  await eventually(() => earlier.answers.length === 1);
  const recorded = world.proxy.frames.filter(({ direction }) => direction === "toServer");
  const later = await world.open();
  world.proxy.replay(1, "toServer", recorded);
  await eventually(() => later.answers.length === 1);
  world.proxy.rule = (frame) =>
    frame.direction === "toServer" && frame.connection === 1 ? [...recorded, frame] : "pass";
  later.socket.send("new");
  await eventually(() => later.answers.length === 3);
  expect(later.answers).toEqual(["old", "old", "new"]);
});

test("openWebSocketProxy() leaves alone what is no WebSocket", async () => {
  await using world = await setup(() => "drop");
  const plain = await fetch(`http://${world.proxy.address}/plain`);
  expect((await plain.text()).length).toBe(100_000);
  expect((await fetch(`http://${world.proxy.address}/`)).status).toBe(401);
});
