import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { findTarget } from "../../src/client/config.ts";
import { dial } from "../../src/client/dial.ts";
import { refusalOf } from "../support/callers.ts";
import { eventually } from "../support/eventually.ts";
import { openModulesWorld } from "../support/modules.ts";

setDefaultTimeout(120_000);

const Listed = v.array(v.object({ name: v.string() }));

/** A module with one command that answers what `says`, and what its job says until it is sent input. */
function speaking(says: string, { name = "speak", job = "wait-for-it" } = {}): string {
  return `
    import { defineCommand, v } from "farhand";
    export default [
      defineCommand({ name: "${name}", summary: "Speak", result: v.string(), run: () => ${says} }),
      defineCommand({
        name: "${job}",
        kind: "background",
        summary: "Speak when told to",
        event: v.string(),
        async *run(_input, { lines }) {
          yield "ready";
          for await (const line of lines) yield line + " " + ${says};
        },
      }),
    ];`;
}

describe("A module in the server's directory", () => {
  test("is commands, with nothing installed, what it imports beside it, and packages of a node_modules there", async () => {
    await using world = openModulesWorld({
      "greet.ts": `
        import { defineCommand, v } from "farhand";
        import { shout } from "./lib/shout.ts";
        import { pad } from "tiny-pad";
        export default defineCommand({
          name: "greet",
          summary: "Greet somebody",
          input: v.object({ who: v.optional(v.string(), "world") }),
          event: v.object({ line: v.string() }),
          result: v.object({ lines: v.number() }),
          positional: ["who"],
          async *run({ who }) {
            yield { line: pad(shout(who)) };
            return { lines: 1 };
          },
        });`,
      "lib/shout.ts": `export const shout = (text: string): string => text.toUpperCase() + "!";`,
      "node_modules/tiny-pad/package.json": `{ "name": "tiny-pad", "version": "1.0.0", "main": "index.js" }`,
      "node_modules/tiny-pad/index.js": `exports.pad = (text) => "<" + text + ">";`,
      "plain.js": `export default { name: "plain", summary: "No types, and nothing imported", run: () => 42 };`,
    });
    await world.start();
    expect(await world.ok("greet", "you")).toBe('{"line":"<YOU!>"}\n{\n  "lines": 1\n}\n');
    expect(await world.ok("plain")).toBe("42\n");
    expect(await world.ok("commands")).toMatch(/greet +foreground +server +exec +Greet somebody\n/);
    const [described] = JSON.parse(await world.ok("commands", "--json", "greet"));
    expect(described).toMatchObject({ custom: true, positional: ["who"], event: { required: ["line"] } });
  });

  test("is not offered under a name that is taken, which is said, and the server serves", async () => {
    await using world = openModulesWorld({
      "a.ts": speaking('"a"', { name: "ls", job: "job-a" }),
      "b.ts": speaking('"b"', { name: "speak", job: "job-b" }),
      "c.ts": speaking('"c"', { name: "speak", job: "job-c" }),
      "d.ts": speaking('"d"', { name: "send_input", job: "job-d" }),
    });
    await world.start();
    await world.logged("there is a built-in command of that name");
    await world.logged("b.ts has a command of that name already");
    await world.logged("send_input");
    expect(await world.ok("speak")).toBe("b\n");
    expect(await world.ok("ls", "/etc/passwd")).toContain("passwd");
    const { code, said } = await world.reload();
    expect(code).toBe(1);
    expect(said).toContain(
      "a.ts: ls: as before, because it failed: there is a built-in command of that name",
    );
    const names = (await world.ok("commands")).split("\n").map((line) => line.split(" ")[0]);
    expect(names.filter((name) => name === "ls")).toHaveLength(1);
    expect(names).toEqual(expect.arrayContaining(["job-a", "job-b", "job-c"]));
  });

  test.each([
    ["is no TypeScript", "export default {{", "broken.ts:1:"],
    ["imports what there is not", 'import "not-there"; export default {};', "not-there"],
    ["throws", 'throw new Error("at once");', "at once"],
    ["ends its process", "process.exit(7);", "exit code 7"],
    ["defines nothing", "export const a = 1;", "broken.ts"],
  ])("that %s is told with where it is wrong, and the others are offered", async (_, text, said) => {
    await using world = openModulesWorld({ "broken.ts": text, "fine.ts": speaking('"fine"') });
    await world.start();
    await world.logged(said);
    expect(await world.ok("speak")).toBe("fine\n");
    expect((await world.reload()).said).toContain(said);
  });

  test("that others may write is not run, and what to do is said", async () => {
    await using world = openModulesWorld({
      "a.ts": speaking('"a"'),
      "b.ts": `import "./lib.ts";`,
      "lib.ts": "",
    });
    const mark = join(world.home, "ran");
    world.write("lib.ts", `require("node:fs").writeFileSync(${JSON.stringify(mark)}, "")`);
    chmodSync(world.at("a.ts"), 0o666);
    chmodSync(world.at("lib.ts"), 0o666);
    await world.start();
    await world.logged(`run chmod go-w ${world.at("a.ts")}`);
    await world.logged(`run chmod go-w ${world.at("lib.ts")}`);
    expect(await world.bad("speak")).toContain("speak");
    expect(await Bun.file(mark).exists()).toBe(false);
    chmodSync(world.at("a.ts"), 0o644);
    expect((await world.reload()).said).toContain("commands: new speak, wait-for-it");
    expect(await world.ok("speak")).toBe("a\n");
  });

  test("is found where the configuration and the command line say, too", async () => {
    await using world = openModulesWorld();
    const write = (name: string, says: string) => {
      const file = join(world.home, name);
      writeFileSync(file, speaking(`"${says}"`, { name: says, job: `${says}-job` }));
      return file;
    };
    write("one.ts", "one");
    const two = write("two.ts", "two");
    const config = world.configure('[commands]\nfiles = ["one.ts"]\n');
    await world.start("--config", config, "--listen", "127.0.0.1:0", "--extension", two);
    expect(await world.ok("one")).toBe("one\n");
    expect(await world.ok("two")).toBe("two\n");
  });
});

