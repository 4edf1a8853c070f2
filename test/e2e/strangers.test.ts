import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { networkInterfaces } from "node:os";
import { connect as connectTls } from "node:tls";
import { LOGIN_GRACE, MAX_STRANGERS } from "../../src/protocol/limits.ts";
import { createToken, formatToken } from "../../src/protocol/token.ts";
import { eventually } from "../support/eventually.ts";
import { type Answer, knock } from "../support/knock.ts";
import { privateBytes } from "../support/memory.ts";
import { RawClient } from "../support/raw.ts";
import { testIf } from "../support/test-if.ts";
import { openWorld, type World } from "../support/world.ts";

setDefaultTimeout(180_000);

const MiB = 1024 * 1024;

/** An address of this machine beyond loopback: whoever speaks from it to itself comes from there. */
const own = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .find(({ family, internal }) => family === "IPv4" && !internal)?.address;
const testBeyond = testIf(own !== undefined, "this machine has no IPv4 address beyond loopback");

/** A server that answers everywhere, in plain text unless told otherwise. */
async function setup(...args: string[]) {
  return serve(openWorld(), args);
}

async function serve(world: World, args: readonly string[]) {
  const { pid, listen } = await world.start("--listen", "127.0.0.1:0", "--listen", "0.0.0.0:0", ...args);
  const port = Number(String(listen[1]).split(":").at(-1));
  const { token } = world.local();
  return { ...world, pid, port, token, url: `http://127.0.0.1:${port}` };
}

const setupPlain = () => setup("--insecure");
const guess = () => ({ authorization: `Bearer ${formatToken(createToken())}` });
const refusals = (answers: readonly Answer[]) => answers.filter(({ status }) => status === 429).length;

/** A connection of somebody who has yet to say who he is. */
function dial(port: number, from: string, open: Set<Socket>): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port, localAddress: from });
    socket.on("connect", () => {
      open.add(socket);
      resolve(socket);
    });
    socket.on("error", reject);
    socket.on("close", () => open.delete(socket));
    socket.resume();
  });
}

/** Milliseconds that an answer takes at most, of five, over one connection. */
async function measure(client: RawClient, first: number): Promise<number> {
  let longest = 0;
  for (let call = first; call < first + 5; call++) {
    const began = performance.now();
    client.call(call, "ping");
    await client.control("result");
    longest = Math.max(longest, performance.now() - began);
  }
  return longest;
}

test("10,000 connections that say nothing are sent away but for a few, and nobody else notices (C4)", async () => {
  await using world = await setupPlain();
  using client = await RawClient.open(world);
  const usual = await measure(client, 1);
  const before = privateBytes(world.pid);
  const open = new Set<Socket>();
  let longest = 0;
  for (let round = 0; round < 20; round++) {
    const dialled = Array.from({ length: 500 }, (_, index) =>
      dial(world.port, `127.9.${round}.${index >> 1}`, open),
    );
    await Promise.allSettled(dialled);
    longest = Math.max(longest, await measure(client, 100 + 5 * round));
  }
  const grown = privateBytes(world.pid) - before;
  console.log(
    `An answer took ${usual.toFixed(1)} ms at most, ${longest.toFixed(1)} ms beside them; the server has ${Math.round(grown / MiB)} MiB more`,
  );
  expect(grown).toBeLessThan(64 * MiB);
  expect(longest).toBeLessThan(10 * usual + 2_000);
  await eventually(() => open.size <= MAX_STRANGERS, 30_000);
  expect((await world.farhand(["exec", "--", "echo", "here"])).stdout).toBe("here\n");
  for (const socket of open) socket.destroy();
});

testIf(Bun.which("prlimit") !== null, "there is no prlimit")(
  "A server whose descriptors are all taken by silent connections has them back in seconds (C6)",
  async () => {
    await using world = await serve(openWorld({ inside: ["prlimit", "--nofile=150:150"] }), ["--insecure"]);
    const open = new Set<Socket>();
    // What the server does not accept waits in the system's queue, connected as far as we can tell.
    await Promise.all(
      Array.from({ length: 300 }, (_, index) => dial(world.port, `127.9.0.${index % 250}`, open)),
    );
    await eventually(() => open.size < 50, 30_000);
    expect((await world.farhand(["exec", "--", "echo", "here"])).stdout).toBe("here\n");
    for (const socket of open) socket.destroy();
  },
);

