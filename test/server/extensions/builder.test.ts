import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { findProblems } from "../../../src/module/problem.ts";
import { AppError } from "../../../src/protocol/error.ts";
import { Builder } from "../../../src/server/extensions/builder.ts";
import { FARHANDD } from "../../support/built.ts";
import { openDirectory } from "../../support/directory.ts";

setDefaultTimeout(60_000);

/** A builder that runs the compiled executable, and a directory with these files in it. */
async function setup(files: Readonly<Record<string, string>>, patience?: number, ...words: string[]) {
  const directory = openDirectory();
  const at = (name: string) => join(directory.path, name);
  for (const [name, text] of Object.entries(files)) await Bun.write(at(name), text);
  const toCommand = (file: string, into: string) => ({
    argv: [FARHANDD, "build-module", file, into, ...words],
    argv0: "farhandd",
  });
  const builder = new Builder({ toCommand, ...(patience !== undefined && { patience }) });
  const build = (name: string, packs: Readonly<Record<string, unknown>> = {}) =>
    builder.build(at(name), new AbortController().signal, packs);
  const refuse = async (name: string): Promise<AppError> => {
    try {
      await build(name);
    } catch (error) {
      if (error instanceof AppError) return error;
      throw error;
    }
    throw new Error(`"${name}" was built`);
  };
  return { at, build, refuse, [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

describe("A builder", () => {
  test("answers the bundle of a module, and what its commands are", async () => {
    using files = await setup({
      "main.ts": `
        import { defineCommand, v } from "farhand";
        export default defineCommand({
          name: "disk-usage",
          kind: "background",
          summary: "Tell how full a disk is",
          permission: "read",
          input: v.object({ path: v.optional(v.string(), "/"), token: v.optional(v.string()) }),
          event: v.object({ used: v.number() }),
          positional: ["path"],
          confidential: ["token"],
          timeout: "30s",
          runAs: "nobody",
          async *run() {},
        });
        console.log("noise on stdout");
        setInterval(() => {}, 1_000);`,
    });
    const { source, hash, description, inputs } = await files.build("main.ts");
    expect(new Bun.CryptoHasher("sha256").update(source).digest("hex")).toBe(hash);
    expect(inputs).toEqual([files.at("main.ts")]);
    expect(description).toMatchObject({
      hash,
      commands: [
        {
          name: "disk-usage",
          kind: "background",
          permission: "read",
          takesInput: true,
          positional: ["path"],
          confidential: ["token"],
          timeoutMs: 30_000,
          runAs: "nobody",
          doing: "stream",
          input: { type: "object", properties: { path: { type: "string", default: "/" } } },
          event: { required: ["used"] },
        },
      ],
    });
  });

  test("answers what a pack has, and that a module is a task", async () => {
    using files = await setup({
      "pack.ts": `
        import { definePack, v } from "farhand";
        export default definePack({
          name: "tools",
          config: v.object({ display: v.string() }),
          init: ({ display }) => display,
          commands: [{ name: "look", summary: "Looks", run: () => 1 }],
        });`,
      "task.ts":
        'import { defineTask } from "farhand";\nexport default defineTask({ init: () => 0, exec: (_, n) => n });',
    });
    expect((await files.build("pack.ts", { tools: { display: ":0" } })).description).toMatchObject({
      pack: { name: "tools", hasInit: true, config: { required: ["display"] } },
      commands: [{ name: "look", kind: "foreground", permission: "exec", doing: "plain" }],
    });
    expect((await files.build("task.ts")).description).toMatchObject({
      task: { hasInit: true, hasExit: false },
      commands: [],
    });
  });

  test("refuses a pack whose configuration does not fit it, and names the key", async () => {
    using files = await setup({
      "pack.ts": `
        import { definePack, v } from "farhand";
        const commands = [{ name: "look", summary: "Looks", run: () => 1 }];
        export default definePack({ name: "tools", config: v.object({ at: v.object({ port: v.number() }) }), commands });`,
      "bare.ts":
        'export default { name: "bare", commands: [{ name: "look", summary: "Looks", run: () => 1 }] };',
    });
    const told = (name: string, table: unknown) =>
      files.build(name, { tools: table, bare: table }).then(
        () => "fits",
        ({ code, message }: AppError) => `${code}: ${message}`,
      );
    expect(await told("pack.ts", { at: { port: 1 } })).toBe("fits");
    expect(await told("pack.ts", {})).toBe(
      'invalid_config: Cannot set up the pack "tools": extensions.tools.at: it is missing',
    );
    expect(await told("pack.ts", { at: { port: "one" } })).toBe(
      'invalid_config: Cannot set up the pack "tools": extensions.tools.at.port: Invalid type: Expected number but received "one"',
    );
    expect(await told("bare.ts", { at: 1 })).toContain("extensions.bare.at: the pack has no such key");
  });

  test("names the line of what is wrong with a definition, and of what throws as it is loaded", async () => {
    using files = await setup({
      "wrong.ts": `import { defineCommand, v } from "farhand";
const good = defineCommand({ name: "good", summary: "Is fine", run: () => {} });
const bad = defineCommand({
  name: "bad",
  summary: "Is not",
  input: v.object({ path: v.string() }),
  positional: ["file"],
  run: () => {},
});
export default [good, bad];`,
      "throws.ts":
        "interface Nothing {\n  a: 1;\n}\nconst nothing: any = undefined;\nexport default nothing.a.b;",
      "asks.ts": '\nimport { v, defineComand } from "farhand";\nexport default defineComand(v);',
    });
    const wrong = await files.refuse("wrong.ts");
    expect(wrong.message).toEndWith(
      'wrong.ts:7:3: command "bad": "positional" names "file", which is no field of its input in "positional: [\\"file\\"],"',
    );
    expect(findProblems(await files.refuse("throws.ts"))).toMatchObject([
      {
        file: files.at("throws.ts"),
        line: 5,
        message: expect.stringContaining("undefined is not an object"),
      },
    ]);
    expect(findProblems(await files.refuse("asks.ts"))).toMatchObject([
      { file: files.at("asks.ts"), line: 2, column: 13, message: '"farhand" has no "defineComand"' },
    ]);
  });

  test("outlives a module that exits, crashes or leaves something running as it is loaded, and names it", async () => {
    using files = await setup({
      "exits.ts": 'console.error("why");\nprocess.exit(3);',
      "crashes.ts": 'process.kill(process.pid, "SIGSEGV");',
      "forks.ts":
        'Bun.spawn(["sleep", "60"], { stdio: ["ignore", "inherit", "inherit"] });\nprocess.exit(4);',
    });
    const told = await Promise.all(["exits.ts", "crashes.ts", "forks.ts"].map((name) => files.refuse(name)));
    expect(told.map(({ code, message }) => [code, message])).toEqual([
      [
        "invalid_module",
        expect.stringMatching(/exits\.ts": it ended its process as it was loaded, with exit code 3: why$/),
      ],
      ["invalid_module", expect.stringMatching(/crashes\.ts": .* with signal SIGSEGV/)],
      ["invalid_module", expect.stringMatching(/forks\.ts": .* with exit code 4$/)],
    ]);
  });

  test("outlives a module that never ends to load, and names it", async () => {
    using files = await setup(
      { "loops.ts": "for (;;);", "waits.ts": "await new Promise(() => setInterval(() => {}, 1_000));" },
      1_000,
    );
    for (const name of ["loops.ts", "waits.ts"])
      expect(await files.refuse(name)).toMatchObject({
        code: "invalid_module",
        message: expect.stringMatching(/": it takes more than 1 s to load$/),
      });
  });

  test("names a native addon that only shows as it is loaded", async () => {
    using files = await setup({
      "node_modules/bindings/package.json": '{ "name": "bindings", "main": "main.js" }',
      "node_modules/bindings/main.js":
        'module.exports = require(require("path").join(__dirname, "build", "addon.node"));',
      "node_modules/bindings/build/addon.node": "no addon at all",
      "main.ts": 'import addon from "bindings";\nexport default addon;',
    });
    expect((await files.refuse("main.ts")).message).toContain("bindings/build/addon.node");
  });

  test("gives a module nothing of its own environment", async () => {
    using files = await setup({
      "main.ts": "throw new Error(Object.keys(process.env).sort().join());",
    });
    const { message } = await files.refuse("main.ts");
    expect(message).toContain('it throws "HOME,PATH');
    expect(message).not.toContain("WORLD");
  });

  test("runs nothing of a module that imports what others may write, if it is told not to", async () => {
    const sources = {
      "main.ts": `import { shared } from "./shared.ts"; export default shared;`,
      "shared.ts": `process.exit(9); export const shared = 1;`,
    };
    using files = await setup(sources, undefined, "trusted");
    expect((await files.refuse("main.ts")).message).toContain("exit code 9");
    chmodSync(files.at("shared.ts"), 0o666);
    expect((await files.refuse("main.ts")).message).toBe(
      `Cannot use module "${files.at("shared.ts")}": others may write "${files.at("shared.ts")}"; run chmod go-w ${files.at("shared.ts")}`,
    );
  });
});
