import { describe, expect, test } from "bun:test";
import type { Target } from "../../src/client/config.ts";
import { dial } from "../../src/client/dial.ts";
import { parseHost } from "../../src/client/host.ts";
import { AppError } from "../../src/protocol/error.ts";
import { eventually } from "../support/eventually.ts";
import { answerPing, openFakeServer } from "../support/fake-server.ts";

const never = new AbortController().signal;

function toTarget(
  host: string,
  { token, isLocal = false }: { token?: string; isLocal?: boolean } = {},
): Target {
  return { host: parseHost(host), token, isLocal };
}

/** A port that refuses. */
async function freePort(): Promise<number> {
  await using server = openFakeServer();
  return server.port;
}

describe("dial()", () => {
  test("opens a session whose calls are answered", async () => {
    await using server = openFakeServer({ token: "secret" });
    await using session = await dial(() => toTarget(server.url, { token: "secret" }), { signal: never });
    expect(await session.call("ping", {})).toEqual({});
    expect((await session.welcome).agent.version).toBe("9.9.9");
  });

  test("fails at once where the port refuses, in a sentence", async () => {
    const port = await freePort();
    const start = performance.now();
    const dialling = dial(() => toTarget(`127.0.0.1:${port}`), { signal: never });
    await expect(dialling).rejects.toMatchObject({
      code: "connection_refused",
      message: `Cannot connect to http://127.0.0.1:${port}: connection refused; is farhandd running there?`,
    });
    expect(performance.now() - start).toBeLessThan(2_000);
  });

  test("keeps trying until its limit, and then says why", async () => {
    const port = await freePort();
    const start = performance.now();
    const errors: AppError[] = [];
    const options = { signal: never, timeout: 1_000, onRetry: (error: AppError) => errors.push(error) };
    const dialling = dial(() => toTarget(`127.0.0.1:${port}`), options);
    await expect(dialling).rejects.toMatchObject({ code: "connection_refused" });
    expect(performance.now() - start).toBeWithin(900, 5_000);
    expect(errors.length).toBeGreaterThan(1);
  });

  test("finds a server that starts later, asking each time where it is", async () => {
    const port = await freePort();
    let asked = 0;
    const find = () => {
      if (++asked === 1) throw new AppError("unavailable", "No local.json yet");
      return toTarget(`127.0.0.1:${port}`);
    };
    const dialling = dial(find, { signal: never, timeout: 20_000 });
    await eventually(() => asked > 2);
    await using _server = openFakeServer({ port });
    await using session = await dialling;
    expect(await session.call("ping", {})).toEqual({});
  });

  test("tells a refused token from every other failure, and tries again only with one from local.json", async () => {
    await using server = openFakeServer({ token: "secret" });
    let asked = 0;
    const wrong = dial(() => (asked++, toTarget(server.url, { token: "wrong" })), {
      signal: never,
      timeout: 5_000,
    });
    await expect(wrong).rejects.toMatchObject({
      code: "unauthenticated",
      message: expect.stringContaining("FARHAND_TOKEN"),
    });
    expect(asked).toBe(1);
    const renew = () => toTarget(server.url, { token: asked++ === 1 ? "stale" : "secret", isLocal: true });
    await using session = await dial(renew, { signal: never, timeout: 5_000 });
    expect(asked).toBe(3);
    expect(session.ended.aborted).toBe(false);
  });

  test.each<[string, number, string]>([
    ["something else", 200, "no farhandd answers there (HTTP status 200)"],
    [
      "a redirect, which it does not follow",
      302,
      "no farhandd answers there but a redirect, which is not followed (HTTP status 302)",
    ],
  ])("refuses %s", async (_what, status, sentence) => {
    const headers = { location: "http://127.0.0.1:1/" };
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () => new Response("hi", { status, headers }),
    });
    const dialling = dial(() => toTarget(`127.0.0.1:${server.port}`), { signal: never });
    await expect(dialling).rejects.toThrow(sentence);
    await server.stop(true);
  });

  test("gives up on a server that accepts and says nothing", async () => {
    const server = Bun.listen({ port: 0, hostname: "127.0.0.1", socket: { data() {} } });
    const dialling = dial(() => toTarget(`127.0.0.1:${server.port}`), { signal: never, timeout: 200 });
    await expect(dialling).rejects.toMatchObject({ code: "timed_out" });
    server.stop(true);
  });

  test("tries again where the connection breaks off between upgrade and welcome", async () => {
    await using server = openFakeServer({ cuts: 2 });
    const errors: AppError[] = [];
    const options = { signal: never, timeout: 20_000, onRetry: (error: AppError) => errors.push(error) };
    await using session = await dial(() => toTarget(server.url), options);
    expect(await session.call("ping", {})).toEqual({});
    expect(errors.map(({ code }) => code)).toEqual(["connection_lost", "connection_lost"]);
    expect(server.peers).toHaveLength(3);
  });

  test("tries again where the server stops before it has welcomed anybody", async () => {
    const stopping = { code: "shutting_down", message: "The server stops" };
    await using server = openFakeServer({
      answer: (frame, peer) => {
        if (server.peers.length === 1) peer.sayBare({ type: "goodbye", error: stopping });
        else answerPing(frame, peer);
      },
    });
    await using session = await dial(() => toTarget(server.url), { signal: never, timeout: 20_000 });
    expect(await session.call("ping", {})).toEqual({});
    expect(server.peers).toHaveLength(2);
  });

  test("does not try again where the server's answer is no", async () => {
    await using server = openFakeServer({
      answer: (_frame, peer) => peer.welcome({ version: { major: 2, minor: 0 } }),
    });
    const dialling = dial(() => toTarget(server.url), { signal: never, timeout: 20_000 });
    await expect(dialling).rejects.toMatchObject({ code: "unsupported_version" });
    expect(server.peers).toHaveLength(1);
  });

  test("tells an older server that it cannot have the workspace before it has asked it anything", async () => {
    await using server = openFakeServer({
      answer: (_frame, peer) => peer.welcome({ version: { major: 1, minor: 1 } }),
    });
    const workspace = { name: "build", isOwn: false };
    const dialling = dial(() => toTarget(server.url), { signal: never, workspace });
    await expect(dialling).rejects.toMatchObject({ code: "unsupported_version" });
    expect(server.peers[0]?.heard.map(({ type }) => type)).toEqual(["hello"]);
    const options = { signal: never, workspace: { name: "default", isOwn: false } };
    await using _session = await dial(() => toTarget(server.url), options);
  });

  test("gives up at its limit on a server that never welcomes it, and leaves no connection behind", async () => {
    await using server = openFakeServer({ answer: () => {} });
    const dialling = dial(() => toTarget(server.url), { signal: never, timeout: 200 });
    await expect(dialling).rejects.toMatchObject({
      code: "timed_out",
      message: expect.stringContaining(server.url),
    });
    await eventually(() => server.peers.every(({ closed }) => closed !== undefined));
  });

  test("stops waiting for the welcome when it is told to", async () => {
    await using server = openFakeServer({ answer: () => {} });
    const stop = new AbortController();
    const dialling = dial(() => toTarget(server.url), { signal: stop.signal, timeout: 60_000 });
    await eventually(() => server.peers[0]?.of("hello").length === 1);
    stop.abort(new Error("enough"));
    await expect(dialling).rejects.toThrow("enough");
    await eventually(() => server.peers[0]?.closed !== undefined);
    expect(server.peers).toHaveLength(1);
  });

  test("stops when it is told to", async () => {
    const port = await freePort();
    const stop = new AbortController();
    const dialling = dial(() => toTarget(`127.0.0.1:${port}`), { signal: stop.signal, timeout: 60_000 });
    stop.abort(new Error("enough"));
    await expect(dialling).rejects.toThrow("enough");
  });

  test("hears from a server why it closes", async () => {
    await using server = openFakeServer({
      answer: (frame, peer) => {
        if (frame.type === "hello")
          peer.sayBare({ type: "goodbye", error: { code: "too_many", message: "Too many" } });
      },
    });
    const session = await dial(() => toTarget(server.url), { signal: never });
    await expect(session.welcome).rejects.toMatchObject({ code: "too_many" });
  });

  test("notices a connection that breaks off", async () => {
    const server = openFakeServer();
    const session = await dial(() => toTarget(server.url), { signal: never, reconnect: 0 });
    await session.welcome;
    await server[Symbol.asyncDispose]();
    await eventually(() => session.ended.aborted);
    expect(session.ended.reason).toMatchObject({ code: "connection_lost" });
  });
});
