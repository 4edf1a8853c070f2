import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

/** A world without a server, and these files in its home. */
async function setup(files: Readonly<Record<string, string>> = {}) {
  const world = openWorld();
  const at = (name: string) => join(world.home, name);
  for (const [name, text] of Object.entries(files)) await Bun.write(at(name), text);
  const extension = (...args: string[]) => world.farhandd(["extension", ...args]);
  return { ...world, at, extension };
}

describe("farhandd extension init", () => {
  test("writes what farhandd extension check finds nothing wrong with, and is not run twice", async () => {
    await using world = await setup();
    expect(await world.extension("init", "mine")).toMatchObject({
      code: 0,
      stdout: "mine/hello.ts\nmine/tasks/counter.ts\nmine/tsconfig.json\nmine/farhand.d.ts\n",
    });
    expect(await world.shell("farhandd extension check mine/*.ts")).toMatchObject({
      code: 0,
      stdout: `mine/farhand.d.ts: passed over: declarations are no module
mine/hello.ts: ok: hello (foreground), countdown (background)
`,
    });
    expect(await world.extension("check", "mine/hello.ts", "mine/tasks/counter.ts")).toMatchObject({
      code: 0,
      stdout:
        "mine/hello.ts: ok: hello (foreground), countdown (background)\nmine/tasks/counter.ts: ok: a task\n",
      stderr: "",
    });
    const compiled = Bun.spawnSync([process.execPath, "check"], { cwd: world.at("mine") });
    expect([compiled.exitCode, compiled.stdout.toString()]).toEqual([0, ""]);
    expect(await world.extension("init", "mine/hello.ts/below")).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /^farhandd: Cannot write "mine\/hello.ts\/below\/hello.ts": ENOTDIR[^\n]+\n$/,
      ),
    });
    writeFileSync(world.at("mine/hello.ts"), "mine");
    expect(await world.extension("init", "mine")).toMatchObject({
      code: 1,
      stderr: 'farhandd: Cannot write "mine/hello.ts": it is there already; --force replaces it\n',
    });
    expect(readFileSync(world.at("mine/hello.ts"), "utf8")).toBe("mine");
    expect((await world.extension("init", "mine", "--force")).code).toBe(0);
    expect(readFileSync(world.at("mine/hello.ts"), "utf8")).toContain("defineCommand");
  });
});

test("What farhandd extension init writes runs: an answer, a job that says values, and a task", async () => {
  await using world = await setup();
  expect((await world.extension("init")).code).toBe(0);
  await world.start("--extension", world.at("hello.ts"));
  expect(await world.farhand(["hello", "Ada", "--json"])).toMatchObject({
    code: 0,
    stdout: '{"greeting":"Hello Ada, says local"}\n',
  });
  expect(await world.farhand(["countdown", "1"])).toMatchObject({
    code: 0,
    stdout: '{"left":1}\nlift-off\n',
    stderr: "counting from 1\n",
  });
  const job = (await world.farhand(["countdown", "1000", "-d"])).stdout.trim();
  expect((await world.farhand(["follow", job, "--until", "left"])).code).toBe(0);
  expect((await world.farhand(["kill", job])).stdout).toContain("SIGTERM");
  expect((await world.farhand(["task", "start", "counter", "tasks/counter.ts"])).code).toBe(0);
  expect(await world.farhand(["task", "exec", "counter", "2", "--await"])).toMatchObject({
    code: 0,
    stdout: "2\n",
  });
  expect(await world.farhand(["task", "exec", "counter", "3", "--await"])).toMatchObject({
    code: 0,
    stdout: "5\n",
  });
});

