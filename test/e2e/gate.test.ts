import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { createToken, formatToken } from "../../src/protocol/token.ts";
import { eventually } from "../support/eventually.ts";
import { encodeFrame, OPCODE } from "../support/frame.ts";
import { type Answer, knock, knockAndReset } from "../support/knock.ts";
import { privateBytes } from "../support/memory.ts";
import { RawClient } from "../support/raw.ts";
import { isRunning, openWorld } from "../support/world.ts";

setDefaultTimeout(120_000);

const MiB = 1024 * 1024;

async function setup() {
  const world = openWorld();
  const { pid } = await world.start();
  const { url, token } = world.local();
  return { ...world, pid, url, token };
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const guess = () => bearer(formatToken(createToken()));
const count = (answers: readonly Answer[], status: number) =>
  answers.filter((answer) => answer.status === status).length;

/** Milliseconds of the middle one of some runs of a trivial command. */
async function measure({ farhand }: { farhand: (args: string[]) => Promise<{ code: number | null }> }) {
  const times: number[] = [];
  for (let round = 0; round < 9; round++) {
    const began = performance.now();
    expect((await farhand(["exec", "--", "true"])).code).toBe(0);
    times.push(performance.now() - began);
  }
  return times.sort((one, other) => one - other)[4] ?? 0;
}

describe("Whoever guesses tokens (C7)", () => {
  test("is refused after a few, before they are looked at; this machine's user notices nothing", async () => {
    await using world = await setup();
    const usual = await measure(world);
    const answers: Answer[] = [];
    let isOver = false;
    const guessing = (async () => {
      while (!isOver)
        answers.push(
          ...(await Promise.all(
            Array.from({ length: 20 }, () => knock({ ...world, from: "127.0.0.2", headers: guess() })),
          )),
        );
    })();
    await eventually(() => answers.length > 200);
    const meanwhile = await measure(world);
    isOver = true;
    await guessing;
    console.log(
      `exec took ${usual.toFixed()} ms, and ${meanwhile.toFixed()} ms beside ${answers.length} guesses`,
    );
    // Those of the first burst were all asked before the first was answered.
    expect(count(answers, 401)).toBeLessThanOrEqual(20);
    expect(count(answers, 401) + count(answers, 429)).toBe(answers.length);
    expect(meanwhile).toBeLessThan(10 * usual + 1_000);
    const last = answers.at(-1);
    expect(Number(last?.headers.get("retry-after"))).toBeWithin(1, 601);
    expect(JSON.parse(last?.body ?? "")).toEqual({
      code: "unavailable",
      message: expect.stringMatching(/^Cannot let you in: [^\n]+; try again in \d+ s$/),
    });
  });

  test("is refused as well when he comes from 2,000 addresses of loopback, or says that he does", async () => {
    await using world = await setup();
    const answers: Answer[] = [];
    for (let third = 0; third < 20; third++)
      answers.push(
        ...(await Promise.all(
          Array.from({ length: 100 }, (_, fourth) =>
            knock({
              ...world,
              from: `127.9.${third}.${fourth + 1}`,
              headers: {
                ...guess(),
                "x-forwarded-for": `192.0.2.${fourth}`,
                forwarded: `for=192.0.2.${third}`,
              },
            }),
          ),
        )),
      );
    expect([count(answers, 401) <= 100, count(answers, 401) + count(answers, 429)]).toEqual([true, 2_000]);
    expect((await world.farhand(["exec", "--", "echo", "here"])).stdout).toBe("here\n");
    expect((await world.status()).jobs.total).toBe(1);
  });

  const login = (headers: Readonly<Record<string, string>>) => ({
    path: "/v1/login",
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ user: "ada", password: crypto.randomUUID() }),
  });

  test("is refused for passwords, whatever token he shows besides, also where somebody is connected", async () => {
    await using world = await setup();
    using _present = await RawClient.open(world);
    const statuses: number[] = [];
    for (let time = 0; time < 12; time++)
      statuses.push((await knock({ ...world, ...login(bearer("the-same")) })).status);
    // Penalties pass meanwhile: three would do, and each password takes some of the second that the next one waits.
    expect(statuses.filter((status) => status === 401).length).toBeLessThan(8);
    expect(statuses.at(-1)).toBe(429);
  });

  test("does not get around it by hanging up before his request is read", async () => {
    await using world = await setup();
    for (let time = 0; time < 40; time++) await knockAndReset({ ...world, ...login({}) });
    await world.farhandd(["stop"]); // which writes down what was refused
    const { stdout } = await world.farhandd(["audit", "show", "--json", "--event", "refused"]);
    expect(stdout).not.toContain('"source":"unix"');
  });

  test.each([
    ["passwords", "/v1/login", () => ({ user: "ada", password: crypto.randomUUID(), client: "test" })],
    [
      "invitations",
      "/v1/join",
      () => ({
        secret: Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64url"),
        client: "test",
      }),
    ],
  ] as const)("is refused for %s too, before they are compared", async (_what, path, toBody) => {
    await using world = await setup();
    const post = () =>
      knock({
        ...world,
        path,
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(toBody()),
      });
    // At once, since penalties pass while passwords are compared.
    const answers = await Promise.all(Array.from({ length: 12 }, post));
    expect(count(answers, 401) + count(answers, 429)).toBe(12);
    expect((await post()).status).toBe(429);
    // Neither a token is looked at from there, but that of this machine's own user.
    expect((await knock({ ...world, headers: guess() })).status).toBe(429);
    expect((await fetch(`${world.url}/v1/status`, { headers: bearer(world.token) })).status).toBe(200);
  });

  test("is answered the same for a wrong token and an unknown one, and in a log line that holds neither", async () => {
    await using world = await setup();
    const known = world.token.replace(/[^_]+$/, (seed) => [...seed].reverse().join(""));
    const [one, other] = [
      await knock({ ...world, headers: bearer(known) }),
      await knock({ ...world, headers: guess() }),
    ];
    expect([one?.status, one?.body]).toEqual([other?.status, other?.body ?? ""]);
    await Promise.all(Array.from({ length: 10 }, () => knock({ ...world, headers: guess() })));
    const log = await Bun.file(`${world.state}/logs/server.log`).text();
    expect(log).toContain("source refused for a while");
    expect(log).not.toContain(known.slice(-20));
  });
});

