import { describe, expect, test } from "bun:test";
import { builtinModules } from "node:module";
import { dirname, join, resolve } from "node:path";
import { dependencies } from "../package.json";

const root = resolve(import.meta.dir, "..");

/** Which rooms each room may import besides itself. What the executables begin with, and the SDK, are rooms of one file. */
const rooms: Record<string, readonly string[]> = {
  lib: [],
  protocol: ["lib"],
  process: ["protocol", "lib"],
  ledger: ["protocol", "lib"],
  commands: ["protocol", "lib"],
  keeper: ["process", "ledger", "protocol", "lib"],
  module: ["commands", "protocol", "lib"],
  runner: ["module", "commands", "protocol", "lib"],
  server: ["keeper", "runner", "module", "process", "ledger", "commands", "protocol", "lib"],
  client: ["module", "commands", "protocol", "lib"],
  cli: ["client", "module", "commands", "protocol", "lib"],
  farhandd: ["server", "keeper", "runner", "module", "process", "ledger", "commands", "protocol", "lib"],
  "server.ts": ["farhandd", "process", "protocol", "lib"],
  "client.ts": ["cli", "client", "commands", "protocol", "lib"],
  "sdk.ts": ["client", "module", "commands", "protocol", "lib"],
};

const executables = ["client.ts", "server.ts", "farhandd"];

/** Packages that cost something to load, and the rooms that may. */
const confined: Record<string, readonly string[]> = {
  citty: ["cli", "server", ...executables],
  hono: ["server"],
  "@peculiar/x509": ["server"],
  "reflect-metadata": ["server"],
  "@valibot/to-json-schema": ["server", "module"],
  "@xterm/headless": ["cli"],
};

/** What `protocol/` may use of the system: nothing that reads, writes, waits or asks the time. */
const pureModules = ["node:buffer", "node:util"];

interface Ban {
  readonly pattern: RegExp;
  readonly isAllowed: (file: string) => boolean;
  readonly reason: string;
}

