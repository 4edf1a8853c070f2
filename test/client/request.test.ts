import { describe, expect, test } from "bun:test";
import { chownSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import type { Target } from "../../src/client/config.ts";
import { dial } from "../../src/client/dial.ts";
import { parseHost } from "../../src/client/host.ts";
import { ask } from "../../src/client/request.ts";
import { AppError, type ErrorCode } from "../../src/protocol/error.ts";
import { openFakeServer } from "../support/fake-server.ts";
import { openDirectory } from "../support/directory.ts";
import { testIf } from "../support/test-if.ts";

const never = new AbortController().signal;
const ESCAPE = "\x1b]0;owned\x07";

function toTarget(url: string, more: Partial<Target> = {}): Target {
  return { host: parseHost(url), token: "fh_secret", isLocal: false, ...more };
}

/** How a connection fails. */
async function fail(target: Target, timeout?: number): Promise<AppError> {
  const error: unknown = await dial(() => target, { signal: never, timeout }).catch(
    (error: unknown) => error,
  );
  if (error instanceof AppError) return error;
  throw new Error(`It did not fail as it should: ${error}`);
}

/** Something that says this to everybody, and keeps what it hears. */
async function openRaw(answer: (socket: Socket) => void) {
  const heard: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    socket.on("data", (bytes) => {
      heard.push(bytes.toString());
      answer(socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" ? address?.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    heard,
    sockets,
    [Symbol.dispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

describe("What is no farhandd is named with its status, and its text is not repeated", () => {
  test.each<[number, string, string]>([
    [200, "unavailable", "no farhandd answers there"],
    [301, "unavailable", "a redirect, which is not followed"],
    [302, "unavailable", "a redirect, which is not followed"],
    [307, "unavailable", "a redirect, which is not followed"],
    [403, "unavailable", "it refuses everybody, or everybody from here"],
    [404, "unavailable", "no farhandd answers there"],
    [407, "unavailable", "a proxy answers there that wants a login"],
    [413, "unavailable", "no farhandd answers there"],
    [426, "unavailable", "a gateway in between must pass on upgrades"],
    [500, "unavailable", "no farhandd answers there"],
    [502, "unavailable", "a gateway answers there"],
    [503, "unavailable", "a gateway answers there"],
    [504, "unavailable", "a gateway answers there"],
  ])("with %i", async (status, code, sentence) => {
    await using elsewhere = openFakeServer();
    const heard: string[] = [];
    await using server = openFakeServer({
      respond: (request) => {
        heard.push(request.url);
        const headers = { location: `${elsewhere.url}/v1/channel`, "content-type": "text/html" };
        return new Response(`<html>${ESCAPE}Sign in</html>`, { status, headers });
      },
    });
    const error = await fail(toTarget(server.url));
    const { message } = error;
    expect(error.code).toBe(code as ErrorCode);
    expect(message).toContain(sentence);
    expect(message).toContain(`HTTP status ${status}`);
    expect(message).toContain(server.url);
    expect(message).not.toContain("Sign in");
    expect(message).not.toContain("\x1b");
    expect(elsewhere.peers).toHaveLength(0);
    expect(heard).toHaveLength(2);
  });

  test("with a sentence of farhandd's own, on one line and not for ever", async () => {
    const message = `The server is full\n${"x".repeat(100_000)}`;
    await using server = openFakeServer({
      respond: () => Response.json({ code: "too_many", message: message.slice(0, 60_000) }, { status: 503 }),
    });
    const error = await fail(toTarget(server.url));
    expect(error.code).toBe("too_many");
    expect(error.message).toContain("The server is full x");
    expect(error.message.length).toBeLessThan(1_000);
  });

  test("with 401, which says what to do, for a host that is kept by its name", async () => {
    await using server = openFakeServer({ token: "other" });
    const refused = dial(() => toTarget(server.url, { name: "web1" }), { signal: never, timeout: 5_000 });
    await expect(refused).rejects.toMatchObject({
      code: "unauthenticated",
      message: `Cannot connect to ${server.url}: it refuses the token; run farhand login web1, join by an invitation, or set FARHAND_TOKEN to a valid one`,
    });
    const asked = dial(() => toTarget(server.url, { token: undefined }), { signal: never });
    await expect(asked).rejects.toThrow("it asks for a token");
  });
});

describe("With 429 and a time, a client", () => {
  const busy = (seconds: string) => new Response("", { status: 429, headers: { "retry-after": seconds } });

  test("says when", async () => {
    await using server = openFakeServer({ respond: () => busy("90") });
    const refused = expect.objectContaining({
      code: "too_many",
      message: expect.stringContaining("try again in 1 m 30 s"),
      details: { retryAfter: 90_000 },
    });
    for (const timeout of [undefined, 5_000])
      expect(await fail(toTarget(server.url), timeout)).toEqual(refused);
  });

  test("tries again then, within its time limit, and no earlier", async () => {
    let since = 0;
    const early: number[] = [];
    await using server = openFakeServer({
      respond() {
        since ||= performance.now();
        if (early.length >= 2 && performance.now() - since >= 900) return undefined;
        early.push(performance.now() - since);
        return busy("1");
      },
    });
    await using session = await dial(() => toTarget(server.url), { signal: never, timeout: 30_000 });
    expect(await session.call("ping", {})).toEqual({});
    // An upgrade, and the question why it was refused.
    expect(early).toHaveLength(2);
  });

  test.each(["", "soon", "-1", "1e9", "Thu, 01 Jan 1970 00:00:00 GMT"])(
    "takes %j for what it is",
    async (text) => {
      await using server = openFakeServer({ respond: () => busy(text) });
      await expect(dial(() => toTarget(server.url), { signal: never })).rejects.toMatchObject({
        code: "too_many",
      });
    },
  );
});

describe("A client is not held up, nor filled, by", () => {
  const HEAD = "HTTP/1.1 200 OK\r\n";
  const flood = (text: string) => (socket: Socket) => {
    const write = () => {
      while (!socket.destroyed && socket.write(text));
      if (!socket.destroyed) socket.once("drain", write);
    };
    write();
  };

  test.each<[string, string, (socket: Socket) => void]>([
    [
      "endless headers",
      "HTTP",
      (socket) => (socket.write(HEAD), flood("X-A: yyyyyyyyyyyyyyyyyyyyyy\r\n")(socket)),
    ],
    [
      "one endless header",
      "HTTP",
      (socket) => (socket.write(`${HEAD}X: `), flood("y".repeat(65_536))(socket)),
    ],
    [
      "an endless body",
      "status 200",
      (socket) => (socket.write(`${HEAD}\r\n`), flood("y".repeat(65_536))(socket)),
    ],
    ["garbage", "HTTP", (socket) => void socket.end(`${ESCAPE}garbage\r\n\r\n`)],
    [
      "a body that ends early",
      "Cannot connect",
      (socket) => void socket.end(`${HEAD}Content-Length: 100\r\n\r\nabc`),
    ],
  ])("%s", async (_what, sentence, answer) => {
    using server = await openRaw(answer);
    const before = process.memoryUsage.rss();
    const { message } = await fail(toTarget(server.url));
    expect(message).toContain(sentence);
    expect(message).not.toContain("\x1b");
    expect(process.memoryUsage.rss() - before).toBeLessThan(200 * 1024 * 1024);
  });

  test("silence behind the first bytes of an answer", async () => {
    using server = await openRaw((socket) => void socket.write(HEAD));
    await expect(dial(() => toTarget(server.url), { signal: never, timeout: 300 })).rejects.toMatchObject({
      code: "timed_out",
    });
  });
});

test("A proxy of the environment is told nothing", async () => {
  using proxy = await openRaw((socket) => void socket.end("HTTP/1.1 404 Not Found\r\n\r\n"));
  const script = `
    import { dial } from "${import.meta.dir}/../../src/client/dial.ts";
    import { ask } from "${import.meta.dir}/../../src/client/request.ts";
    import { parseHost } from "${import.meta.dir}/../../src/client/host.ts";
    for (const url of ["http://10.255.255.1:9", "https://10.255.255.1:9"]) {
      const target = { host: parseHost(url, 9, { insecure: true }), token: "fh_secret", isLocal: false };
      const signal = AbortSignal.timeout(300);
      await ask(target, "/v1/channel", { signal }).catch(() => {});
      await dial(() => target, { signal: AbortSignal.timeout(300) }).catch(() => {});
    }
    console.log("done");`;
  const child = Bun.spawn([process.execPath, "-e", script], {
    env: {
      ...process.env,
      HTTP_PROXY: proxy.url,
      HTTPS_PROXY: proxy.url,
      http_proxy: proxy.url,
      NO_PROXY: "",
    },
    stdout: "pipe",
    stderr: "inherit",
  });
  expect(await child.stdout.text()).toBe("done\n");
  expect(proxy.heard).toEqual([]);
});

testIf(process.getuid?.() === 0, "another user's socket takes root")(
  "Another user's Unix socket is told nothing",
  async () => {
    using directory = openDirectory();
    const path = `${directory.path}/farhandd.sock`;
    let told = 0;
    await using _server = Bun.serve({
      unix: path,
      fetch() {
        told++;
        return new Response();
      },
    });
    chownSync(path, 65_534, 65_534);
    const target = toTarget(`unix:${path}`);
    const refused = {
      code: "state_unusable",
      message: `Cannot use "${path}": it belongs to user 65534, not 0; run farhand as that user`,
    };
    await expect(dial(() => target, { signal: never })).rejects.toMatchObject(refused);
    await expect(ask(target, "/healthz", { signal: never })).rejects.toMatchObject(refused);
    expect(told).toBe(0);
  },
);

test("A Unix socket is a host like another", async () => {
  using directory = openDirectory();
  const path = `${directory.path}/farhandd.sock`;
  await using server = Bun.serve({
    unix: path,
    fetch: () => Response.json({ code: "unauthenticated", message: "No" }, { status: 401 }),
  });
  for (const url of [`unix:${path}`, `unix://${path}`])
    await expect(dial(() => toTarget(url), { signal: never })).rejects.toMatchObject({
      code: "unauthenticated",
    });
  await server.stop(true);
  await expect(dial(() => toTarget(`unix:${path}.no`), { signal: never })).rejects.toMatchObject({
    code: "connection_refused",
    message: `Cannot connect to unix:${path}.no: there is no such socket; is farhandd running?`,
  });
});
