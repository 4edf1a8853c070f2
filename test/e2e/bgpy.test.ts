import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ClientError, type Connection, Pool, startServer } from "../../src/sdk.ts";
import { FARHAND, FARHANDD } from "../support/built.ts";
import { compileScript } from "../support/compile-script.ts";
import { openConnected } from "../support/connected.ts";
import { eventually } from "../support/eventually.ts";
import { RawClient } from "../support/raw.ts";
import { openWorld, type World } from "../support/world.ts";

setDefaultTimeout(60_000);

// What bgpy's users do, in our words: its example, each row of what it offers, and each known bug of its.

const FIXTURES = join(import.meta.dir, "../fixtures/bgpy");
const TASK = join(FIXTURES, "task.ts");
const increase = { command: "increase", valueChange: 10 };

const caught = (promise: Promise<unknown>) => promise.catch((error: unknown) => error);

/** A connection to a server that has bgpy's example as a task. */
async function setup() {
  const stage = await openConnected();
  await stage.web1.tasks.start("account", { module: TASK });
  return stage;
}

/** A task in a file of the world's home. */
function write(world: World, name: string, text: string): string {
  const path = join(world.home, `${name}.ts`);
  writeFileSync(path, `import { defineTask } from "farhand";\nexport default defineTask(${text});\n`);
  return path;
}

/** A state that counts, and tells how far it is. */
const COUNTER = `{
  init: () => 0,
  exec(context, state) { context.respond(state + 1); return state + 1; },
  exit(context, state) { context.respond(state); },
}`;

async function count({ tasks }: Connection, name: string): Promise<unknown> {
  return (await tasks.exec(name)).value;
}

describe("The example of its README", () => {
  const ended = { requestCount: 3, value: 910, status: "Exited." };

  test("is begun by one program, and ended by another that knows the address alone", async () => {
    await using world = openWorld();
    const run = (script: string, ...args: string[]) =>
      world.open([process.execPath, join(FIXTURES, script), ...args]).ran;
    const first = await run("first.ts", "127.0.0.1:0", TASK);
    expect(first).toMatchObject({ code: 0, stderr: "" });
    const second = await run("second.ts", first.stdout.trim());
    expect(second).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(second.stdout)).toEqual(ended);
  });

  test("runs where there is no runtime at all, with compiled programs and ours in the PATH", async () => {
    await using world = openWorld();
    const env = await barePath(world);
    const compile = (script: string) => compileScript(join(FIXTURES, script), world.home);
    const [first, second] = [await compile("first.ts"), await compile("second.ts")];
    const begun = await world.open([first, "127.0.0.1:0", TASK], { env }).ran;
    expect(begun).toMatchObject({ code: 0, stderr: "" });
    const done = await world.open([second, begun.stdout.trim()], { env }).ran;
    expect([done.stderr, JSON.parse(done.stdout)]).toEqual(["", ended]);
  });

  test("runs as a shell script of our two executables, and nothing else in the PATH", async () => {
    await using world = openWorld();
    const env = await barePath(world);
    const ran = await world.open(["/bin/sh", join(FIXTURES, "example.sh"), "127.0.0.1:0", TASK], { env }).ran;
    expect(ran).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(ran.stdout)).toEqual(ended);
  });
});

/** A PATH in which there is nothing but our executables. */
async function barePath(world: World): Promise<{ readonly PATH: string }> {
  const path = join(world.home, "bin");
  await world.shell(`mkdir bin && ln -s ${FARHAND} ${FARHANDD} bin/`);
  expect([Bun.which("bun", { PATH: path }), Bun.which("node", { PATH: path })]).toEqual([null, null]);
  return { PATH: path };
}

