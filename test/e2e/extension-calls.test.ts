import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ACCOUNT, asRoot } from "../support/account.ts";
import { openDirectory } from "../support/directory.ts";
import { openCallers } from "../support/callers.ts";
import { eventually } from "../support/eventually.ts";
import { openModulesWorld } from "../support/modules.ts";
import { RawClient } from "../support/raw.ts";
import { testIf } from "../support/test-if.ts";

setDefaultTimeout(120_000);

const MODULE = `
  import { AppError, defineCommand, v } from "farhand";
  const around = (_input, { cwd, env, caller }) => ({
    pid: process.pid,
    uid: process.getuid(),
    cwd,
    where: process.cwd(),
    mine: [env.MINE, process.env.MINE],
    steered: Object.keys(process.env).filter((name) => /^(BUN_|LD_)/.test(name)),
    env: Object.keys(env),
    caller,
  });
  const any = v.any();
  export default [
    defineCommand({ name: "deploy", summary: "Deploy", input: v.object({ to: v.string() }), positional: ["to"],
      result: any, run: ({ to }) => "deployed to " + to }),
    defineCommand({ name: "peek", summary: "Look around", permission: "read", result: any, run: around }),
    defineCommand({ name: "peek-job", kind: "background", summary: "Look around", result: any,
      async *run(input, context) { return around(input, context); } }),
    defineCommand({ name: "keep-secret", kind: "background", summary: "Know something", confidential: ["token"],
      input: v.object({ token: v.string(), open: v.optional(v.string()), many: v.optional(v.set(v.number())) }),
      async *run() {} }),
    defineCommand({ name: "tell-secret", summary: "Know something", confidential: ["token"],
      input: v.object({ token: v.string(), open: v.string() }), run: () => null }),
    defineCommand({ name: "endless", summary: "Never end", timeout: "1s", run: () => new Promise(() => {}) }),
    defineCommand({ name: "endless-job", kind: "background", summary: "Never end", timeout: "1s", event: v.string(),
      async *run(_input, { signal }) {
        yield "begun";
        if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
      } }),
    defineCommand({ name: "waits", kind: "background", summary: "Wait", event: v.string(),
      async *run(_input, { signal }) {
        yield "begun";
        if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
        yield "told to end";
      } }),
    defineCommand({ name: "large", summary: "Say much", input: v.object({ bytes: v.number(), events: v.optional(v.number(), 0) }),
      event: any, result: any,
      async *run({ bytes, events }) {
        for (let index = 0; index < events; index++) yield "e".repeat(bytes);
        return "r".repeat(bytes);
      } }),
    defineCommand({ name: "rich", summary: "Give back", input: v.object({ value: any }), result: any,
      run: ({ value }) => value }),
    defineCommand({ name: "refuse", summary: "Refuse", run: () => { throw new AppError("not_found", "No such thing", { details: { a: 1 } }); } }),
  ];`;

/** How the command line writes what JSON has not. */
const UNDEFINED = { $undefined: true };

/** A world with that module. `config`: what the configuration says besides. */
async function setup(config = "", ...flags: string[]) {
  const world = openModulesWorld({ "all.ts": MODULE });
  const path = world.configure(`listen = "127.0.0.1:0"\n${config}`);
  await world.start("--config", path, ...flags);
  const peek = async (...args: string[]) => JSON.parse(await world.ok("peek", ...args));
  return { ...world, peek };
}