describe("farhandd extension check", () => {
  test("tells by line what is wrong with each of several files, and exits with 1", async () => {
    await using world = await setup({
      "syntax.ts": "export default 1;\n  const x: number = ;",
      "imports.ts": 'import { a } from "./lib/a.ts";\nexport default a;',
      "lib/a.ts": 'export { a } from "nobody-has-this";',
      "field.ts": `import { defineCommand } from "farhand";
export default defineCommand({
  name: "Hello",
  summary: "Greet",
  timeout: "soon",
  run() {},
});`,
      "fine.ts": 'export default { name: "fine", summary: "Is fine", run() {} };',
    });
    const { code, stdout, stderr } = await world.extension(
      "check",
      "syntax.ts",
      "imports.ts",
      "field.ts",
      "fine.ts",
      "missing.ts",
    );
    expect(stdout).toBe(`syntax.ts:2:21: Unexpected ;
    const x: number = ;
                      ^
lib/a.ts:1:19: Could not resolve: "nobody-has-this". Is it in a node_modules beside the module?
    export { a } from "nobody-has-this";
                      ^
field.ts:3:3: command "Hello": "name" is not in kebab-case: lower-case letters, digits and single hyphens, such as disk-usage
    name: "Hello",
    ^
field.ts:5:3: command "Hello": "timeout" is neither milliseconds nor a duration such as 30s
    timeout: "soon",
    ^
fine.ts: ok: fine (foreground)
missing.ts: there is no such file
`);
    expect(stderr).toBe("farhandd: Cannot use 4 of 5 modules: see what is wrong above\n");
    expect(code).toBe(1);
  });

  test("shows no controls of a module's to a terminal, and points at the right place", async () => {
    await using world = await setup({
      "odd.ts": 'const a = "\u001b[31m\u202e",\tb: number = ;',
      "name.ts": 'export default { name: "\\x1b[31m", summary: "S", run() {} };',
    });
    const { stdout } = await world.extension("check", "odd.ts", "name.ts");
    expect(stdout).toContain(`odd.ts:1:33: Unexpected ;
    const a = "\\x1b[31m\\u202e", b: number = ;
                                            ^
`);
    expect(stdout).not.toMatch(/[\x00-\x09\x0b-\x1f\u202e]/);
  });

  test("warns of a name that is a verb of the client, by which nobody calls it", async () => {
    await using world = await setup({
      "host.ts": 'export default { name: "host", summary: "Hide", run: () => "mine" };',
    });
    const why = 'farhand has a verb of that name, so only "farhand call host" and programs reach it';
    expect(await world.extension("check", "host.ts")).toMatchObject({
      code: 0,
      stdout: `host.ts: ok: host (foreground)\nhost.ts: warning: command "host": ${why}\n`,
    });
  });

  test("tells that a name is a built-in's, and does not ask for the configuration of a pack", async () => {
    await using world = await setup({
      "taken.ts": 'const list = [\n  { name: "ls", summary: "List", run() {} },\n];\nexport default list;',
      "pack.ts": `import { defineCommand, definePack, v } from "farhand";
const look = defineCommand({ name: "look", summary: "Look", run() {} });
export default definePack({ name: "eyes", config: v.object({ display: v.string() }), commands: [look] });`,
    });
    expect(await world.extension("check", "taken.ts", "pack.ts")).toMatchObject({
      code: 1,
      stdout: `taken.ts:2:11: command "ls": there is a built-in command of that name
    { name: "ls", summary: "List", run() {} },
            ^
pack.ts: ok: pack eyes: look (foreground)
`,
    });
  });

  test("answers the same as one JSON value", async () => {
    await using world = await setup({
      "wrong.ts": "export default { permission: 1 };",
      "fine.ts": 'export default { name: "fine", summary: "Is fine", run() {} };',
    });
    const { code, stdout } = await world.extension("check", "--json", "wrong.ts", "fine.ts");
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject([
      { file: "wrong.ts", ok: false, problems: [{ message: 'command 1: "name" is missing' }, {}, {}, {}] },
      { file: "fine.ts", ok: true, description: { commands: [{ name: "fine" }] } },
    ]);
  });

  test("asks for files, and for one of its words", async () => {
    await using world = await setup();
    expect((await world.extension("check")).stderr).toContain("say which files");
    expect((await world.extension("make")).stderr).toContain("say init, check, bundle");
    expect((await world.extension("check", "--help")).stdout).toContain("<FILES>");
  });

  test("reads nothing of the directory in which it is run, and runs nothing there", async () => {
    const planted = 'require("node:fs").writeFileSync("ran", "");';
    await using world = await setup({
      "bunfig.toml": 'preload = ["./planted.js"]\n[serve.static]\nplugins = ["./planted.js"]',
      "planted.js": planted,
      "package.json": '{ "name": "planted", "macros": { "farhand": { "v": "./planted.js" } } }',
      ".env": "PLANTED=1",
      "main.ts": `import { writeFileSync } from "node:fs";
import { v } from "farhand";
if (process.env.PLANTED) throw new Error("told by .env");
export default { name: "fine", summary: "Is fine", input: v.object({}), run() {} };`,
    });
    expect(await world.extension("check", "main.ts")).toMatchObject({ code: 0, stderr: "" });
    expect((await world.extension("bundle", "main.ts", "--output", "out.js")).code).toBe(0);
    expect(existsSync(world.at("ran"))).toBe(false);
  });
});

describe("farhandd extension bundle", () => {
  test("makes one file that is as good with nothing beside it", async () => {
    await using world = await setup({
      "src/main.ts": `import { defineCommand, v } from "farhand";
import greeting from "greeting";
import { name } from "./name.ts";
export default defineCommand({ name, summary: greeting("you"), input: v.object({}), run: () => 1 });`,
      "src/name.ts": 'export const name: string = "greet";',
      "node_modules/greeting/package.json": '{ "name": "greeting", "main": "main.js" }',
      "node_modules/greeting/main.js": 'module.exports = (who) => "Greet " + who;',
    });
    expect(await world.extension("bundle", "src/main.ts", "--output", "alone/greet.js")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('Cannot write "alone/greet.js": '),
    });
    expect((await world.shell("mkdir alone")).code).toBe(0);
    expect(await world.extension("bundle", "src/main.ts", "--output", "alone/greet.js")).toMatchObject({
      code: 0,
    });
    expect((await world.extension("bundle", "src/main.ts")).stdout).toBe(
      readFileSync(world.at("alone/greet.js"), "utf8"),
    );
    expect((await world.shell("rm -r src node_modules")).code).toBe(0);
    expect(await world.extension("check", "alone/greet.js")).toMatchObject({
      code: 0,
      stdout: "alone/greet.js: ok: greet (foreground)\n",
    });
  });
});