describe("Of what it offers,", () => {
  test("Server.run_background(): startServer() resolves once the server answers, and changes nothing of ours", async () => {
    await using world = openWorld();
    const before = { ...process.env };
    const server = await startServer({ env: world.env, listen: "127.0.0.1:0" });
    expect(process.env).toEqual(before);
    expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
  });

  test("initialize(): a task begins with what its init answers, and with what that is given", async () => {
    await using stage = await setup();
    const { world, web1 } = stage;
    const module = write(
      world,
      "given",
      `{
        init: async (context, { start }) => ({ value: start }),
        exec(context, state) { context.respond(state); return state; },
      }`,
    );
    expect(await web1.tasks.start("given", { module, args: { start: 7 } })).toMatchObject({
      state: "running",
    });
    expect((await web1.tasks.exec("given")).value).toEqual({ value: 7 });
  });

  test("execute(): the state is what the last execution returned; what is sent is left as it is", async () => {
    await using stage = await setup();
    const { tasks } = stage.web1;
    const sent = Object.freeze({ ...increase });
    for (let round = 0; round < 3; round++)
      expect(await tasks.exec("account", sent)).toMatchObject({ state: "finished", responded: false });
    expect(sent).toEqual(increase);
    expect((await tasks.stop("account")).value).toEqual({ requestCount: 4, value: 1030, status: "Exited." });
  });

  test("execute(await_response=True): answers what the task responds, more than once in its life", async () => {
    await using stage = await setup();
    const { world, web1 } = stage;
    await web1.tasks.start("counter", { module: write(world, "counter", COUNTER) });
    expect([await count(web1, "counter"), await count(web1, "counter")]).toEqual([1, 2]);
    const { code, stdout } = await world.farhand(["task", "exec", "counter", "--await"]);
    expect([code, stdout]).toEqual([0, "3\n"]);
  });

  test("the receipt: --no-wait prints an id once it is queued, by which whoever likes looks it up", async () => {
    await using stage = await setup();
    const { world, web1 } = stage;
    await web1.tasks.start("counter", { module: write(world, "counter", COUNTER) });
    const { stdout } = await world.farhand(["task", "exec", "counter", "--no-wait"]);
    expect(stdout).toMatch(/^[0-9a-f-]{36}\n$/);
    const found = await world.farhand(["task", "await", "counter", stdout.trim()]);
    expect([found.code, found.stdout]).toEqual([0, "1\n"]);
  });

  test("terminate(): exit runs with what it is given, its answer is told, and the name is free", async () => {
    await using stage = await setup();
    const { world, web1 } = stage;
    const module = write(
      world,
      "last",
      `{ exec: (context, state) => state, exit(context, state, args) { context.respond(args); } }`,
    );
    await web1.tasks.start("last", { module });
    const stopped = await world.farhand(["task", "stop", "last", '{"bye": [1, 2]}']);
    expect([stopped.code, JSON.parse(stopped.stdout)]).toEqual([0, { bye: [1, 2] }]);
    await web1.tasks.start("last", { module });
    expect((await web1.tasks.show("last")).state).toBe("running");
  });

  test("respond(error=True), and every other error, is thrown and has a code: none passes for an answer", async () => {
    await using stage = await setup();
    const { world, web1 } = stage;
    const module = write(world, "fail", `{ exec() { throw new RangeError("too much"); } }`);
    await web1.tasks.start("fail", { module });
    const error = await caught(web1.tasks.exec("fail"));
    expect(error).not.toBeInstanceOf(ClientError);
    expect(error).toMatchObject({ code: "threw", name: "RangeError", message: "too much" });
    const ran = await world.farhand(["task", "exec", "fail", "--await"]);
    expect([ran.code, ran.stdout, ran.stderr]).toEqual([1, "", "farhand: RangeError: too much\n"]);
    const json = await world.farhand(["task", "exec", "fail", "--json"]);
    expect([json.code, JSON.parse(json.stdout)]).toMatchObject([1, { type: "error", code: "threw" }]);
  });

  test("token_create() and BGPY_TOKEN: a token is made by the server, and whoever has another is refused", async () => {
    await using stage = await setup();
    const { world } = stage;
    const token = (await world.farhandd(["token", "create", "ci", "--role", "operator"])).stdout.trim();
    expect(token).toMatch(/^[\w.-]{60,}$/); // it may stand in a URL
    const env = { FARHAND_HOST: world.local().url, FARHAND_TOKEN: token };
    expect((await world.farhand(["task", "list"], { env })).code).toBe(0);
    const wrong = { ...env, FARHAND_TOKEN: `${token.slice(0, -4)}AAAA` };
    const refused = await world.farhand(["task", "list", "--json"], { env: wrong });
    expect([refused.code, JSON.parse(refused.stdout)]).toMatchObject([125, { code: "unauthenticated" }]);
  });

  test("bgpy server: what keeps it from starting is told, and the exit code says so", async () => {
    await using stage = await setup();
    const { world } = stage;
    const { host } = new URL(world.local().url);
    await using other = openWorld();
    const taken = await other.farhandd(["serve", "--listen", host]);
    expect([taken.code, taken.stderr]).toEqual([1, expect.stringContaining("the port is in use")]);
  });

  test("bgpy terminate: where nobody listens it says that, with an exit code", async () => {
    await using world = openWorld();
    const refused = await world.farhand(["-H", "127.0.0.1:1", "task", "stop", "account"]);
    expect([refused.code, refused.stderr]).toEqual([125, expect.stringMatching(/refused/)]);
  });

  test("bgpy version: both executables tell theirs", async () => {
    await using world = openWorld();
    for (const run of [world.farhand, world.farhandd]) {
      const { code, stdout } = await run(["--version"]);
      expect([code, stdout]).toEqual([0, expect.stringMatching(/\d+\.\d+\.\d+/)]);
    }
  });

  test("the init file: a task that the server begins with is there at once, and another of its name is refused", async () => {
    await using world = openWorld();
    await world.start("--task", `account=${TASK}`);
    const again = await world.farhand(["task", "start", "account", TASK, "--json"]);
    expect([again.code, JSON.parse(again.stdout)]).toMatchObject([125, { code: "already_started" }]);
    expect((await world.farhand(["task", "exec", "account", JSON.stringify(increase)])).code).toBe(0);
  });

  test("EXEC before INIT is refused, and says what is missing", async () => {
    await using stage = await openConnected();
    expect(await caught(stage.web1.tasks.exec("account", increase))).toMatchObject({ code: "not_found" });
  });

  test("what its log had is there for whoever asks: who did what, and what the task logs", async () => {
    await using stage = await setup();
    const { world, web1 } = stage;
    const module = write(
      world,
      "log",
      `{ exec(context, state) { context.log("here I am"); return state; } }`,
    );
    await web1.tasks.start("log", { module });
    await web1.tasks.exec("log");
    const followed = await world.farhand(["task", "follow", "log", "--no-follow"]);
    expect(followed.stderr).toContain("here I am");
  });
});

