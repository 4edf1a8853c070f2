import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Pool, startServer, type StartServerOptions } from "../../src/sdk.ts";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

/** A world whose PATH has farhandd in it, and a server of it as programs start one. */
function setup() {
  const world = openWorld();
  const start = (options: StartServerOptions = {}) =>
    startServer({ listen: "127.0.0.1:0", env: world.env, ...options });
  const refusal = (options: StartServerOptions) => start(options).catch((error: unknown) => error);
  return { ...world, start, refusal };
}

test("startServer() starts the farhandd that is in the PATH, and tells how to reach it once it answers", async () => {
  await using world = setup();
  const server = await world.start();
  expect(server).toMatchObject({ state: world.state, ...world.local() });
  expect([server.addresses, server.pin]).toEqual([[new URL(server.url).host], undefined]);
  await using connection = await server.connect();
  expect((await connection.exec(["echo", "hello"])).text).toBe("hello\n");
  expect(await world.status()).toMatchObject({ pid: server.pid });
});

test("startServer() takes an executable by its path, and a state directory that is nobody else's", async () => {
  await using world = setup();
  const state = join(world.home, "other");
  const path = Bun.which("farhandd", { PATH: world.env["PATH"] ?? "" }) ?? "";
  const server = await world.start({ path, state, env: { ...world.env, PATH: "/nowhere" } });
  expect([server.state, existsSync(join(state, "local.json")), existsSync(world.state)]).toEqual([
    state,
    true,
    false,
  ]);
});

test("startServer() is answered by a server that outlives the program, and that connects again when it is started again", async () => {
  await using world = setup();
  const script = join(world.home, "script.ts");
  const sdk = join(import.meta.dir, "../../src/sdk.ts");
  writeFileSync(
    script,
    `import { startServer } from ${JSON.stringify(sdk)};
     const { url } = await startServer({ listen: "127.0.0.1:0" });
     console.log(url);`,
  );
  const { stdout, stderr, code } = await world.open([process.execPath, script]).ran;
  expect([stderr, code]).toEqual(["", 0]);
  expect(world.local().url).toBe(stdout.trim());
  expect((await world.farhand(["ping", "-c", "1"])).code).toBe(0);

  const { pid } = await world.status();
  await world.farhandd(["stop"]);
  const server = await world.start();
  await world.farhandd(["stop"]);
  await world.start();
  await using connection = await server.connect({ timeout: 20_000 });
  expect((await connection.exec(["true"])).exitCode).toBe(0);
  expect((await world.status()).pid).not.toBe(pid);
});

test("startServer() tells what programs elsewhere need: its addresses, and by which key it is known", async () => {
  await using world = setup();
  const server = await world.start({ listen: "0.0.0.0:0" });
  const [address = ""] = server.addresses.filter((address) => address.startsWith("https://0.0.0.0:"));
  const { port } = new URL(address);
  const created = await world.farhandd(["token", "create", "elsewhere", "--role", "operator"]);
  await using pool = new Pool({});
  const options = { token: created.stdout.trim(), ...(server.pin !== undefined && { pin: server.pin }) };
  const connection = await pool.add(`https://127.0.0.1:${port}`, options).connect();
  expect((await connection.exec(["echo", "elsewhere"])).text).toBe("elsewhere\n");
  await using own = await server.connect();
  expect((await own.exec(["echo", "here"])).text).toBe("here\n");
});

test("startServer() says why there is no server, and leaves none", async () => {
  await using world = setup();
  expect(await world.refusal({ env: { ...world.env, PATH: "/nowhere" } })).toMatchObject({
    code: "not_found",
    message: expect.stringContaining("no farhandd in the PATH"),
  });
  expect(await world.refusal({ path: "/no/such/farhandd" })).toMatchObject({
    code: "unavailable",
    message: expect.stringContaining("/no/such/farhandd"),
  });
  expect(await world.refusal({ listen: "nonsense address" })).toMatchObject({
    code: "unavailable",
    message: expect.stringContaining("nonsense address"),
  });
  const signal = AbortSignal.abort(new Error("enough"));
  expect(await world.refusal({ signal })).toMatchObject({ message: "enough" });
  expect((await world.farhandd(["status"])).code).toBe(3);
});

test("startServer() refuses to start a second server with one state directory", async () => {
  await using world = setup();
  const { url, pid } = await world.start();
  expect(await world.refusal({})).toMatchObject({
    code: "already_exists",
    message: expect.stringContaining(`pid ${pid} at ${url}`),
  });
});

test("startServer() has a task from the start, and leaves no server where that cannot be had", async () => {
  await using world = setup();
  const write = (name: string, text: string) => {
    writeFileSync(join(world.home, name), text);
    return join(world.home, name);
  };
  const broken = write("broken.ts", "export default {");
  expect(await world.refusal({ task: { name: "one", module: broken } })).toMatchObject({
    code: "invalid_module",
    message: expect.stringContaining("broken.ts:1:"),
  });
  expect(existsSync(world.state)).toBe(false);
  const throws = write("throws.ts", "export default { init() { throw new TypeError('no'); }, exec() {} };");
  expect(await world.refusal({ task: { name: "one", module: throws } })).toMatchObject({
    code: "threw",
    name: "TypeError",
  });
  expect((await world.farhandd(["status"])).code).toBe(3);

  const module = write(
    "one.ts",
    "export default { init: (context, args) => args, exec: (context, state) => { context.respond(state); return state; } };",
  );
  const server = await world.start({
    task: { name: "one", module, args: { at: new Date(7) }, replace: true },
  });
  await using connection = await server.connect();
  expect((await connection.tasks.exec("one")).value).toEqual({ at: new Date(7) });
});
