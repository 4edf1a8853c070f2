import { describe, expect, test } from "bun:test";
import { AppError } from "../../src/protocol/error.ts";
import { createLog } from "../../src/lib/log.ts";
import { createApp, type ServerStatus } from "../../src/server/app.ts";
import type { Refusal } from "../../src/server/audit/refusals.ts";
import { Gate } from "../../src/server/gate/gate.ts";
import { createIdentity } from "../support/identity.ts";

const status: ServerStatus = {
  pid: 1,
  version: "0.0.0",
  listen: ["127.0.0.1:9922"],
  keepers: [],
  jobs: { running: 0, total: 0 },
};

function admit(secret: string) {
  if (secret === "late") throw new AppError("too_many", "Cannot let you in: too many");
  if (secret !== "good") throw new AppError("unauthenticated", "Cannot let you in: wrong");
  return { token: "fh_", name: "n", user: "u" };
}

function setup({
  isReady = true,
  isStopping = false,
  upgrades = true,
  fails = false,
  isSecure = false,
} = {}) {
  const calls = {
    upgraded: [] as string[],
    stopped: [] as object[],
    reloaded: [] as string[],
    held: 0,
    errors: [] as Error[],
  };
  const [refused, admitted]: [Refusal[], string[]] = [[], []];
  const log = createLog({ level: "error", format: "text", write: () => {}, now: () => new Date() });
  const gate = new Gate({
    log,
    isOwn: (token) => token === "own",
    onPenalized: () => {},
    signal: AbortSignal.abort(),
  });
  const app = createApp({
    authenticate: (token) => (token === "good" ? createIdentity() : undefined),
    admissions: {
      join: ({ secret }) => admit(secret),
      login: async ({ password }) => admit(password),
    },
    issueTicket: () => ({ ticket: "t", expires: 1 }),
    claimTicket: (offered) => (offered.includes("farhand.ticket.good") ? createIdentity() : undefined),
    isSecure,
    isNamed: (name) => ["localhost", "web1"].includes(name),
    onAdmitted: (what, { user }, source) => void admitted.push(`${user} ${what} from ${source}`),
    onRefused: (refusal) => void refused.push(refusal),
    knock: (request) => gate.knock(request, { address: "127.0.0.1", port: 1 }),
    isReady: () => isReady,
    status: () => {
      if (fails) throw new Error("a secret path /home/somebody");
      return status;
    },
    isStopping: () => isStopping,
    stop: async (request, { owner }) => {
      calls.stopped.push({ ...request, owner });
      return { ended: 3, left: [] };
    },
    reload: async ({ owner }) => {
      calls.reloaded.push(owner);
      return { changed: [], unchanged: ["certificate"], failed: [] };
    },
    hold: () => void calls.held++,
    upgrade: (_, { owner }) => {
      calls.upgraded.push(owner);
      return upgrades;
    },
    onError: (error) => void calls.errors.push(error),
  });
  const request = (path: string, headers: Record<string, string> = {}, method = "GET") =>
    app.request(`http://127.0.0.1:9922${path}`, { method, headers: { host: "127.0.0.1:9922", ...headers } });
  const trusted = (path: string, headers: Record<string, string> = {}, method = "GET") =>
    request(path, { authorization: "Bearer good", ...headers }, method);
  return { app, calls, refused, admitted, request, trusted };
}

function setupStop() {
  const { calls, app } = setup();
  const headers = { host: "127.0.0.1:9922", authorization: "Bearer good" };
  const stop = async (body: object) =>
    app.request("http://127.0.0.1:9922/v1/stop", { method: "POST", headers, body: JSON.stringify(body) });
  return { calls, stop };
}

const upgrade = { upgrade: "websocket", connection: "Upgrade", "sec-websocket-protocol": "farhand.v1" };

