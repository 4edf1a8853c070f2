import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { bundle, digest } from "../../src/module/bundle.ts";
import { loadModule } from "../../src/module/load.ts";
import { findProblems } from "../../src/module/problem.ts";
import { AppError } from "../../src/protocol/error.ts";
import { openDirectory } from "../support/directory.ts";

setDefaultTimeout(60_000);

/** A directory with these files in it. */
async function setup(files: Readonly<Record<string, string>>) {
  const directory = openDirectory();
  const at = (name: string) => join(directory.path, name);
  for (const [name, text] of Object.entries(files)) await Bun.write(at(name), text);
  const refuse = async (name: string): Promise<AppError> => {
    try {
      await bundle(at(name));
    } catch (error) {
      if (error instanceof AppError) return error;
      throw error;
    }
    throw new Error(`"${name}" was bundled`);
  };
  return { at, refuse, [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

describe("A bundle", () => {
  test("holds what is imported, from beside the module and from a node_modules above, and finds farhand where it runs", async () => {
    using files = await setup({
      "node_modules/greeting/package.json": '{ "name": "greeting", "main": "main.js" }',
      "node_modules/greeting/main.js": 'module.exports = (who) => "hello " + who;',
      "commands/main.ts": `
        import { v } from "farhand";
        import greeting from "greeting";
        import { who } from "./lib/who.ts";
        import text from "./text.txt" with { type: "text" };
        import json from "./some.json";
        const late = await Promise.resolve("late");
        export default [greeting(who), text, json, late, v.parse(v.string(), "checked")];`,
      "commands/lib/who.ts": 'export const who: string = "you";',
      "commands/text.txt": "a text",
      "commands/some.json": '{ "some": "json" }',
    });
    const made = await bundle(files.at("commands/main.ts"));
    expect(made.hash).toBe(digest(made.source));
    expect(made.inputs).toContain(files.at("commands/lib/who.ts"));
    expect(made.inputs).toContain(files.at("node_modules/greeting/main.js"));
    expect(await loadModule(made)).toMatchObject({
      default: ["hello you", "a text", { some: "json" }, "late", "checked"],
    });
  });

  test("is the same from whichever directory and environment it is made, and tells no path of this machine", async () => {
    using files = await setup({
      "sub/main.ts": 'import { a } from "../a.ts"; export default () => a;',
      "a.ts": "export const a = [process.env.NODE_ENV, process.env.SECRET];",
    });
    const script = `
      import { bundle } from ${JSON.stringify(join(import.meta.dir, "../../src/module/bundle.ts"))};
      const { source, hash } = await bundle(process.argv[1]);
      console.log(hash, new TextDecoder().decode(source).includes(${JSON.stringify(files.at("."))}));`;
    const made = ["/", files.at("."), files.at("sub")].map((cwd, index) =>
      Bun.spawnSync([process.execPath, "-e", script, files.at("sub/main.ts")], {
        cwd,
        env: { ...process.env, NODE_ENV: `env${index}`, SECRET: `secret${index}` },
      }).stdout.toString(),
    );
    expect(made[0]).toMatch(/^[0-9a-f]{64} false\n$/);
    expect(new Set(made).size).toBe(1);
  });

  test("keeps in its stack traces where the source stands", async () => {
    using files = await setup({
      "main.ts": 'import { fail } from "./sub/fail.ts";\nexport default { fail };',
      "sub/fail.ts":
        "interface Nothing {\n  a: 1;\n}\nexport function fail(): never {\n  throw new Error('oh');\n}",
    });
    const exports = await loadModule(await bundle(files.at("main.ts")));
    const { fail } = (exports as { default: { fail: () => never } }).default;
    let stack: string | undefined;
    try {
      fail();
    } catch (error) {
      stack = error instanceof Error ? error.stack : undefined;
    }
    expect(stack).toContain("sub/fail.ts:5:13");
  });
});

describe("bundle() refuses", () => {
  test("what is no TypeScript, or imports what there is not, and names each line", async () => {
    using files = await setup({
      "page.html": "<script src='./syntax.ts'></script>",
      "syntax.ts": "export default 1;\nconst x: number = ;",
      "imports.ts": 'import a from "nobody-has-this";\nimport b from "./nowhere.ts";\nexport default [a, b];',
    });
    const syntax = await files.refuse("syntax.ts");
    expect(syntax).toMatchObject({ code: "invalid_module" });
    expect(syntax.message).toEndWith('syntax.ts:2:19: Unexpected ; in "const x: number = ;"');
    expect(findProblems(await files.refuse("imports.ts"))).toMatchObject([
      { file: files.at("imports.ts"), line: 1, column: 15, text: 'import a from "nobody-has-this";' },
      { file: files.at("imports.ts"), line: 2, column: 15, text: 'import b from "./nowhere.ts";' },
    ]);
    expect((await files.refuse("missing.ts")).message).toEndWith("there is no such file");
    expect((await files.refuse(".")).message).toEndWith("it is no file");
    expect((await files.refuse("page.html")).message).toContain("neither TypeScript nor JavaScript");
  });

  test("a native addon, by its name and where it is imported, also inside a package", async () => {
    using files = await setup({
      "node_modules/addon/package.json": '{ "name": "addon", "main": "main.js" }',
      "node_modules/addon/main.js": '\nmodule.exports = require("./build/addon.node");',
      "node_modules/addon/build/addon.node": "ELF",
      "main.ts": 'import addon from "addon";\nexport default addon;',
      "direct.ts": 'export default require("./node_modules/addon/build/addon.node");',
    });
    const addon = files.at("node_modules/addon/build/addon.node");
    for (const name of ["main.ts", "direct.ts"])
      expect((await files.refuse(name)).message).toContain(
        `the native addon "${addon}" cannot be part of a bundle`,
      );
  });

  test("a file that could only lie beside the bundle, and says what to do", async () => {
    using files = await setup({
      "main.ts": 'import logo from "./logo.png";\nexport default logo;',
      "logo.png": "PNG",
    });
    const { message } = await files.refuse("main.ts");
    expect(message).toContain('main.ts:1:18: "');
    expect(message).toContain('import it with { type: "text" }');
  });

  test("a macro: nothing of a module runs while it is bundled", async () => {
    using files = await setup({
      "macro.ts":
        'import { writeFileSync } from "node:fs";\nexport function run() { writeFileSync(import.meta.dir + "/ran", ""); return 1; }',
      "main.ts": 'import { run } from "./macro.ts" with { type: "macro" };\nexport default run();',
    });
    expect((await files.refuse("main.ts")).message).toContain("main.ts:2:16: Macros are disabled");
    expect(existsSync(files.at("ran"))).toBe(false);
  });
});