describe("A call of a command of one's own", () => {
  test("that may not be is refused as of any other command", async () => {
    using directory = openDirectory();
    writeFileSync(join(directory.path, "all.ts"), MODULE);
    await using callers = await openCallers(
      `[commands]\nfiles = ["${directory.path}/all.ts"]\n[roles.deployer]\npermissions = ["exec"]\ncommands = ["deploy"]\n[roles.looker]\npermissions = ["read"]\nroots = []\n`,
    );
    const deployer = await callers.createToken("dora", "deployer");
    const as = async (token: string, ...args: string[]) => {
      const { code, stdout, stderr } = await callers.farhandAs(token, args);
      return `${code} ${stdout}${stderr}`;
    };
    expect(await as(deployer, "call", "deploy", "--input", '{"to":"web1"}')).toBe('0 "deployed to web1"\n');
    expect(await as(deployer, "call", "peek")).toContain('lack the permission "read"');
    expect(await as(deployer, "call", "peek-job", "--detach")).toContain(
      'your roles grant the permission "exec" for other commands only',
    );
    const looker = await callers.createToken("lena", "looker");
    expect(await as(looker, "call", "peek")).toContain('"user":"lena"');
    expect(await as(looker, "call", "deploy", "--input", '{"to":"x"}')).toContain(
      'you lack the permission "exec"',
    );
    const admin = await callers.createToken("root", "admin");
    const narrowed = await callers.narrow(admin, "--only", "deploy,peek", "--uses", "2");
    expect(await as(narrowed, "call", "deploy", "--input", '{"to":"a"}')).toContain("deployed to a");
    expect(await as(narrowed, "call", "rich", "--input", '{"value":1}')).toContain(
      "narrowed to other commands",
    );
    expect(await as(narrowed, "call", "peek")).toContain('"user":"root"');
    expect(await as(narrowed, "call", "deploy", "--input", '{"to":"b"}')).toMatch(/^125 .*use/);
  });

  test("cannot be made, changed or looked into by whoever is confined to directories that hold modules", async () => {
    using directory = openDirectory();
    const at = (name: string) => join(directory.path, name);
    for (const name of ["own", "lib", "free"]) mkdirSync(at(name));
    writeFileSync(
      at("own/a.ts"),
      `import { says } from "../lib/says.ts"; export default { name: "say", summary: "S", result: says.schema, run: () => says.text };`,
    );
    writeFileSync(
      at("lib/says.ts"),
      `import { v } from "farhand"; export const says = { text: "hi", schema: v.string() };`,
    );
    await using callers = await openCallers(
      `[commands]\ndirectory = "${at("own")}"\n[roles.writer]\npermissions = ["read", "write"]\nroots = ["${directory.path}"]\n`,
    );
    const token = await callers.createToken("wanda", "writer");
    const as = async (...args: string[]) => (await callers.farhandAs(token, args)).stderr;
    expect(await as("wrfile", at("free/x.ts"), "fine")).toBe("");
    for (const file of ["own/b.ts", "own/a.ts", "lib/says.ts"])
      expect(await as("wrfile", at(file), "evil")).toContain("server's own");
    expect(await as("rdfile", at("own/a.ts"))).toContain("server's own");
    for (const way of ["own", "lib"]) expect(await as("mv", at(way), at("other"))).not.toBe("");
    expect((await callers.world.farhand(["say"])).stdout).toBe("hi\n");
  });

  test("has its caller's workspace for directory and environment, and nothing of it makes the process another", async () => {
    await using world = await setup();
    await world.ok("cd", "/usr");
    const evil = world.at("../evil.js");
    writeFileSync(evil, `require("node:fs").writeFileSync(${JSON.stringify(world.at("ran"))}, "")`);
    await world.ok("env", "MINE=yes", `BUN_OPTIONS=--preload=${evil}`, "BUN_BE_BUN=1", "LD_PRELOAD=/nope.so");
    expect(await world.peek()).toMatchObject({
      cwd: "/usr",
      where: "/usr",
      mine: ["yes", "yes"],
      caller: { user: "local", role: "admin", source: "127.0.0.1" },
    });
    const job = JSON.parse(await world.ok("peek-job"));
    expect(job).toMatchObject({ cwd: "/usr", where: "/usr", mine: ["yes", "yes"], steered: [] });
    expect(existsSync(world.at("ran"))).toBe(false);
  });

  test("is judged before anything runs: what its input lacks is named, of background commands too", async () => {
    await using world = await setup();
    const refused = async (...args: string[]) => await world.bad("call", ...args);
    expect(await refused("deploy", "--input", "{}")).toBe(
      '125 farhand: Cannot call "deploy": the input at "to" is missing\n',
    );
    expect(await refused("deploy", "--input", '{"to":1}')).toContain(
      'the input at "to" must be a string, and is a number',
    );
    expect(await refused("keep-secret", "--input", '{"token":5}')).toContain('the input at "token" must be');
    expect(JSON.parse(await world.ok("jobs", "--json"))).toMatchObject({ jobs: [] });
  });

  test("takes what is more than JSON, and results and events of any size", async () => {
    await using world = await setup();
    const value = { value: { $date: "2026-01-02T03:04:05.000Z" } };
    expect(JSON.parse(await world.ok("call", "rich", "--input", JSON.stringify(value)))).toEqual(value.value);
    for (const bytes of [60_000, 70_000, 3_000_000]) {
      const said = await world.ok("call", "large", "--input", JSON.stringify({ bytes, events: 2 }));
      expect(said.split("\n").map((line) => line.length)).toEqual([bytes + 2, bytes + 2, bytes + 2, 0]);
    }
  });

  test("that fails tells why as the module does, and one that takes too long is ended", async () => {
    await using world = await setup();
    expect(await world.bad("refuse")).toBe("125 farhand: No such thing\n");
    expect(await world.bad("endless")).toBe(
      '124 farhand: Cannot finish "endless": it took longer than 1 s\n',
    );
    expect((await world.farhand(["endless-job"])).code).toBe(124);
    expect(await world.ok("ping")).toContain("ms");
  });

  test("is taken down with its input but what is confidential, which no record has", async () => {
    await using world = await setup();
    const input = JSON.stringify({ token: "hunter2", open: "shown", many: { $set: [1, 2] } });
    await world.ok("call", "keep-secret", "--input", input);
    await world.ok("call", "tell-secret", "--input", JSON.stringify({ token: "hunter2", open: "shown" }));
    const { argv, command } = JSON.parse(await world.ok("job", "show", "@last", "--json"));
    expect([command, argv[0]]).toEqual(["keep-secret", "keep-secret"]);
    expect(argv[1]).toContain('"open":"shown"');
    const audit = (await world.farhandd(["audit", "show"])).stdout;
    expect(audit).toMatch(/call .*command=keep-secret.*"open":"shown"/);
    expect(audit).toMatch(/call .*command=tell-secret.*"open":"shown"/);
    for (const file of readdirSync(world.state, { recursive: true, encoding: "utf8" }))
      if (!file.startsWith("commands") && /\.(ndjson|log|seg|db|db-wal)$/.test(file))
        expect([file, readFileSync(join(world.state, file), "latin1").includes("hunter2")]).toEqual([
          file,
          false,
        ]);
  });

  test("that comes before its module is built waits for that", async () => {
    const slow = `import { defineCommand, v } from "farhand"; await new Promise((resolve) => setTimeout(resolve, 700));
      export default defineCommand({ name: "slow", kind: "background", summary: "S", event: v.string(), async *run() { yield "done"; } });`;
    await using world = openModulesWorld({ "slow.ts": slow });
    await world.start();
    expect(await world.ok("slow")).toBe("done\n");
    expect((await world.farhand(["nothing-like-it"])).stderr).toContain("nothing-like-it");
  });
});