const bans: readonly Ban[] = [
  {
    pattern: /(?<![.\w])(setTimeout|setInterval|Bun\.sleep|Bun\.sleepSync)\b/,
    isAllowed: (file) => file === "src/lib/abort.ts",
    reason: "only src/lib/abort.ts sets timers; wait with its delay(), which takes a signal",
  },
  {
    pattern: /\bprocess\.(exit|abort|reallyExit)\b/,
    isAllowed: isExecutable,
    reason: "only the executables end the process",
  },
  {
    pattern: /\bprocess\.(on|once|addListener|prependListener|prependOnceListener)\(\s*["'`]SIG\w+/,
    isAllowed: isExecutable,
    reason: "only the executables listen for signals; the reason to stop is a parameter",
  },
  {
    pattern: /(?<![.\w])(Bun|process)\.\w+/,
    isAllowed: (file) => roomOf(file) !== "commands",
    reason: "a command declares what it needs as fields of its context",
  },
  {
    pattern:
      /(?<![.\w])(process\.\w+|fetch\(|new WebSocket\b|Date\.now|Bun\.(\$|file|write|spawn|spawnSync|serve|connect|listen|udpSocket|sql|SQL|redis|s3|stdin|stdout|stderr|env|argv)\b)/,
    isAllowed: (file) => roomOf(file) !== "protocol",
    reason: "the protocol is pure: it does no I/O and knows no clock",
  },
];

function isExecutable(file: string): boolean {
  return executables.includes(roomOf(file));
}

/** "src/server/app.ts" is in the room "server", "src/server.ts" is the room "server.ts". */
function roomOf(file: string): string {
  return file.split("/")[1] ?? file;
}

const statement = /^[ \t]*(?:import|export)\s+(?:type\s+)?(?:[\w$*{}\s,]+?\s+from\s*)?["']([^"'\n]+)["']/gm;
const expression = /\b(?:import|require)\s*\(\s*["'`]([^"'`\n]+)["'`]/g;

/** Every module that the text names, type-only imports included: Bun's scanner leaves those out. */
function findImports(text: string): string[] {
  return [...text.matchAll(statement), ...text.matchAll(expression)].map(([, specifier = ""]) => specifier);
}

function findFaultOfImport(file: string, specifier: string): string | undefined {
  const room = roomOf(file);
  if (specifier.startsWith(".")) return findFaultOfPath(file, specifier);
  const builtin = specifier.startsWith("node:") || specifier.startsWith("bun:") || specifier === "bun";
  if (room === "commands" && builtin) return "commands/ imports no module of the system";
  if (room === "protocol" && builtin && !pureModules.includes(specifier))
    return "the protocol is pure: it does no I/O";
  if (builtin) return undefined;
  if (builtinModules.includes(specifier)) return `write it as "node:${specifier}"`;
  const [scope = "", name = ""] = specifier.split("/");
  const pkg = scope.startsWith("@") ? `${scope}/${name}` : scope;
  if (!(pkg in dependencies)) return `"${pkg}" is not among the dependencies in package.json`;
  if (confined[pkg]?.includes(room) === false) return `${pkg} is loaded only by ${confined[pkg].join(", ")}`;
  return undefined;
}

function findFaultOfPath(file: string, specifier: string): string | undefined {
  const target = join(dirname(file), specifier);
  if (target === "package.json")
    return file === "src/lib/version.ts" ? undefined : "only lib/version.ts reads it";
  if (!target.startsWith("src/")) return "it lies outside src/";
  if (!/\.\w+$/.test(specifier)) return "imports carry their extension";
  const [from, to] = [roomOf(file), roomOf(target)];
  if (from === to || rooms[from]?.includes(to)) return undefined;
  return `${from} may import ${["itself", ...(rooms[from] ?? [])].join(", ")}; not ${to}`;
}

/** One sentence for each thing in this file that the architecture forbids. */
function findFaults(file: string, text: string): string[] {
  const room = roomOf(file);
  if (!(room in rooms))
    return [`${file} is in no known room: give "${room}" a line in test/architecture.test.ts`];
  const imports = findImports(text).flatMap((specifier) => {
    const fault = findFaultOfImport(file, specifier);
    return fault ? [`${file} imports "${specifier}": ${fault}`] : [];
  });
  // Transpiled, comments are gone: they may speak of whatever they like.
  const plain = text.replaceAll(` with { type: "macro" }`, ""); // a macro runs as we are built, and not here
  const code = new Bun.Transpiler({ loader: file.endsWith("x") ? "tsx" : "ts" }).transformSync(plain);
  const uses = bans.flatMap(({ pattern, isAllowed, reason }) => {
    const use = isAllowed(file) ? undefined : pattern.exec(code)?.[0];
    return use ? [`${file} uses ${use}: ${reason}`] : [];
  });
  const isDefault = /^export default\b|^export\s*\{[^}]*\bdefault\b[^}]*\}/m.test(code);
  return [...imports, ...uses, ...(isDefault ? [`${file} has a default export: name it`] : [])];
}

const sources = await Promise.all(
  [...new Bun.Glob("src/**/*.{ts,tsx}").scanSync(root)].sort().map(async (path) => {
    const file = path.replaceAll("\\", "/");
    return { file, text: await Bun.file(join(root, path)).text() };
  }),
);

test("every file of src keeps to its room", () => {
  expect(sources.flatMap(({ file, text }) => findFaults(file, text))).toEqual([]);
});

test("every import that Bun's own scanner finds in src is found by this test", () => {
  const transpiler = new Bun.Transpiler({ loader: "ts" });
  for (const { file, text } of sources) {
    const scanned = transpiler.scanImports(text).map(({ path }) => path);
    expect(findImports(text), file).toEqual(expect.arrayContaining(scanned));
  }
});

describe("the architecture refuses", () => {
  const cases = [
    ["src/server/app.ts", `import { Pool } from "../client/pool.ts";`, "not client"],
    ["src/client/pool.ts", `import type { App } from "../server/app.ts";`, "not server"],
    ["src/server.ts", `import {\n  render,\n  type Row,\n} from "./cli/render.ts";`, "not cli"],
    ["src/lib/log.ts", `export { AppError } from "../protocol/error.ts";`, "not protocol"],
    ["src/lib/log.ts", `export type * from '../protocol/error.ts'`, "not protocol"],
    ["src/protocol/frame.ts", `const a: import("../ledger/reader.ts").Reader = b;`, "not ledger"],
    ["src/process/spawn.ts", `await import("../ledger/reader.ts");`, "not ledger"],
    ["src/keeper/link.ts", `import "../commands/index.ts";`, "not commands"],
    ["src/runner/load.ts", `import { spawn } from "../process/spawn.ts";`, "not process"],
    ["src/client/pool.ts", `import { connect } from "../sdk.ts";`, "not sdk.ts"],
    ["src/lib/version.ts", `import { x } from "../../build.ts";`, "outside src/"],
    ["src/lib/log.ts", `import { delay } from "./abort";`, "carry their extension"],
    ["src/lib/log.ts", `import { version } from "../../package.json";`, "only lib/version.ts"],
    ["src/lib/log.ts", `import * as fs from "fs";`, `write it as "node:fs"`],
    ["src/lib/log.ts", `import fc from "fast-check";`, "not among the dependencies"],
    ["src/client/pool.ts", `import { Hono } from "hono";`, "hono is loaded only by server"],
    ["src/client/pool.ts", `import type { Context } from "hono/ws";`, "hono is loaded only by server"],
    ["src/keeper/main.ts", `import { runMain } from "citty";`, "citty is loaded only by cli, server"],
    ["src/commands/ls.ts", `import { readdir } from "node:fs/promises";`, "no module of the system"],
    ["src/commands/ls.ts", `import { $ } from "bun";`, "no module of the system"],
    ["src/commands/ls.ts", `const a = Bun.file("x");`, "uses Bun.file: a command declares"],
    ["src/commands/ls.ts", `const a = process.env;`, "uses process.env: a command declares"],
    ["src/protocol/frame.ts", `import { openSync } from "node:fs";`, "the protocol is pure"],
    ["src/protocol/frame.ts", `import { Database } from "bun:sqlite";`, "the protocol is pure"],
    ["src/protocol/frame.ts", `const a = Date.now();`, "uses Date.now: the protocol is pure"],
    ["src/keeper/loop.ts", `setTimeout(() => {}, 1);`, "only src/lib/abort.ts sets timers"],
    ["src/keeper/loop.ts", `await Bun.sleep(1);`, "only src/lib/abort.ts sets timers"],
    ["src/cli/render.ts", `process.exit(1);`, "only the executables end the process"],
    ["src/cli/render.ts", `process.once("SIGINT", () => {});`, "only the executables listen for signals"],
    ["src/server/app.ts", `export default function app() {}`, "has a default export"],
    ["src/server/app.ts", `const app = 1;\nexport { app as default };`, "has a default export"],
    ["src/helpers/x.ts", ``, "no known room"],
  ] as const;

  test.each(cases)("in %s: %s", (file, text, sentence) => {
    const faults = findFaults(file, text);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toStartWith(file);
    expect(faults[0]).toContain(sentence);
  });
});

describe("the architecture accepts", () => {
  const cases = [
    ["src/server/app.ts", `import { Hono } from "hono";\nimport { Keeper } from "../keeper/link.ts";`],
    ["src/client.ts", `import { runMain } from "citty";\nprocess.on("SIGINT", () => process.exit(1));`],
    ["src/commands/exec.ts", `import * as v from "valibot";\nimport { delay } from "../lib/abort.ts";`],
    [
      "src/protocol/frame.ts",
      `// import { x } from "../server/app.ts"; setTimeout, process.exit(), Bun.file\nexport const a = 1;`,
    ],
    [
      "src/keeper/loop.ts",
      `process.exitCode = 1;\nprocess.on("uncaughtException", () => {});\nthis.setTimeout(1);`,
    ],
    ["src/runner/load.ts", `export async function load(path: string) { return import(path); }`],
  ] as const;

  test.each(cases)("in %s: %s", (file, text) => {
    expect(findFaults(file, text)).toEqual([]);
  });
});
