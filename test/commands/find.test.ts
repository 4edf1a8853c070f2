import { describe, expect, test } from "bun:test";
import { mkdirSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { find } from "../../src/commands/find.ts";
import { parseArguments } from "../../src/cli/arguments.ts";
import { openDirectory } from "../support/directory.ts";
import { collect, toFileContext } from "../support/reading.ts";
import { testIf } from "../support/test-if.ts";

function setup() {
  const directory = openDirectory();
  const at = (...names: string[]) => join(directory.path, ...names);
  const run = (input: v.InferInput<typeof find.input>, signal?: AbortSignal) =>
    find.run(v.parse(find.input, input), toFileContext(directory.path, signal));
  /** As typed on a command line. */
  const search = async (...words: string[]) => {
    const input = find.cli.toInput(
      parseArguments(words, { args: find.cli.args, rest: true, takesRest: false }),
    );
    const { said, result } = await collect(run(input));
    return { shown: said.map((file) => find.cli.show(v.parse(find.event, file))), result };
  };
  return { at, run, search, [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

function setupTree() {
  const world = setup();
  mkdirSync(world.at("a", "b"), { recursive: true });
  writeFileSync(world.at("a", "one.log"), "1");
  writeFileSync(world.at("a", "b", "two.log"), "");
  writeFileSync(world.at("a", "b", "big.bin"), "");
  truncateSync(world.at("a", "b", "big.bin"), 20 * 1024 ** 2);
  writeFileSync(world.at(".hidden.log"), "12345");
  const old = new Date(Date.now() - 40 * 86_400_000);
  utimesSync(world.at("a", "one.log"), old, old);
  return world;
}

describe("find", () => {
  const cases = [
    [[], [".hidden.log", "a", "a/b", "a/b/big.bin", "a/b/two.log", "a/one.log"]],
    [["."], [".", "./.hidden.log", "./a", "./a/b", "./a/b/big.bin", "./a/b/two.log", "./a/one.log"]],
    [
      ["--name", "*.log"],
      [".hidden.log", "a/b/two.log", "a/one.log"],
    ],
    [
      ["--name", "*.bin", "--name", "one*"],
      ["a/b/big.bin", "a/one.log"],
    ],
    [
      ["a", "--type", "d"],
      ["a", "a/b"],
    ],
    [["--type", "f", "--max-depth", "1"], [".hidden.log"]],
    [["a", "--max-depth", "0"], ["a"]],
    [["--size", "+10M", "--type", "f"], ["a/b/big.bin"]],
    [["--size", "0", "--type", "f"], ["a/b/two.log"]],
    [
      ["--size", "-5b", "--type", "f"],
      [".hidden.log", "a/b/two.log", "a/one.log"],
    ],
    [["--older", "30d"], ["a/one.log"]],
    [
      ["--newer", "1h", "--type", "f"],
      [".hidden.log", "a/b/big.bin", "a/b/two.log"],
    ],
    [
      ["--limit", "2"],
      [".hidden.log", "a"],
    ],
    [["a/one.log"], ["a/one.log"]],
  ] as const;
  test.each(cases)("%j", async (words, expected) => {
    using world = setupTree();
    const { shown, result } = await world.search(...words);
    expect(shown.map((path) => path.replaceAll("\\", "/"))).toEqual([...expected]);
    expect(result).toEqual({ found: expected.length, unread: { count: 0, errors: [] } });
  });
});

const posix = testIf(process.platform !== "win32", "links and names of other bytes are not Windows'");

posix("find follows no links, and so ends where they make a circle", async () => {
  using world = setup();
  mkdirSync(world.at("a"));
  symlinkSync("..", world.at("a", "up"));
  symlinkSync(".", world.at("self"));
  expect((await world.search()).shown).toEqual(["a", "a/up", "self"]);
});

posix("find keeps names of any bytes", async () => {
  using world = setup();
  const name = Buffer.from("\n\xfe -", "latin1");
  writeFileSync(Buffer.concat([Buffer.from(world.at("/")), name]), "");
  const { said } = await collect(world.run({ paths: ["."] }));
  expect(said[1]).toEqual({
    name: "\n\ufffd -",
    nameBytes: name.toString("base64"),
    path: "./\n\ufffd -",
    pathBytes: Buffer.concat([Buffer.from("./"), name]).toString("base64"),
    type: "file",
  });
});

posix("find goes as deep as the system allows paths to be, and tells of what lies deeper", async () => {
  using world = setup();
  const name = "d".repeat(200);
  // A shell goes where no path from the top leads.
  Bun.spawnSync(["sh", "-c", `for i in $(seq 25); do mkdir ${name} && cd ${name} || exit 1; done`], {
    cwd: world.at(""),
  });
  const { said, result } = await collect(world.run({}));
  expect(said.length).toBeGreaterThan(15);
  expect(result.unread).toMatchObject({ count: 1, errors: [{ details: { os: "ENAMETOOLONG" } }] });
  Bun.spawnSync(["rm", "-rf", world.at(name)]);
});

test("find stops when it is cancelled, also where it finds nothing", async () => {
  using world = setupTree();
  const stop = new AbortController();
  stop.abort(new Error("enough"));
  await expect(collect(world.run({ names: ["nothing"] }, stop.signal))).rejects.toThrow("enough");
});

test("find refuses what it cannot read on the command line", async () => {
  using world = setup();
  const words = [
    ["--size", "10X"],
    ["--newer", "yesterday"],
    ["--older", "2026-99-99"],
    ["--type", "x"],
    ["--max-depth", "-1"],
  ];
  for (const line of words) await expect(world.search(...line)).rejects.toThrow(/^Cannot (read|look for)/);
});