describe("the Host header", () => {
  test.each([
    "127.0.0.1:9922",
    "127.0.0.1",
    "localhost",
    "localhost:1234",
    "[::1]:9922",
    "[::1]",
    "127.9.9.9",
    "192.168.0.1:443",
    "[::]:9922",
    "[0:0:0:0:0:0:0:1]:9922",
    "[::FFFF:127.0.0.1]",
    "LocalHost:1",
    "localhost.",
    "WEB1:9922",
  ])("%s is this server", async (host) => {
    expect((await setup().request("/healthz", { host })).status).toBe(200);
  });

  test.each([
    "",
    "evil.example",
    "evil.example:9922",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "web2",
    "web1..",
    "127.1",
    "0x7f.0.0.1",
    "[::1",
    "[::1%lo]",
    "[127.0.0.1]",
    "[evil.example]",
    "web1:",
    "web1:x",
    "web1,evil.example",
    "user@web1",
    "127.0.0.1:9922:1",
    "127.0.0.1@evil.example",
    "evil.example/127.0.0.1",
    "::1",
  ])("%j is another: 403, whatever the token", async (host) => {
    const { trusted, calls } = setup();
    for (const path of ["/healthz", "//healthz", "/v1/status", "/v1/channel", "/v1%2fchannel", "/nothing"]) {
      const response = await trusted(path, { host, ...upgrade });
      expect(response.status).toBe(403);
      expect(await response.json()).toMatchObject({ code: "forbidden" });
    }
    expect(calls.upgraded).toEqual([]);
  });
});

describe("the Origin header", () => {
  test("of this server itself is let in, and so is none", async () => {
    const { trusted } = setup();
    expect((await trusted("/v1/status", { origin: "http://127.0.0.1:9922" })).status).toBe(200);
    expect((await trusted("/v1/status")).status).toBe(200);
  });

  test.each([
    "null",
    "",
    "https://127.0.0.1:9922",
    "http://127.0.0.1",
    "http://127.0.0.1:9923",
    "http://localhost:9922",
    "http://evil.example",
    "http://127.0.0.1:9922.evil.example",
    "http://127.0.0.1:9922/",
    "http://127.0.0.1:9922 http://evil.example",
    "file://",
    "chrome-extension://abcdef",
  ])("%j is a foreign page: 403, whatever the token", async (origin) => {
    const { trusted, calls } = setup();
    for (const path of [
      "/healthz",
      "/v1/status",
      "/v1/channel",
      "//v1/channel",
      "/v1%2Fchannel",
      "/V1/STATUS",
      "/nothing",
    ])
      expect((await trusted(path, { origin, ...upgrade })).status).toBe(403);
    expect((await trusted("/v1/stop", { origin }, "POST")).status).toBe(403);
    expect(calls).toMatchObject({ upgraded: [], stopped: [] });
  });
});

test("Over TLS only an https page of the same Host is of this server", async () => {
  const { trusted } = setup({ isSecure: true });
  const ask = async (origin: string) => (await trusted("/v1/status", { host: "WEB1:9922", origin })).status;
  expect(await ask("https://web1:9922")).toBe(200);
  for (const origin of ["http://web1:9922", "https://web1", "https://localhost:9922"])
    expect(await ask(origin)).toBe(403);
});

test("Every answer forbids browsers to guess its kind, to keep it, to run it and to frame it", async () => {
  for (const isSecure of [false, true]) {
    const { request, trusted } = setup({ isSecure, fails: true });
    const answers = [
      await request("/healthz"),
      await request("/v1/status"),
      await request("/nothing", { host: "evil.example" }),
      await trusted("/nothing"),
      await trusted("/v1/status"),
      await trusted("/v1/channel"),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 401, 403, 404, 500, 426]);
    for (const { headers } of answers) {
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("cache-control")).toBe("no-store");
      expect(headers.get("content-security-policy")).toBe("default-src 'none'; frame-ancestors 'none'");
      expect(headers.get("content-type")).toMatch(/^(text\/plain|application\/json)/);
    }
  }
});

test("reload reads everything anew on behalf of who may, by POST only", async () => {
  const { request, trusted, calls } = setup();
  expect((await request("/v1/reload", {}, "POST")).status).toBe(401);
  expect((await trusted("/v1/reload")).status).toBe(404);
  expect(calls.reloaded).toEqual([]);
  const report = await trusted("/v1/reload", {}, "POST");
  expect(await report.json()).toEqual({ changed: [], unchanged: ["certificate"], failed: [] });
  expect(calls.reloaded).toEqual(["somebody"]);
});