describe("Guesses", () => {
  testBeyond(
    "from 2,000 addresses of one machine leave a valid user elsewhere alone, and the reverse (C7)",
    async () => {
      await using world = await setupPlain();
      const target = { url: `http://${own}:${world.port}`, token: world.token };
      using user = await RawClient.open(target);
      const usual = await measure(user, 1);
      const answers: Answer[] = [];
      let longest = 0;
      for (let third = 0; third < 20; third++) {
        const knocks = Array.from({ length: 100 }, (_, fourth) =>
          knock({ ...world, from: `127.9.${third}.${fourth + 1}`, headers: guess() }),
        );
        longest = Math.max(longest, await measure(user, 100 + 5 * third));
        answers.push(...(await Promise.all(knocks)));
      }
      console.log(
        `An answer took ${usual.toFixed(1)} ms at most, ${longest.toFixed(1)} ms beside the guesses`,
      );
      expect(refusals(answers)).toBeGreaterThan(1_800);
      expect(longest).toBeLessThan(10 * usual + 2_000);
      // Whoever comes anew from there is let in; where the guesses came from, a client is told why not.
      using _other = await RawClient.open(target);
      const refused = await world.farhand(["-H", world.url, "exec", "--", "true"], {
        env: { FARHAND_TOKEN: formatToken(createToken()) },
      });
      expect([refused.code, refused.stderr]).toEqual([
        125,
        expect.stringMatching(/^farhand: [^\n]*try again in \d+ s[^\n]*\n$/),
      ]);
    },
  );

  testBeyond("from an address where somebody works do not keep him from coming back", async () => {
    await using world = await setupPlain();
    const target = { url: `http://${own}:${world.port}`, token: world.token };
    const first = await RawClient.open(target);
    const guesses = () =>
      Promise.all(
        Array.from({ length: 50 }, () => knock({ url: target.url, from: own ?? "", headers: guess() })),
      );
    expect(refusals(await guesses())).toBe(0);
    first[Symbol.dispose]();
    expect(refusals(await guesses())).toBe(0);
    using _second = await RawClient.open(target);
    const posts = await Promise.all(
      Array.from({ length: 50 }, () =>
        knock({ url: target.url, from: own ?? "", path: "/v1/login", method: "POST", body: "{}" }),
      ),
    );
    expect(refusals(posts)).toBe(50);
  });
});

test("500 clients that come back from one address at once are let in, all of them (B12)", async () => {
  await using world = await setupPlain();
  const clients = await Promise.all(Array.from({ length: 500 }, () => RawClient.open(world)));
  await Promise.all(
    clients.map(async (client) => {
      client.call(1, "ping");
      await client.control("result");
    }),
  );
  for (const client of clients) client[Symbol.dispose]();
  using _another = await RawClient.open(world);
});

describe("Whoever has not said who he is within twenty seconds is sent away (C5)", () => {
  test("silent, or dripping his head, his TLS handshake or his body", async () => {
    await using plain = await setupPlain();
    await using secure = await setup();
    const open = new Set<Socket>();
    const closed = new Map<string, number>();
    const began = performance.now();
    const timers: Timer[] = [];
    const watch = (name: string, socket: Socket) =>
      socket.once("close", () => closed.set(name, performance.now() - began));
    const drip = (name: string, socket: Socket, head: string, drop: string) => {
      watch(name, socket);
      socket.on("error", () => {}); // its close follows
      socket.write(head);
      timers.push(setInterval(() => socket.writable && socket.write(drop), 500));
    };
    const head = "GET /v1/status HTTP/1.1\r\nHost: localhost\r\n";
    const post = `POST /v1/stop HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000\r\n`;
    drip("silent", await dial(plain.port, "127.1.0.1", open), "", "");
    drip("head", await dial(plain.port, "127.1.0.2", open), head, "X");
    drip("fields", await dial(plain.port, "127.1.0.3", open), head, "X: y\r\n");
    drip("line", await dial(plain.port, "127.1.0.4", open), "", "G");
    drip("body", await dial(plain.port, "127.1.0.5", open), `${post}\r\n`, " ");
    drip("silent behind TLS", await dial(secure.port, "127.1.0.6", open), "", "");
    // The beginning of a ClientHello of 512 bytes.
    drip(
      "handshake",
      await dial(secure.port, "127.1.0.7", open),
      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
      "x",
    );
    const shaken = connectTls({ host: "127.0.0.1", port: secure.port, rejectUnauthorized: false });
    drip("head behind TLS", shaken, head, "X");
    const bearer = `Authorization: Bearer ${plain.token}\r\n`;
    drip("body of a known user", await dial(plain.port, "127.1.0.8", open), `${post}${bearer}\r\n`, " ");
    await eventually(() => closed.size === 9, LOGIN_GRACE + 20_000);
    for (const timer of timers) clearInterval(timer);
    console.log(Object.fromEntries([...closed].map(([name, ms]) => [name, Math.round(ms / 1_000)])));
    expect((await plain.status()).pid).toBe(plain.pid);
    expect((await secure.status()).pid).toBe(secure.pid);
  });
});