describe("A background command of one's own", () => {
  test("is labelled, found, followed, limited, asked for again by key, and ended as any job", async () => {
    await using world = await setup();
    const start = ["waits", "-d", "--label", "kind=wait", "--key", "once", "--info", '{"a":1}'];
    const job = (await world.ok(...start)).trim();
    expect((await world.ok(...start)).trim()).toBe(job);
    const found = JSON.parse(await world.ok("jobs", "--json", "--label", "kind=wait")).jobs;
    expect(found).toMatchObject([
      { id: job, command: "waits", argv: ["waits"], info: { a: 1 }, state: "running" },
    ]);
    const followed = world.open(["farhand", "follow", job]);
    await eventually(() => followed.said() === "begun\n");
    await world.ok("kill", job);
    expect((await followed.ran).stdout).toBe("begun\ntold to end\n");
    expect(JSON.parse(await world.ok("jobs", "--json", job)).jobs[0].outcome.type).toBe("cancelled");
    const limited = (await world.ok("waits", "-d", "--max-exec-time", "200ms")).trim();
    expect((await world.farhand(["wait", limited])).code).toBe(124);
  });

  test("goes on without the server, is read and ended by the next, and has the code that it began with", async () => {
    await using world = await setup();
    const job = (await world.ok("waits", "-d")).trim();
    const followed = world.open(["farhand", "follow", job]);
    await eventually(() => followed.said() === "begun\n");
    await world.farhandd(["stop"]);
    world.write("all.ts", MODULE.replace("told to end", "other code"));
    await world.start("--config", join(world.home, "farhandd.toml"));
    await world.ok("kill", job);
    expect((await followed.ran).stdout).toBe("begun\ntold to end\n");
    expect(JSON.parse(await world.ok("jobs", "--json", job)).jobs[0].totals.values).toBe(2);
  });

  test("is refused terms that make no sense, and a terminal", async () => {
    await using world = await setup();
    const { url, token } = world.local();
    using client = await RawClient.open({ url, token });
    const refusal = async (call: number, terms: object) => {
      client.call(call, "waits", {}, { job: crypto.randomUUID(), terms });
      return await client.control("failed");
    };
    expect(await refusal(1, { limits: { execMs: -1 } })).toMatchObject({
      error: { code: "invalid_input", message: expect.stringContaining('at "limits.execMs"') },
    });
    expect(await refusal(2, { terminal: { columns: 80, rows: 24, term: "xterm" } })).toMatchObject({
      error: { code: "invalid_input", message: expect.stringContaining("terminal") },
    });
  });
});

