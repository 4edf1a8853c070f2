import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

async function setup() {
  const world = openWorld();
  const { listen } = await world.start();
  const address = String(listen[0]);
  const isRun = () => existsSync(join(world.home, "executed"));
  return { ...world, address, url: `http://${address}`, isRun };
}

const command = ["exec", "--", "touch", "executed"];

describe("A client", () => {
  test("with a wrong token is refused with one sentence and 125, and nothing is executed", async () => {
    await using world = await setup();
    const ran = await world.farhand(command, { env: { FARHAND_TOKEN: "wrong" } });
    expect([ran.code, ran.stdout]).toEqual([125, ""]);
    expect(ran.stderr).toMatch(/^farhand: Cannot [^\n]*token[^\n]*\n$/);
    expect([world.isRun(), (await world.status()).jobs.total]).toEqual([false, 0]);
  });

  test("without a token is refused with one sentence and 125, and nothing is executed", async () => {
    await using world = await setup();
    const env = { FARHAND_STATE: join(world.home, "elsewhere") };
    const ran = await world.farhand(["-H", world.address, ...command], { env });
    expect([ran.code, ran.stdout]).toEqual([125, ""]);
    expect(ran.stderr).toMatch(/^farhand: Cannot [^\n]*token[^\n]*\n$/);
    expect([world.isRun(), (await world.status()).jobs.total]).toEqual([false, 0]);
  });

  test("does not tell this machine's token to another address", async () => {
    await using world = await setup();
    const heard: string[] = [];
    using other = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request) => {
        heard.push(JSON.stringify([...request.headers]), request.url);
        return new Response("no", { status: 401 });
      },
    });
    expect((await world.farhand(["-H", `127.0.0.1:${other.port}`, ...command])).code).toBe(125);
    expect(heard.length).toBeGreaterThan(0);
    expect(heard.join("\n")).not.toContain(world.local().token);
  });

  test("finds no server, or none that answers, with one sentence and 125", async () => {
    await using world = await setup();
    const none = { FARHAND_STATE: join(world.home, "elsewhere") };
    const unknown = await world.farhand(command, { env: none });
    expect([unknown.code, unknown.stderr]).toEqual([125, expect.stringMatching(/^farhand: [^\n]+\n$/)]);
    await world.farhandd(["stop"]);
    const env = { FARHAND_TOKEN: "any" };
    const refused = await world.farhand(["-H", world.address, ...command], { env });
    expect([refused.code, refused.stderr]).toEqual([125, expect.stringMatching(/^farhand: [^\n]+\n$/)]);
  });
});

describe("The server", () => {
  test("answers 401 before the upgrade to whoever brings no token or a wrong one", async () => {
    await using world = await setup();
    const upgrade = {
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
      "sec-websocket-protocol": "farhand.v1",
    };
    for (const authorization of [undefined, "Bearer wrong", "Bearer ", `Basic ${world.local().token}`]) {
      const headers = { ...upgrade, ...(authorization !== undefined && { authorization }) };
      for (const path of ["/v1/channel", "/v1/status", "/v1/anything"]) {
        const { status } = await fetch(world.url + path, { headers });
        expect([authorization, path, status]).toEqual([authorization, path, 401]);
      }
    }
    const stop = await fetch(`${world.url}/v1/stop`, { method: "POST" });
    expect([stop.status, (await world.status()).jobs.total]).toEqual([401, 0]);
  });

  test("answers 403 to a foreign Origin or Host, with the right token too", async () => {
    await using world = await setup();
    const authorization = `Bearer ${world.local().token}`;
    for (const foreign of [
      { origin: "https://evil.example" },
      { origin: "null" },
      { origin: "http://127.0.0.1:1" },
      { host: "evil.example" },
      { host: `evil.example:${new URL(world.url).port}` },
    ]) {
      for (const path of ["/v1/channel", "/v1/status", "/healthz"]) {
        const { status } = await fetch(world.url + path, { headers: { authorization, ...foreign } });
        expect([foreign, path, status]).toEqual([foreign, path, 403]);
      }
    }
  });

  test("tells anyone that it lives and is ready, and nothing more", async () => {
    await using world = await setup();
    const [health, ready] = await Promise.all(
      ["/healthz", "/readyz"].map(async (path) => (await fetch(world.url + path)).text()),
    );
    expect([health, ready]).toEqual(["ok\n", "ready\n"]);
  });
});

describe("--connect-timeout", () => {
  test("keeps trying until the server has started, seconds later", async () => {
    await using world = await setup();
    await world.farhandd(["stop"]);
    const client = world.open(["farhand", "--connect-timeout", "30s", "exec", "--", "echo", "here"]);
    await Bun.sleep(3_000); // the delay is what is tested
    await world.start("--listen", world.address);
    expect(await client.ran).toMatchObject({ code: 0, stdout: "here\n", stderr: "" });
  });

  test("keeps trying a port that refuses, and follows the new start's token", async () => {
    await using world = await setup();
    const before = world.local();
    const { pid } = await world.status();
    process.kill(pid, "SIGKILL"); // leaves address and token of a server that is gone
    const argv = ["farhand", "-H", world.address, "--connect-timeout", "30s", "exec", "--", "echo", "here"];
    const client = world.open(argv);
    await Bun.sleep(500); // the first attempts fail
    await world.start("--listen", world.address);
    expect(await client.ran).toMatchObject({ code: 0, stdout: "here\n", stderr: "" });
    expect(world.local().token).not.toBe(before.token);
  });

  test("ends with 125 and a sentence when the limit is reached", async () => {
    await using world = await setup();
    await world.farhandd(["stop"]);
    const { code, stderr } = await world.farhand(["--connect-timeout", "500ms", "exec", "--", "true"]);
    expect([code, stderr]).toEqual([125, expect.stringMatching(/^farhand: [^\n]+\n$/)]);
  });
});