describe("Of its known bugs we have none:", () => {
  test("1 and 3: nobody who is not let in has anything of his looked at, and garbage ends no server", async () => {
    await using stage = await setup();
    const { url } = stage.world.local();
    const pickle = `${"cposix\nsystem\n(S'touch /tmp/owned'\ntR.".length}`.padStart(16, "0");
    for (const garbage of ["not a number\n", pickle, "\x00\xff".repeat(4_096), "16\r\n\r\n"]) {
      using client = await RawClient.connect(url);
      client.write(new TextEncoder().encode(garbage));
      client.write(new TextEncoder().encode("\r\n\r\n"));
      await client.ended;
    }
    expect(await caught(stage.web1.tasks.exec("account", increase))).toMatchObject({ state: "finished" });
  });

  test("2: a server in the foreground wants a token too", async () => {
    await using world = openWorld();
    world.open(["farhandd", "serve", "--listen", "127.0.0.1:0"]);
    await eventually(async () => (await world.farhandd(["status"])).code === 0, 20_000);
    await using pool = new Pool({});
    const member = pool.add(world.local().url, { token: "fh_wrong" });
    expect(await caught(member.connect())).toMatchObject({ code: "unauthenticated" });
  });

  test("4: what exec throws ends neither the server nor the task, and whoever asked is told", async () => {
    await using stage = await setup();
    const { world, web1 } = stage;
    const module = write(
      world,
      "moody",
      `{
        init: () => 0,
        exec(context, state, fails) {
          if (fails) throw new Error("not today");
          context.respond(state + 1);
          return state + 1;
        },
      }`,
    );
    await web1.tasks.start("moody", { module });
    await count(web1, "moody");
    expect(await caught(web1.tasks.exec("moody", true))).toMatchObject({
      code: "threw",
      message: "not today",
    });
    expect(await count(web1, "moody")).toBe(2);
    expect((await web1.tasks.show("moody")).restarts).toBe(0);
  });

  test("5: idle connections keep nobody waiting", async () => {
    await using stage = await setup();
    const { url } = stage.world.local();
    await using stack = new AsyncDisposableStack();
    for (let index = 0; index < 5; index++) stack.use(await RawClient.connect(url));
    expect(await stage.web1.tasks.exec("account", increase)).toMatchObject({ state: "finished" });
    expect((await stage.world.farhand(["task", "list"])).code).toBe(0);
  });

  test("6: whoever awaits an answer of a task that gives none is told at once", async () => {
    await using stage = await setup();
    const { web1, world } = stage;
    expect(await caught(web1.tasks.exec("account", increase, { wait: "response" }))).toMatchObject({
      code: "no_response",
    });
    const ran = await world.farhand([
      "task",
      "exec",
      "account",
      JSON.stringify(increase),
      "--await",
      "--json",
    ]);
    expect([ran.code, JSON.parse(ran.stdout)]).toMatchObject([125, { code: "no_response" }]);
    expect((await web1.tasks.stop("account")).value).toMatchObject({ value: 1020 }); // both were done
  });

  test("7: what arrives in one piece is all done, in its order", async () => {
    await using stage = await setup();
    const { world, web1 } = stage;
    await web1.tasks.start("counter", { module: write(world, "counter", COUNTER) });
    const numbers = Array.from({ length: 500 }, (_, index) => index + 1);
    expect(await Promise.all(numbers.map(() => count(web1, "counter")))).toEqual(numbers);
  });

  test("8: a token is proved by a key and compared in constant time, and a state outlives the server", async () => {
    const source = join(import.meta.dir, "../../src/lib/ed25519.ts");
    expect(await Bun.file(source).text()).toContain("timingSafeEqual(");
    await using stage = await setup();
    const { world, web1 } = stage;
    await web1.tasks.exec("account", increase);
    await world.farhandd(["stop"]);
    await world.start();
    await using pool = new Pool({ FARHAND_STATE: world.state });
    const connection = await pool.add(world.local().url, { token: world.local().token }).connect();
    expect((await connection.tasks.stop("account")).value).toMatchObject({ requestCount: 2, value: 1010 });
  });
});
