import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { openWorld, type RunOptions } from "../support/world.ts";

setDefaultTimeout(60_000);

const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/;

const ECHO = `export default { exec(context, state, args) { context.respond(args); return state; } };`;
/** Waits in each execution until a file is there, beside which it puts one that says that it waits. */
const SLOW = `
  import { existsSync, writeFileSync } from "node:fs";
  export default {
    init: (context, directory) => ({ directory, count: 0 }),
    async exec(context, { directory, count }) {
      writeFileSync(directory + "/waits", "");
      while (!existsSync(directory + "/go")) await Bun.sleep(5);
      context.respond(count + 1);
      return { directory, count: count + 1 };
    },
  };
`;

/** A world with a server, and files in its home. */
async function setup() {
  const world = openWorld();
  await world.start();
  const at = (name: string) => join(world.home, name);
  const write = (name: string, text: string) => {
    mkdirSync(dirname(at(name)), { recursive: true });
    writeFileSync(at(name), text);
    return at(name);
  };
  const task = (args: readonly string[], options?: RunOptions) => world.farhand(["task", ...args], options);
  const json = async (...args: string[]) => JSON.parse((await task([...args, "--json"])).stdout);
  /** An execution that waits, and the id that it has. */
  const begin = async (...more: string[]) => {
    await task(["start", "slow", write("slow.ts", SLOW), "--args", JSON.stringify(world.home)]);
    const running = world.open(["farhand", "task", "exec", "slow", "--await", ...more]);
    await eventually(() => existsSync(at("waits")));
    return running;
  };
  return { ...world, at, write, task, json, begin };
}

describe("farhand task start", () => {
  test("ships a module with what it imports, from beside it and from npm's packages", async () => {
    await using world = await setup();
    world.write("app/part.ts", "export const part: string = 'part';\n");
    world.write("app/node_modules/pack/package.json", '{"name": "pack", "main": "index.js"}');
    world.write("app/node_modules/pack/index.js", "module.exports = { pack: 'pack' };\n");
    const module = world.write(
      "app/main.ts",
      `import { part } from "./part.ts";
       import { pack } from "pack";
       export default { exec(context) { context.respond([part, pack]); } };`,
    );
    expect(await world.task(["start", "app", module])).toMatchObject({ code: 0, stderr: "" });
    await world.shell("rm -r app"); // it needs nothing of that any more
    expect(JSON.parse((await world.task(["exec", "app", "--await"])).stdout)).toEqual(["part", "pack"]);
  });

  test("refuses a name that is taken, and with --replace stops what has it", async () => {
    await using world = await setup();
    const first = world.write("first.ts", "export default { exec(context) { context.respond(1); } };");
    const second = world.write("second.ts", "export default { exec(context) { context.respond(2); } };");
    expect((await world.task(["start", "one", first])).code).toBe(0);
    expect(await world.json("start", "one", second)).toMatchObject({
      type: "error",
      code: "already_started",
    });
    expect(await world.json("exec", "one", "--await")).toMatchObject({ value: 1 });
    expect((await world.task(["start", "one", second, "--replace"])).code).toBe(0);
    expect(await world.json("exec", "one", "--await")).toMatchObject({ value: 2 });
  });

  test("says what is wrong with a module, where, and what init threw; the name stays free", async () => {
    await using world = await setup();
    const broken = await world.task([
      "start",
      "one",
      world.write("broken.ts", "export default {\n  exec(\n"),
    ]);
    expect([broken.code, broken.stderr]).toEqual([125, expect.stringMatching(/broken\.ts:\d+:\d+/)]);
    const lacking = await world.task([
      "start",
      "one",
      world.write("lacking.ts", "import 'no-such-package';"),
    ]);
    expect([lacking.code, lacking.stderr]).toEqual([125, expect.stringContaining("no-such-package")]);
    const none = await world.task([
      "start",
      "one",
      world.write("none.ts", "export default { init: () => 1 };"),
    ]);
    expect([none.code, none.stderr]).toEqual([125, expect.stringContaining("exec")]);
    const throws = await world.task([
      "start",
      "one",
      world.write("throws.ts", "export default { init() { throw new TypeError('no') }, exec() {} };"),
    ]);
    expect([throws.code, throws.stderr]).toEqual([1, "farhand: TypeError: no\n"]);
    expect((await world.json("show", "one")).state).toBe("failed");
    expect((await world.task(["start", "one", world.write("echo.ts", ECHO)])).code).toBe(0);
  });

  test("says, when it is interrupted, that the task may start all the same", async () => {
    await using world = await setup();
    const module = world.write(
      "late.ts",
      `import { existsSync, writeFileSync } from "node:fs";
       export default {
         async init(context, directory) {
           writeFileSync(directory + "/waits", "");
           while (!existsSync(directory + "/go")) await Bun.sleep(5);
         },
         exec() {},
       };`,
    );
    const running = world.open([
      "farhand",
      "task",
      "start",
      "late",
      module,
      "--args",
      JSON.stringify(world.home),
    ]);
    await eventually(() => existsSync(world.at("waits")));
    running.kill("SIGINT");
    const { code, stderr } = await running.ran;
    expect([code, stderr]).toEqual([130, expect.stringContaining("farhand task show late")]);
    expect(await world.json("show", "late")).toMatchObject({ state: "starting" });
    world.write("go", "");
    await eventually(async () => (await world.json("show", "late")).state === "running");
  });
});