describe("without a token that is right", () => {
  test.each([
    ["none", {}],
    ["a wrong one", { authorization: "Bearer bad" }],
    ["a password", { authorization: "Basic good" }],
    ["the right one without its scheme", { authorization: "good" }],
  ])("%s: 401 for everything, and nothing is done", async (_, headers) => {
    const { request, calls } = setup();
    for (const [path, method] of [
      ["/v1/channel", "GET"],
      ["/v1/status", "GET"],
      ["/v1/stop", "POST"],
      ["/nothing", "GET"],
    ] as const) {
      const response = await request(path, { ...headers, ...upgrade }, method);
      expect(response.status).toBe(401);
      expect(await response.json()).toEqual({
        code: "unauthenticated",
        message: "Cannot let you in: the token is missing or wrong",
      });
    }
    expect(calls).toEqual({ upgraded: [], stopped: [], reloaded: [], held: 0, errors: [] });
  });

  test("who was refused, from where and why, is told to whoever takes it down", async () => {
    const { request, trusted, refused } = setup();
    await request("/v1/status");
    await trusted("/v1/status", { origin: "https://evil.example" });
    await trusted("/v1/status");
    await request("/healthz");
    expect(refused).toEqual([
      expect.objectContaining({ source: "127.0.0.1", outcome: "unauthenticated", user: undefined }),
      expect.objectContaining({ outcome: "forbidden", message: expect.stringContaining("foreign page") }),
    ]);
  });

  test("a token in the address is none", async () => {
    expect((await setup().request("/v1/status?token=good")).status).toBe(401);
  });

  test("only liveness and readiness are told", async () => {
    const { request } = setup();
    expect(await (await request("/healthz")).text()).toBe("ok\n");
    expect(await (await request("/readyz")).text()).toBe("ready\n");
  });
});

test("A server that stops is not ready, and opens no channel", async () => {
  const { request, trusted, calls } = setup({ isStopping: true });
  const ready = await request("/readyz");
  expect([ready.status, await ready.text()]).toEqual([503, "not ready\n"]);
  expect(await (await trusted("/readyz")).text()).toBe("stopping\n");
  const channel = await trusted("/v1/channel", upgrade);
  expect([channel.status, await channel.json()]).toEqual([
    503,
    expect.objectContaining({ code: "shutting_down" }),
  ]);
  expect(calls.upgraded).toEqual([]);
});

test("stop reads whether jobs should end, and refuses what it cannot read", async () => {
  const { calls, stop } = setupStop();
  expect((await stop({ jobs: { grace: 500 } })).status).toBe(202);
  expect(calls.stopped).toEqual([{ jobs: { grace: 500 }, owner: "somebody" }]);
  for (const wrong of [{ jobs: {} }, { jobs: { grace: -1 } }, { jobs: { grace: 1e9 } }, { jobs: true }])
    expect((await stop(wrong)).status).toBe(400);
  expect(calls.stopped).toHaveLength(1);
});

test("readyz answers 503 until the server is ready", async () => {
  const { request, trusted } = setup({ isReady: false });
  for (const response of [
    await request("/readyz"),
    await request("/readyz", { authorization: "Bearer bad" }),
  ])
    expect([response.status, await response.text()]).toEqual([503, "not ready\n"]);
  expect(await (await trusted("/readyz")).text()).toBe("starting\n");
});

test("status answers what the server says of itself, and stop asks it to end", async () => {
  const { trusted, calls } = setup();
  expect(await (await trusted("/v1/status")).json()).toEqual(status);
  const stopped = await trusted("/v1/stop", {}, "POST");
  expect([stopped.status, await stopped.json()]).toEqual([202, { ended: 3, left: [] }]);
  expect(calls).toMatchObject({ stopped: [{ owner: "somebody" }], held: 1 });
  expect((await trusted("/v1/stop")).status).toBe(404);
  expect(calls.stopped).toHaveLength(1);
});

test.each(["/", "/nothing", "/v1", "/v1/channel/x", "/v2/channel", "/healthz/../v1/nothing", "//"])(
  "there is nothing at %s: 404",
  async (path) => {
    expect((await setup().trusted(path)).status).toBe(404);
  },
);

describe("the channel", () => {
  test("upgrades on behalf of the token's owner", async () => {
    const { trusted, calls } = setup();
    await trusted("/v1/channel", upgrade);
    await trusted("/v1/channel", {
      ...upgrade,
      upgrade: "WebSocket",
      "sec-websocket-protocol": "x, farhand.v1",
    });
    expect(calls.upgraded).toEqual(["somebody", "somebody"]);
  });

  test("answers 426 to what is no upgrade", async () => {
    const { trusted, calls } = setup();
    const response = await trusted("/v1/channel");
    expect(response.status).toBe(426);
    expect(await response.json()).toMatchObject({ code: "protocol_error" });
    expect((await trusted("/v1/channel", { ...upgrade, upgrade: "h2c" })).status).toBe(426);
    expect(calls.upgraded).toEqual([]);
  });

  test.each(["", "farhand.v2", "farhand", "farhand.v1.1", "chat, farhand.v2"])(
    "refuses the subprotocols %j",
    async (protocols) => {
      const { trusted, calls } = setup();
      const response = await trusted("/v1/channel", { ...upgrade, "sec-websocket-protocol": protocols });
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ code: "unsupported_version" });
      expect(calls.upgraded).toEqual([]);
    },
  );

  test("says so when the upgrade is malformed", async () => {
    const response = await setup({ upgrades: false }).trusted("/v1/channel", upgrade);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: "protocol_error" });
  });

  test("takes no other method", async () => {
    const { trusted, calls } = setup();
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS"])
      expect((await trusted("/v1/channel", upgrade, method)).status).toBe(404);
    expect(calls.upgraded).toEqual([]);
  });
});

