import { describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { ls } from "../../src/commands/ls.ts";
import { openDirectory } from "../support/directory.ts";
import { collect, toFileContext } from "../support/reading.ts";
import { testIf } from "../support/test-if.ts";

function setup() {
  const directory = openDirectory();
  const at = (...names: string[]) => join(directory.path, ...names);
  const list = async (input: v.InferInput<typeof ls.input> = {}) => {
    const { said, result } = await collect(ls.run(v.parse(ls.input, input), toFileContext(directory.path)));
    const files = said.map((file) => v.parse(ls.event, file));
    return { files, result, shown: files.map(ls.cli.show) };
  };
  return { at, list, [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

const posix = testIf(process.platform !== "win32", "names of other bytes, links and modes are not Windows'");

/** Root may read everything: it is somebody else for so long. */
function becomeNobody(): Disposable {
  if (process.getuid?.() !== 0) return { [Symbol.dispose]() {} };
  process.seteuid?.(65_534);
  return { [Symbol.dispose]: () => process.seteuid?.(0) };
}

posix(
  "ls shows the workspace's directory sorted by bytes, each entry with its type, hidden ones only when asked",
  async () => {
    using world = setup();
    writeFileSync(world.at("b"), "");
    writeFileSync(world.at("Z"), "");
    writeFileSync(world.at(".hidden"), "");
    mkdirSync(world.at("a"));
    symlinkSync("nowhere", world.at("link"));
    const { files, result, shown } = await world.list();
    expect(files).toEqual([
      { name: "Z", type: "file" },
      { name: "a", type: "directory" },
      { name: "b", type: "file" },
      { name: "link", type: "link" },
    ]);
    expect([shown, result]).toEqual([
      ["Z", "a", "b", "link"],
      { entries: 4, unread: { count: 0, errors: [] } },
    ]);
    expect((await world.list({ hidden: true })).shown).toEqual([".hidden", "Z", "a", "b", "link"]);
  },
);

test("ls knows directories by what they are, wherever they are listed from", async () => {
  using world = setup();
  mkdirSync(world.at("other", "sub"), { recursive: true });
  writeFileSync(world.at("other", "file"), "");
  const { files } = await world.list({ paths: [world.at("other")] });
  expect(files.map(({ name, type }) => [name, type])).toEqual([
    ["file", "file"],
    ["sub", "directory"],
  ]);
});

posix("ls keeps names of any bytes, and shows them on one line each", async () => {
  using world = setup();
  const names = ["a\xffb", "new\nline", "-rf", " space ", "\x1b[2J"].map((name) =>
    Buffer.from(name, "latin1"),
  );
  for (const name of names) writeFileSync(Buffer.concat([Buffer.from(world.at("/")), name]), "");
  const { files, shown } = await world.list();
  const bytes = files.map(({ name, nameBytes }) =>
    nameBytes === undefined ? Buffer.from(name) : Buffer.from(nameBytes, "base64"),
  );
  expect(bytes.map((name) => name.toString("hex"))).toEqual(names.map((name) => name.toString("hex")).sort());
  expect(files.filter(({ nameBytes }) => nameBytes !== undefined)).toHaveLength(1);
  expect(shown).toEqual(["\\x1b[2J", " space ", "-rf", "a\\xffb", "new\\nline"]);
});

posix("ls -l tells mode, owner, size, time and target", async () => {
  using world = setup();
  writeFileSync(world.at("file"), "12345", { mode: 0o640 });
  chmodSync(world.at("file"), 0o640);
  symlinkSync("some\nwhere", world.at("link"));
  const { files, shown } = await world.list({ details: true });
  expect(files[0]).toMatchObject({
    name: "file",
    type: "file",
    size: 5,
    mode: "0640",
    permissions: "rw-r-----",
    links: 1,
    owner: { id: process.getuid?.() },
    modifiedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
  });
  expect(files[1]).toMatchObject({ type: "link", target: { name: "some\nwhere" } });
  expect(shown[0]).toMatch(/^-rw-r-----   1 \S+ +\S+ +5 \d{4}-\d\d-\d\dT[\d:]{8}Z file$/);
  expect(shown[1]).toEndWith("link -> some\\nwhere");
});

posix("ls -R goes down, follows no links, and says where each is", async () => {
  using world = setup();
  mkdirSync(world.at("a", "b"), { recursive: true });
  writeFileSync(world.at("a", "b", "c"), "");
  writeFileSync(world.at("a", ".hidden"), "");
  symlinkSync("..", world.at("a", "loop"));
  expect((await world.list({ recursive: true })).shown).toEqual(["a", "a/b", "a/b/c", "a/loop"]);
  expect((await world.list({ recursive: true, paths: ["a"], hidden: true })).shown).toEqual([
    "a/.hidden",
    "a/b",
    "a/b/c",
    "a/loop",
  ]);
});

posix("ls of a link to a directory shows what is in it, and with -d the link", async () => {
  using world = setup();
  mkdirSync(world.at("real"));
  writeFileSync(world.at("real", "x"), "");
  symlinkSync("real", world.at("link"));
  expect((await world.list({ paths: ["link"] })).shown).toEqual(["x"]);
  expect((await world.list({ paths: ["link"], directory: true })).files).toEqual([
    { name: "link", path: "link", type: "link" },
  ]);
});

describe("ls of several paths", () => {
  test("says where each file is, and names a file that was named itself", async () => {
    using world = setup();
    mkdirSync(world.at("a"));
    writeFileSync(world.at("a", "x"), "");
    writeFileSync(world.at("y"), "");
    expect((await world.list({ paths: ["a", "./y"] })).shown).toEqual([join("a", "x"), "./y"]);
  });

  test("lists those that are there, and tells of the others in its result", async () => {
    using world = setup();
    mkdirSync(world.at("a"));
    writeFileSync(world.at("a", "x"), "");
    const { shown, result } = await world.list({ paths: ["gone", "a", "*.none"] });
    expect(shown).toEqual([join("a", "x")]);
    expect(result.unread).toMatchObject({
      count: 2,
      errors: [{ code: "os_error", details: { os: "ENOENT", path: "gone" } }, { code: "not_found" }],
    });
    expect(ls.cli.toExitCode?.(result)).toBe(1);
    expect(ls.cli.conclude?.(result)).toBe(
      'Cannot look at "gone": no such file or directory (ENOENT); Cannot list "*.none": nothing matches',
    );
  });

  test("fails for one that is not there if it is the only one", async () => {
    using world = setup();
    await expect(world.list({ paths: ["gone"] })).rejects.toThrow(
      'Cannot look at "gone": no such file or directory (ENOENT)',
    );
  });
});

describe("ls of a pattern", () => {
  function setupTree() {
    const world = setup();
    for (const directory of ["logs/old", "src/deep/er"]) mkdirSync(world.at(directory), { recursive: true });
    for (const file of [
      "a.log",
      "b.log",
      ".c.log",
      "logs/x.log",
      "logs/old/y.log",
      "src/deep/er/z.ts",
      "[odd]",
    ])
      writeFileSync(world.at(file), "");
    return world;
  }
  const cases = [
    ["*.log", ["a.log", "b.log"]],
    [".*.log", [".c.log"]],
    ["[ab].log", ["a.log", "b.log"]],
    ["*/*.log", ["logs/x.log"]],
    ["logs/*", ["logs/old", "logs/x.log"]],
    ["**/*.log", ["a.log", "b.log", "logs/x.log", "logs/old/y.log"]],
    ["src/**", ["src/deep", "src/deep/er", "src/deep/er/z.ts"]],
    ["*/old/y.log", ["logs/old/y.log"]],
    ["./lo?s/./x*", ["./logs/./x.log"]],
    ["[odd]", ["[odd]"]],
    ["*/", ["logs", "src"]],
    ["**/", ["logs", "logs/old", "src", "src/deep", "src/deep/er"]],
  ] as const;
  test.each(cases)("%s means what it matches", async (pattern, expected) => {
    using world = setupTree();
    expect((await world.list({ paths: [pattern] })).shown.map((path) => path.replaceAll("\\", "/"))).toEqual([
      ...expected,
    ]);
  });

  test("takes an absolute one, and hidden names when asked", async () => {
    using world = setupTree();
    expect((await world.list({ paths: [world.at("*.log")], hidden: true })).shown).toEqual(
      [".c.log", "a.log", "b.log"].map((name) => world.at(name)),
    );
  });

  test("that nothing matches is an error, and one in bytes is a name", async () => {
    using world = setupTree();
    await expect(world.list({ paths: ["*.none"] })).rejects.toMatchObject({ code: "not_found" });
    const bytes = Buffer.from("*.log").toString("base64");
    await expect(world.list({ paths: [{ bytes }] })).rejects.toMatchObject({ code: "os_error" });
  });
});

posix(
  "ls tells what it may not read, and goes on; the only path that it is given must be readable",
  async () => {
    using world = setup();
    chmodSync(world.at("/"), 0o755);
    mkdirSync(world.at("closed"), { mode: 0o700 });
    mkdirSync(world.at("open"));
    writeFileSync(world.at("open", "x"), "");
    chmodSync(world.at("closed"), process.getuid?.() === 0 ? 0o700 : 0);
    {
      using _nobody = becomeNobody();
      const { shown, result } = await world.list({ recursive: true });
      expect(shown).toEqual(["closed", "open", "open/x"]);
      expect(result.unread).toMatchObject({
        count: 1,
        errors: [{ details: { os: "EACCES", path: "closed" } }],
      });
      expect(ls.cli.conclude?.(result)).toBe('Cannot list "closed": permission denied (EACCES)');
      await expect(world.list({ paths: ["closed"] })).rejects.toMatchObject({ details: { os: "EACCES" } });
    }
    chmodSync(world.at("closed"), 0o700);
  },
);