describe("farhand task exec", () => {
  test("takes its arguments from the line, a file or stdin, large ones too", async () => {
    await using world = await setup();
    await world.task(["start", "echo", world.write("echo.ts", ECHO)]);
    expect((await world.task(["exec", "echo", '"text"', "--await"])).stdout).toBe("text\n");
    const large = { text: "x".repeat(300_000) };
    const file = world.write("large.json", JSON.stringify(large));
    expect((await world.json("exec", "echo", `@${file}`, "--await")).value).toEqual(large);
    const piped = await world.task(["exec", "echo", "-", "--await"], { stdin: "[1, 2]" });
    expect(JSON.parse(piped.stdout)).toEqual([1, 2]);
    expect(await world.task(["exec", "echo", "--await"])).toMatchObject({ code: 0, stdout: "" });
  });

  test("says nothing when it is done, and with --json all that is told of it", async () => {
    await using world = await setup();
    await world.task(["start", "echo", world.write("echo.ts", ECHO)]);
    expect(await world.task(["exec", "echo", "5"])).toMatchObject({ code: 0, stderr: "" });
    expect(await world.json("exec", "echo", "5")).toEqual({
      execution: expect.stringMatching(UUID),
      state: "finished",
      responded: true,
      value: 5,
      restarts: 0,
      restored: false,
    });
  });

  test("refuses what cannot be read, and a task that is not there", async () => {
    await using world = await setup();
    expect(await world.task(["exec", "echo", "{nonsense"])).toMatchObject({
      code: 125,
      stderr: expect.stringContaining("it is no JSON"),
    });
    expect(await world.task(["exec", "echo", "@nothing"])).toMatchObject({
      code: 125,
      stderr: expect.stringContaining('"nothing"'),
    });
    expect(await world.json("exec", "echo")).toMatchObject({ code: "not_found" });
    expect((await world.task(["exec", "echo", "--no-wait", "--await"])).code).toBe(125);
  });

  test("leaves the execution running when it is interrupted, and says how to look it up", async () => {
    await using world = await setup();
    const running = await world.begin();
    running.kill("SIGINT");
    const { code, stdout, stderr } = await running.ran;
    const [id = ""] = UUID.exec(stderr) ?? [];
    expect([code, stdout, stderr]).toEqual([130, "", expect.stringContaining(`task await slow ${id}`)]);
    expect(await world.json("await", "slow", id, "--no-wait")).toMatchObject({ state: "running" });
    world.write("go", "");
    expect(await world.task(["await", "slow", id])).toMatchObject({ code: 0, stdout: "1\n" });
    expect(await world.json("await", "slow", id)).toMatchObject({ state: "finished", value: 1 });
  });

  test("waits no longer than --timeout, with 124", async () => {
    await using world = await setup();
    const { code, stderr } = await (await world.begin("--timeout", "50ms")).ran;
    expect([code, stderr]).toEqual([124, expect.stringMatching(/task await slow [0-9a-f-]{36}/)]);
    world.write("go", "");
    expect(await world.task(["exec", "slow", "--await"])).toMatchObject({ code: 0, stdout: "2\n" });
  });

  test("gets its answer of a server that was killed and started again meanwhile", async () => {
    await using world = await setup();
    const running = await world.begin();
    const { pid } = await world.status();
    const { url } = world.local();
    process.kill(pid, "SIGKILL");
    await eventually(
      () =>
        world.start("--listen", new URL(url).host).then(
          () => true,
          () => false,
        ),
      20_000,
    );
    world.write("go", "");
    expect(await running.ran).toMatchObject({ code: 0, stdout: "1\n" });
  });

  test("says of a server that is gone for good that the execution may go on", async () => {
    await using world = await setup();
    const running = await world.begin("--reconnect-timeout", "200ms");
    process.kill((await world.status()).pid, "SIGKILL");
    const { code, stderr } = await running.ran;
    expect([code, stderr]).toEqual([125, expect.stringMatching(/task await slow [0-9a-f-]{36}/)]);
  });
});