describe("A command that says as whom it runs", () => {
  const config = `[commands.peek]\nrun_as = "${ACCOUNT.runAs}"\n[commands.peek-job]\nrun_as = "${ACCOUNT.runAs}"\n`;

  asRoot("runs as that user, and has nothing that its caller has set", async () => {
    await using world = await setup(config);
    await world.ok("cd", "/usr");
    await world.ok("env", "MINE=evil", "PATH=/tmp/evil");
    for (const found of [await world.peek(), JSON.parse(await world.ok("peek-job"))]) {
      expect(found).toMatchObject({
        uid: ACCOUNT.uid,
        mine: [UNDEFINED, UNDEFINED],
        cwd: "/usr",
        where: "/usr",
      });
      expect(found.env).toContain("PATH");
    }
    expect((await world.farhandd(["audit", "show"])).stdout).toContain(
      `command=peek role=admin run_as=${ACCOUNT.runAs}`,
    );
  });

  const canBecome = process.getuid?.() === 0 && Bun.which("setpriv") !== null;
  testIf(canBecome, "being another user takes root and setpriv")(
    "is refused where the server cannot, and never runs as somebody else",
    async () => {
      await using world = openModulesWorld();
      const text = `const ran = require("node:fs").writeFileSync; export default [
        { name: "mine", summary: "M", runAs: "nobody", run: () => ran("/tmp/ran-" + process.getuid(), "") },
        { name: "mine-job", kind: "background", summary: "M", runAs: "nobody", run: () => ran("/tmp/ran-" + process.getuid(), "") } ];`;
      world.write("mine.ts", text);
      const { uid, gid } = ACCOUNT;
      const own = `chown -R ${uid}:${gid} ${world.state} ${world.home}; chmod 755 ${join(world.home, "..")}`;
      const become = `setpriv --reuid ${uid} --regid ${gid} --clear-groups`;
      const started = await world.shell(`${own}; ${become} farhandd start --listen 127.0.0.1:0`);
      expect(started).toMatchObject({ code: 0 });
      const { url, token } = world.local();
      for (const name of ["mine", "mine-job"]) {
        const { code, stderr } = await world.farhand([name], {
          env: { FARHAND_HOST: url, FARHAND_TOKEN: token },
        });
        expect(code).toBe(125);
        expect(stderr).toContain(
          `Cannot run as "nobody": only a server that runs as root can, and this one runs as user ${uid}`,
        );
      }
      for (const user of [0, uid, 65534]) expect(existsSync(`/tmp/ran-${user}`)).toBe(false);
    },
  );
});

describe("A command that is marked inline", () => {
  test("is done in the server itself, within its time, and is read anew", async () => {
    await using world = await setup("[commands.peek]\ninline = true\n[commands.endless]\ninline = true\n");
    const { pid } = await world.status();
    expect((await world.peek()).pid).toBe(pid);
    expect(await world.bad("endless")).toContain("it took longer than 1 s");
    world.write("all.ts", MODULE.replace("pid: process.pid", 'pid: "new"'));
    await world.reload();
    expect((await world.peek()).pid).toBe("new");
    expect(await world.bad("refuse")).toContain("No such thing");
  });

  asRoot("is not, for whom all is done as another user", async () => {
    using directory = openDirectory();
    writeFileSync(join(directory.path, "all.ts"), MODULE);
    await using callers = await openCallers(
      `[commands]\nfiles = ["${directory.path}/all.ts"]\n[commands.peek]\ninline = true\n[roles.other]\npermissions = ["read"]\nroots = ["/tmp"]\nrun_as = "${ACCOUNT.runAs}"\n`,
    );
    const token = await callers.createToken("otto", "other");
    const { stdout } = await callers.farhandAs(token, ["call", "peek"]);
    expect(JSON.parse(stdout)).toMatchObject({ uid: ACCOUNT.uid, cwd: "/tmp" });
  });
});