describe("reload", () => {
  test("has new calls do the new code, while jobs that run keep the old", async () => {
    await using world = openModulesWorld({ "a.ts": speaking('"old"') });
    await world.start();
    const job = (await world.ok("wait-for-it", "-d")).trim();
    const followed = world.open(["farhand", "follow", job]);
    await eventually(() => followed.said() === "ready\n");
    world.write("a.ts", speaking('"new"'));
    expect(await world.reload()).toEqual({
      code: 0,
      said: expect.stringContaining("commands: changed speak, wait-for-it\n"),
    });
    expect(await world.ok("speak")).toBe("new\n");
    await world.ok("send-input", job, "still", "--eof");
    expect((await followed.ran).stdout).toBe("ready\nstill old\n");
    const other = (await world.ok("wait-for-it", "-d")).trim();
    await world.ok("send-input", other, "now", "--eof");
    expect(await world.ok("follow", other)).toBe("ready\nnow new\n");
  });

  test("keeps the last good version of what is broken, says so, and forgets what is gone", async () => {
    await using world = openModulesWorld({
      "a.ts": speaking('"good"'),
      "b.ts": speaking('"b"', { name: "b", job: "bb" }),
    });
    await world.start();
    expect(await world.ok("speak")).toBe("good\n");
    expect(await world.ok("b")).toBe("b\n");
    world.write("a.ts", `${speaking('"bad"')} {{{`);
    rmSync(world.at("b.ts"));
    const { code, said } = await world.reload();
    expect(code).toBe(1);
    expect(said).toContain("commands: gone b, bb\n");
    expect(said).toMatch(/a\.ts: as before, because it failed: Cannot use ".*a\.ts": .*a\.ts:\d+:\d+: /);
    expect(await world.ok("speak")).toBe("good\n");
    expect(await world.bad("b")).toContain("b");
    world.write("a.ts", speaking('"better"'));
    expect((await world.reload()).code).toBe(0);
    expect(await world.ok("speak")).toBe("better\n");
  });

  test("shows connected clients at once what there is", async () => {
    await using world = openModulesWorld();
    await world.start();
    const target = () => findTarget({ host: world.local().url, token: world.local().token }, {});
    await using session = await dial(target, { signal: new AbortController().signal });
    const names = async () => v.parse(Listed, await session.call("commands", {})).map(({ name }) => name);
    expect(await refusalOf(session.call("speak", {}))).toContain("unknown_command");
    expect(await names()).not.toContain("speak");
    world.write("a.ts", speaking('"now"'));
    await world.reload();
    expect(await session.call("speak", {})).toBe("now");
    expect(await names()).toContain("speak");
  });

  test("is not needed with --watch: files that change, come, and go are read by themselves, imported ones too", async () => {
    await using world = openModulesWorld({
      "a.ts": `import { says } from "./lib/says.ts"; ${speaking("says")}`,
      "lib/says.ts": `export const says = "one";`,
    });
    await world.start("--watch");
    expect(await world.ok("speak")).toBe("one\n");
    world.write("lib/says.ts", `export const says = "two";`);
    await eventually(async () => (await world.ok("speak")) === "two\n", 30_000);
    world.write("lib/says.ts", `export const says = ;`);
    await world.logged("lib/says.ts:1:");
    expect(await world.ok("speak")).toBe("two\n");
    world.write("lib/says.ts", `export const says = "three";`);
    await eventually(async () => (await world.ok("speak")) === "three\n", 30_000);
    world.write("b.ts", speaking('"b"', { name: "b", job: "bb" }));
    await eventually(async () => (await world.farhand(["b"])).stdout === "b\n", 30_000);
    rmSync(world.at("b.ts"));
    await eventually(async () => (await world.farhand(["b"])).code !== 0, 30_000);
  });

  test("is not needed with --watch where what a module imports comes only after it, or others may no longer write it", async () => {
    await using world = openModulesWorld();
    await world.start("--watch");
    world.write(
      "late.ts",
      `import { says } from "./lib/says"; import { word } from "word"; ${speaking("says + word")}`,
    );
    await world.logged("./lib/says");
    world.write("lib/says.ts", `export const says = "here";`);
    await world.logged('\\"word\\"');
    world.write("node_modules/word/index.js", `export const word = " now";`);
    chmodSync(world.at("lib/says.ts"), 0o666);
    await world.logged("chmod go-w");
    chmodSync(world.at("lib/says.ts"), 0o644);
    await eventually(async () => (await world.farhand(["speak"])).stdout === "here now\n", 30_000);
  });
});