describe("farhand task", () => {
  test("list, show, restart and stop tell what they say of a task, and what it is", async () => {
    await using world = await setup();
    expect((await world.task(["list"])).stdout).toBe("No tasks\n");
    await world.task([
      "start",
      "echo",
      world.write("echo.ts", ECHO),
      "--restart",
      "on-failure",
      "--checkpoint",
    ]);
    expect((await world.task(["list"])).stdout).toMatch(/^TASK .*\necho +running /);
    expect((await world.task(["show", "echo"])).stdout).toMatch(/policy: on-failure/);
    expect(await world.json("show", "echo")).toMatchObject({
      state: "running",
      checkpoint: true,
      waiting: 0,
    });
    expect((await world.task(["restart", "echo"])).stdout).toMatch(/^Task echo is running: job \d+\n$/);
    expect(await world.task(["stop", "echo"])).toMatchObject({
      code: 0,
      stdout: "",
      stderr: "farhand: Task echo has ended\n",
    });
  });

  test("follow shows what it logs, and each of its executions", async () => {
    await using world = await setup();
    const module = world.write(
      "logs.ts",
      "export default { exec(context) { context.log('here I am'); console.log('out'); context.respond(7); } };",
    );
    await world.task(["start", "logs", module]);
    const { execution } = await world.json("exec", "logs");
    const following = world.open(["farhand", "task", "follow", "logs"]);
    await eventually(() => following.said().includes("finished"));
    await world.task(["stop", "logs"]);
    const { stdout, stderr } = await following.ran;
    expect(stdout).toContain(`${execution} answered 7\n`);
    expect(stdout).toContain("out\n");
    expect(stderr).toContain("here I am");
  });

  test("follow goes on with the next process where one is started again, and ends with the task", async () => {
    await using world = await setup();
    const module = world.write(
      "dies.ts",
      "export default { exec(context, state, args) { if (args === 'die') process.exit(3); context.respond(args); } };",
    );
    await world.task(["start", "dies", module, "--restart", "on-failure"]);
    const following = world.open(["farhand", "task", "follow", "dies"]);
    expect((await world.task(["exec", "dies", '"die"'])).code).toBe(3);
    const { execution } = await world.json("exec", "dies", "8");
    await eventually(() => following.said().includes(`${execution} finished`));
    await world.task(["stop", "dies"]);
    const { code, stdout } = await following.ran;
    expect(code).toBe(0);
    expect(stdout.match(/^ready$/gm)).toHaveLength(2);
  });

  test("exec is all that a role may do which is granted that alone, also with the task of another", async () => {
    await using world = openWorld();
    const config = join(world.home, "farhandd.toml");
    const role = ['permissions = ["exec"]', 'commands = ["task-exec", "task-await"]', "all_jobs = true"];
    writeFileSync(config, `[roles.asker]\n${role.join("\n")}\n`);
    await world.start("--config", config, "--listen", "127.0.0.1:0");
    const module = join(world.home, "echo.ts");
    writeFileSync(module, ECHO);
    await world.farhand(["task", "start", "echo", module]);
    const created = await world.farhandd(["token", "create", "ask", "--role", "asker", "--config", config]);
    const env = { FARHAND_HOST: world.local().url, FARHAND_TOKEN: created.stdout.trim() };
    const ask = async (...words: string[]) => {
      const { code, stdout } = await world.farhand(["--json", ...words], { env });
      return [code, JSON.parse(stdout)];
    };
    expect(await ask("task", "exec", "echo", "7", "--await")).toMatchObject([0, { value: 7 }]);
    for (const words of [
      ["task", "list"],
      ["task", "stop", "echo"],
      ["task", "start", "other", module],
      ["exec", "--no-stdin", "true"],
      ["kill", "1"],
    ])
      expect(await ask(...words)).toMatchObject([125, { code: "forbidden" }]);
  });

  test("names are completed", async () => {
    await using world = await setup();
    await world.task(["start", "echo", world.write("echo.ts", ECHO)]);
    const script = (await world.farhand(["completion", "bash"])).stdout;
    const line = "farhand task exec ";
    const { stdout } = await world.shell(
      `source <(cat); COMP_LINE='${line}' COMP_POINT=${line.length} COMP_WORDS=(farhand task exec '') COMP_CWORD=3; $(complete -p farhand | sed 's/.*-F \\([^ ]*\\) .*/\\1/'); printf '%s\\n' "\${COMPREPLY[@]}"`,
      { stdin: script },
    );
    expect(stdout.trim()).toBe("echo");
  });
});