describe("A program that the configuration calls a command", () => {
  const SCRIPT = `
import json, sys
given = json.loads(sys.stdin.readline())
print("a note", file=sys.stderr)
for n in range(given["times"]):
    print(json.dumps({"n": n, "text": given["text"]}), flush=True)
for line in sys.stdin:
    print(json.dumps(line.strip()), flush=True)
sys.exit(given.get("code", 0))
`;
  const python = Bun.which("python3");
  const withPython = testIf(python !== null, "there is no python3");

  async function setupProgram() {
    const world = openModulesWorld();
    const script = join(world.home, "echo.py");
    writeFileSync(script, SCRIPT);
    const input =
      '{ text = { description = "what to say" }, times = { type = "integer", default = 2 }, code = { type = "integer", optional = true } }';
    const table = (name: string, more: string) =>
      `[commands.${name}]\nprogram = ["${python}", "${script}"]\ninput = ${input}\npositional = ["text"]\n${more}\n`;
    const path = world.configure(
      `listen = "127.0.0.1:0"\n${table("say", 'summary = "Say it"\ntimeout = "20s"')}${table("say-on", 'kind = "background"')}`,
    );
    await world.start("--config", path);
    return world;
  }

  withPython(
    "finds its input as JSON, says an event with each line, and its exit code is what came of it",
    async () => {
      await using world = await setupProgram();
      expect(await world.ok("say", "hi")).toBe('{"n":0,"text":"hi"}\n{"n":1,"text":"hi"}\n');
      expect(await world.ok("call", "say", "--input", '{"text":"x","times":1}')).toContain(
        '{"n":0,"text":"x"}\n',
      );
      expect(await world.bad("say", "hi", "--code", "3")).toContain("exited with 3");
      expect(await world.bad("call", "say", "--input", '{"text":"x","tmies":1}')).toContain(
        'the input at "tmies" is unknown; there is text, times, code',
      );
      expect((await world.farhand(["say", "--help"])).stdout).toContain("what to say");
    },
  );

  withPython("in the background is a job, which is sent input, and whose stderr is recorded", async () => {
    await using world = await setupProgram();
    const job = (await world.ok("say-on", "-d", "hi", "--times", "1", "--code", "3")).trim();
    await world.ok("send-input", job, "more", "--eof");
    const { code, stdout, stderr } = await world.farhand(["follow", job]);
    expect({ code, stdout, stderr }).toEqual({
      code: 3,
      stdout: '{"n":0,"text":"hi"}\nmore\n',
      stderr: expect.stringContaining("a note\n"),
    });
    expect(JSON.parse(await world.ok("jobs", "--json", job)).jobs[0]).toMatchObject({
      argv: ["say-on", expect.stringContaining('"text":"hi"')],
      outcome: { type: "exited", code: 3 },
      totals: { values: 2, stderrBytes: 7 },
    });
  });
});

test("A client of an older version is told that it is, and one that speaks as the protocol says is answered", async () => {
  await using world = await setup();
  const { url, token } = world.local();
  using older = await RawClient.open({ url, token }, { version: { major: 1, minor: 3 } });
  older.call(1, "deploy", { to: "web1" });
  expect(await older.control("failed")).toMatchObject({ error: { code: "unsupported_version" } });
  using client = await RawClient.open({ url, token }, { version: { major: 1, minor: 4 } });
  client.call(1, "deploy", { to: "web1" });
  expect(await client.control("result")).toMatchObject({
    result: { encoding: "json", value: "deployed to web1" },
  });
  client.call(2, "waits", {}, { job: crypto.randomUUID() });
  expect(await client.control("accepted")).toMatchObject({ number: 1 });
  client.call(3, "waits", {});
  expect(await client.control("failed")).toMatchObject({
    error: { code: "invalid_input", message: 'Cannot call "waits": the call carries no job id' },
  });
  client.call(4, "large", { bytes: 100_000 });
  expect(await client.control("failed")).toMatchObject({ error: { code: "too_many" } });
});

test("farhandd role show tells which commands of one's own a role may call", async () => {
  await using world = openModulesWorld();
  const config = world.configure(
    '[commands.backup]\nprogram = ["true"]\nsummary = "Copy it"\n[roles.ops]\npermissions = ["exec"]\ncommands = ["backup", "deploy*", "kill"]\n',
  );
  const { stdout } = await world.farhandd(["role", "show", "ops", "--config", config]);
  expect(stdout).toMatch(/ kill +End/);
  expect(stdout).toMatch(/ backup +Copy it\n/);
  expect(stdout).toMatch(/ deploy\* +if a module of the server's has such a command\n/);
});

test("A configuration that says of a command what makes no sense is refused by its key", async () => {
  await using world = openModulesWorld();
  const refusal = async (text: string) => {
    const { code, stderr } = await world.farhandd(["start", "--config", world.configure(text)]);
    return `${code} ${stderr}`;
  };
  expect(await refusal("[commands.ls]\nprogram = ['true']\n")).toContain(
    'at "commands.ls": there is a built-in command of that name',
  );
  expect(await refusal("[commands.x]\nprogram = ['true']\ntimeout = 'soon'\n")).toContain(
    'at "commands.x.timeout"',
  );
  expect(await refusal("[commands.x]\nprogramme = ['true']\n")).toContain(
    'at "commands.x.programme": this key is unknown',
  );
  expect(await refusal("[commands]\nfiles = 'a.ts'\n")).toContain('at "commands.files"');
});