describe("Whoever is not let in", () => {
  test("is answered once, and his connection closed; that of somebody who is, is kept", async () => {
    await using world = await setup();
    // Each resolves when the server has closed the connection.
    for (const [path, status] of [
      ["/healthz", 200],
      ["/readyz", 200],
      ["/v1/status", 401],
      ["/", 401],
    ] as const)
      expect([path, (await knock({ ...world, path })).status]).toEqual([path, status]);
    expect((await knock({ ...world, headers: { origin: "https://evil.example" } })).status).toBe(403);
    const { headers } = await fetch(`${world.url}/v1/status`, { headers: bearer(world.token) });
    expect(headers.get("connection")).not.toBe("close");
  });

  test("cannot have a large body read, nor can anybody", async () => {
    await using world = await setup();
    const body = "x".repeat(65_537);
    for (const headers of [{}, bearer(world.token)]) {
      const answer = await fetch(`${world.url}/v1/stop`, { method: "POST", headers, body });
      expect(answer.status).toBe(413);
    }
    const stream = new ReadableStream({
      pull: (controller) => controller.enqueue(new TextEncoder().encode(body)),
    });
    const endless = fetch(`${world.url}/v1/stop`, {
      method: "POST",
      headers: bearer(world.token),
      body: stream,
    });
    expect(
      await endless.then(
        ({ status }) => status,
        () => "cut",
      ),
    ).toBeOneOf([413, 400, "cut"]);
    expect((await world.status()).pid).toBe(world.pid);
  });

  test("stops nothing by a body that is no JSON, is too deep, or is cut off", async () => {
    await using world = await setup();
    for (const body of ["{", "[".repeat(8_000), '{"jobs":1}']) {
      const answer = await fetch(`${world.url}/v1/stop`, {
        method: "POST",
        headers: bearer(world.token),
        body,
      });
      expect([body.slice(0, 9), answer.status]).toEqual([body.slice(0, 9), 400]);
    }
    const client = await RawClient.connect(world.url);
    client.write(
      `POST /v1/stop HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${world.token}\r\nContent-Length: 2\r\n\r\n{`,
    );
    expect((await world.status()).pid).toBe(world.pid); // it waits for the rest
    client[Symbol.dispose]();
    expect((await world.status()).pid).toBe(world.pid); // and does nothing without it
  });
});

describe("A client that floods the server with frames that say nothing (C9)", () => {
  const floods = [
    ["50,000 pings", 50_000, { opcode: OPCODE.ping, payload: "x" }, 1008],
    ["50,000 pongs", 50_000, { opcode: OPCODE.pong }, 1008],
    ["100,000 text frames of one byte", 100_000, { opcode: OPCODE.text, payload: "1" }, 4400],
    ["100,000 data frames of one byte", 100_000, { opcode: OPCODE.binary, payload: "1" }, 4400],
    ["100,000 empty text frames", 100_000, { opcode: OPCODE.text }, 4400],
  ] as const;
  test.each(floods)("by %s is closed, and nobody else is", async (_what, times, frame, code) => {
    await using world = await setup();
    using other = await RawClient.open(world);
    using client = await RawClient.open(world);
    const wire = Buffer.concat(Array(1_000).fill(encodeFrame(frame)));
    for (let sent = 0; sent < times; sent += 1_000) client.write(wire);
    expect(await client.ended).toMatchObject({ type: "closed", code });
    other.call(1, "ping");
    await other.control("result");
  });

  test("by 100,000 empty fragments costs it no memory, and nobody else his turn", async () => {
    await using world = await setup();
    using other = await RawClient.open(world);
    using client = await RawClient.open(world);
    const before = privateBytes(world.pid);
    client.frame({ opcode: OPCODE.text, fin: false });
    const wire = Buffer.concat(Array(1_000).fill(encodeFrame({ opcode: OPCODE.continuation, fin: false })));
    for (let sent = 0; sent < 100_000; sent += 1_000) client.write(wire);
    client.frame({ opcode: OPCODE.continuation, payload: '{"type":"beat"}' });
    for (let call = 1; call <= 20; call++) {
      other.call(call, "ping");
      await other.control("result");
    }
    client.call(1, "ping");
    await client.control("result");
    expect(privateBytes(world.pid) - before).toBeLessThan(100 * MiB);
  });

  test("by a ping now and then is none", async () => {
    await using world = await setup();
    using client = await RawClient.open(world);
    for (let time = 0; time < 100; time++) client.frame({ opcode: OPCODE.ping, payload: "x" });
    client.call(1, "ping");
    await client.control("result");
    expect(isRunning(world.pid)).toBe(true);
  });
});