test("an unexpected failure is told to the log, and to the caller only that there is one", async () => {
  const { trusted, calls } = setup({ fails: true });
  const response = await trusted("/v1/status");
  expect(response.status).toBe(500);
  expect(await response.json()).toEqual({
    code: "internal",
    message: "The server failed unexpectedly: its log says why",
  });
  expect(calls.errors.map(({ message }) => message)).toEqual(["a secret path /home/somebody"]);
});

describe("Who is not let in yet", () => {
  const post = (
    path: string,
    body: string,
    type = "application/json",
    headers: Record<string, string> = {},
  ) => {
    const { app } = setup();
    return app.request(`http://127.0.0.1:9922${path}`, {
      method: "POST",
      headers: { host: "127.0.0.1:9922", "content-type": type, ...headers },
      body,
    });
  };
  const login = (password: string) => JSON.stringify({ user: "u", password });

  test("trades a secret or a password for a token, in an answer that nobody keeps", async () => {
    const joined = await post("/v1/join", JSON.stringify({ secret: "good" }));
    const logged = await post("/v1/login", login("good"), "application/json; charset=utf-8");
    for (const response of [joined, logged]) {
      expect([response.status, response.headers.get("cache-control")]).toEqual([200, "no-store"]);
      expect(await response.json()).toEqual({ token: "fh_", name: "n", user: "u" });
    }
  });

  test("hears that it is wrong, or when to come again", async () => {
    expect((await post("/v1/join", JSON.stringify({ secret: "bad" }))).status).toBe(401);
    expect((await post("/v1/login", login("bad"))).status).toBe(401);
    const late = await post("/v1/login", login("late"));
    expect([late.status, late.headers.get("retry-after")]).toEqual([429, "5"]);
  });

  test.each([
    ["a form", login("good"), "application/x-www-form-urlencoded"],
    ["text", login("good"), "text/plain"],
    ["no JSON", "{", "application/json"],
    ["nothing", "", "application/json"],
    ["a list", "[]", "application/json"],
    ["an unknown field", JSON.stringify({ user: "u", password: "good", more: 1 }), "application/json"],
    ["no password", JSON.stringify({ user: "u" }), "application/json"],
    ["more than 8 KiB", login("x".repeat(9_000)), "application/json"],
    ["8 KiB of nothing", `${login("good")}${" ".repeat(9_000)}`, "application/json"],
  ])("is refused %s, and not told what he said", async (_, body, type) => {
    const response = await post("/v1/login", body, type);
    expect(response.status).toBe(400);
    expect(await response.text()).not.toContain("good");
  });

  test("is refused from a foreign page, whatever he brings", async () => {
    const headers = { origin: "https://evil.example" };
    for (const path of ["/v1/join", "/v1/login", "/v1/ticket"])
      expect((await post(path, login("good"), "application/json", headers)).status).toBe(403);
  });
});

describe("A ticket", () => {
  test("is given only to whom is let in", async () => {
    const { request, trusted } = setup();
    expect((await request("/v1/ticket", {}, "POST")).status).toBe(401);
    expect(await (await trusted("/v1/ticket", {}, "POST")).json()).toEqual({ ticket: "t", expires: 1 });
    expect((await trusted("/v1/ticket")).status).toBe(404);
  });

  test("opens a channel, and nothing else", async () => {
    const { request, calls } = setup();
    const offer = (name: string) => ({ ...upgrade, "sec-websocket-protocol": `farhand.v1, ${name}` });
    await request("/v1/channel", offer("farhand.ticket.good"));
    expect(calls.upgraded).toHaveLength(1);
    expect((await request("/v1/channel", offer("farhand.ticket.bad"))).status).toBe(401);
    expect((await request("/v1/status", offer("farhand.ticket.good"))).status).toBe(401);
    expect((await request("/v1/channel?ticket=farhand.ticket.good", upgrade)).status).toBe(401);
    expect(calls.upgraded).toHaveLength(1);
  });
});
