import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import * as authoring from "../../src/module/authoring.ts";
import { writeStarter } from "../../src/module/starter/starter.ts";
import { openDirectory } from "../support/directory.ts";

setDefaultTimeout(60_000);

/** A directory with the starter in it, which a strict compiler looks at. */
function setup() {
  const directory = openDirectory();
  const at = (name: string) => join(directory.path, name);
  const paths = writeStarter(directory.path, false);
  const compile = (...args: string[]) => {
    const { exitCode, stdout } = Bun.spawnSync([process.execPath, "check", ...args], { cwd: directory.path });
    return { code: exitCode, told: stdout.toString() };
  };
  return { at, paths, compile, [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

describe("The starter", () => {
  test("is accepted by a strict compiler, which finds its types with nothing installed", () => {
    using starter = setup();
    expect(starter.paths.map((path) => relative(starter.at("."), path))).toEqual([
      "hello.ts",
      "tasks/counter.ts",
      "tsconfig.json",
      "farhand.d.ts",
    ]);
    expect(starter.compile()).toEqual({ code: 0, told: "" });
    expect(starter.compile("--skipLibCheck", "false")).toEqual({ code: 0, told: "" });
  });

  test("is rejected when it yields a wrong event, takes a field that its input has not, or returns a wrong result", () => {
    using starter = setup();
    const text = readFileSync(starter.at("hello.ts"), "utf8");
    const cases = [
      ["yield { left };", "yield { left: String(left) };"],
      ["async *run({ from }", "async *run({ form }"],
      ['return "lift-off";', "return 1;"],
      ["({ greeting: `", "({ greetings: `"],
      ['positional: ["who"]', 'positional: ["whom"]'],
      ['summary: "Greet', 'sumary: "Greet'],
    ] as const;
    for (const [right, wrong] of cases) {
      expect(text).toContain(right);
      writeFileSync(starter.at("hello.ts"), text.replace(right, wrong));
      expect(starter.compile(), wrong).toEqual({
        code: 1,
        told: expect.stringMatching(/^hello\.ts\(\d+,\d+\): error/),
      });
    }
  });

  test("has types for a pack, whose commands say what they are given of it", () => {
    using starter = setup();
    const pack = (made: string) => `
      import { type CommandContext, defineCommand, definePack, v } from "farhand";
      const Config = v.object({ display: v.string() });
      type Context = CommandContext<v.InferOutput<typeof Config>, { grab(): number }>;
      const look = defineCommand({
        name: "look",
        summary: "Look",
        input: v.object({ times: v.number() }),
        event: v.object({ seen: v.number() }),
        async *run({ times }, { shared, config, signal }: Context) {
          signal.throwIfAborted();
          yield { seen: times + shared.grab() + config.display.length };
        },
      });
      export default definePack({ name: "eyes", config: Config, init: () => ({ ${made} }), commands: [look] });`;
    writeFileSync(starter.at("pack.ts"), pack("grab: () => 1"));
    expect(starter.compile()).toEqual({ code: 0, told: "" });
    writeFileSync(starter.at("pack.ts"), pack('grab: () => "one"'));
    expect(starter.compile()).toMatchObject({ code: 1, told: expect.stringContaining("pack.ts(15,") });
  });

  test("declares all that a module finds, and no more", () => {
    using starter = setup();
    const names = Object.keys(authoring);
    writeFileSync(
      starter.at("all.ts"),
      `import * as farhand from "farhand";
       const all: Record<keyof typeof farhand, unknown> = { ${names.map((name) => `${name}: farhand.${name}`).join(", ")} };
       export default all;`,
    );
    expect(starter.compile()).toEqual({ code: 0, told: "" });
  });

  test("is never written over what is there, unless that is asked for", () => {
    using directory = openDirectory();
    const at = (name: string) => join(directory.path, name);
    writeFileSync(at("tsconfig.json"), "mine");
    expect(() => writeStarter(directory.path, false)).toThrow(
      `Cannot write "${at("tsconfig.json")}": it is there already`,
    );
    expect(existsSync(at("hello.ts"))).toBe(false);
    expect(readFileSync(at("tsconfig.json"), "utf8")).toBe("mine");
    writeStarter(directory.path, true);
    expect(readFileSync(at("tsconfig.json"), "utf8")).toContain('"strict": true');
  });
});
