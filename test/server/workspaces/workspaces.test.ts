import { describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import {
  MAX_PRIVATE_WORKSPACES,
  MAX_WORKSPACE_BYTES,
  MAX_WORKSPACE_VARIABLES,
  MAX_WORKSPACES,
  MAX_WORKSPACES_BYTES,
  PRIVATE_WORKSPACE_LIFE,
} from "../../../src/protocol/limits.ts";
import { toFile, WorkspaceStore } from "../../../src/server/workspaces/store.ts";
import { MAX_NARROWED_SHELVES, Workspaces } from "../../../src/server/workspaces/workspaces.ts";
import { openDirectory } from "../../support/directory.ts";
import { eventually } from "../../support/eventually.ts";

const environment = { PATH: "/bin", LANG: "C" };
const never = new AbortController().signal;
const home = realpathSync(homedir());
const nothing = { set: {}, unset: [], inherit: [] };

function setup() {
  const root = openDirectory();
  const directory = join(root.path, "workspaces");
  mkdirSync(directory);
  const warned: string[] = [];
  const log = { error() {}, info() {}, debug() {}, warn: (message: string) => void warned.push(message) };
  let now = Date.now();
  const open = () => new Workspaces({ directory, environment, log, now: () => now });
  return {
    root: realpathSync(root.path),
    directory,
    warned,
    /** As a server that is started has them. */
    open,
    workspaces: open(),
    pass: (ms: number) => void (now += ms),
    files: () => readdirSync(directory),
    [Symbol.dispose]: () => root[Symbol.dispose](),
  };
}

const names = async (workspaces: Workspaces, owner = "me") =>
  (await workspaces.accessAll(owner).list(never)).map(({ name }) => name);

test("Tokens that were narrowed from one have so many workspaces together, and cost others none of theirs", async () => {
  using world = setup();
  const { workspaces } = world;
  const owners = ["me", "me/0123456789abcdef", "you/0123456789abcdef/link0"];
  const narrowed = Array.from({ length: MAX_NARROWED_SHELVES + 9 }, (_, n) => `me/0123456789abcdef/link${n}`);
  for (const owner of [...owners, ...narrowed]) {
    await workspaces.access(owner, "default").change({ ...nothing, set: { OWNER: owner } });
    workspaces.access(narrowed[0] ?? "", "default"); // it is used all the time
  }
  const kept = [...owners, narrowed[0] ?? "", ...narrowed.slice(10)];
  await eventually(() => world.files().length === kept.length);
  for (const now of [workspaces, world.open()])
    for (const owner of kept) expect(now.access(owner, "default").environment["OWNER"]).toBe(owner);
  expect(workspaces.access(narrowed[1] ?? "", "default").environment["OWNER"]).toBeUndefined();
});

describe("A workspace", () => {
  test("is made on its first use, at home and with the server's environment, and is there from then on", async () => {
    using world = setup();
    const build = world.workspaces.access("me", "build");
    expect(await names(world.workspaces)).toEqual(["default"]);
    expect([build.cwd, build.environment]).toEqual([home, environment]);
    expect(await names(world.workspaces)).toEqual(["default", "build"]);
    await eventually(() => world.files().some((file) => file.endsWith(".json")));
    expect(await names(world.open())).toEqual(["default", "build"]);
  });

  test("has its directory and variables also after a restart that it did not know of", async () => {
    using world = setup();
    const bytes = Buffer.concat([Buffer.from(`${world.root}/`), Buffer.from([0x61, 0xff])]);
    mkdirSync(bytes);
    const path = { bytes: bytes.toString("base64") };
    const before = world.workspaces.access("me", "build");
    expect(await before.enter(path)).toEqual(path);
    await before.change({ set: { CC: "clang" }, unset: ["LANG"], inherit: [] });
    const after = world.open().access("me", "build");
    expect([after.cwd, after.environment]).toEqual([path, { PATH: "/bin", CC: "clang" }]);
    expect(after.changed).toEqual({ set: ["CC"], unset: ["LANG"] });
    expect(() => after.resolve(".")).toThrow(/its name is no UTF-8; choose another with farhand cd/);
    expect(after.resolve("/srv")).toBe("/srv");
    expect(await after.goBack()).toBe(home);
    expect(await after.goBack()).toEqual(path);
  });

  test("is found by each call without the disk", async () => {
    using world = setup();
    const build = world.workspaces.access("me", "build");
    await build.enter(world.root);
    await build.change({ ...nothing, set: { A: "1" } });
    rmSync(world.directory, { recursive: true });
    const again = world.workspaces.access("me", "build");
    expect([again.cwd, again.environment["A"], again.resolve("x")]).toEqual([
      world.root,
      "1",
      join(world.root, "x"),
    ]);
    expect(again.environment).toBe(build.environment); // not made anew for each job
  });

  test("is its owner's alone", async () => {
    using world = setup();
    const mine = world.workspaces.access("me", "build");
    await mine.enter(world.root);
    const others = world.workspaces.access("you", "build");
    expect(others.cwd).toBe(home);
    expect(await names(world.workspaces, "you")).toEqual(["default", "build"]);
    await world.workspaces.accessAll("you").remove(["build"]);
    expect(mine.cwd).toBe(world.root);
    await expect(world.workspaces.accessAll("you").remove(["build"])).rejects.toMatchObject({
      code: "not_found",
      message: 'Cannot remove workspace "build": there is none of that name',
    });
    expect(world.open().access("me", "build").cwd).toBe(world.root);
  });

  test("counts from its directory, leaves it by links as the system does, and finds back", async () => {
    using world = setup();
    mkdirSync(join(world.root, "a/b"), { recursive: true });
    const build = world.workspaces.access("me", "build");
    await expect(build.goBack()).rejects.toMatchObject({ code: "invalid_input" });
    await build.enter(world.root);
    expect(await build.enter("a/b")).toBe(join(world.root, "a/b"));
    expect(build.resolve("../c")).toBe(join(world.root, "a/c"));
    expect(await build.enter("..")).toBe(join(world.root, "a"));
    expect(await build.goBack()).toBe(join(world.root, "a/b"));
    expect(await build.enter(undefined)).toBe(home);
  });

  test("whose directory is gone says so, and can be changed and left", async () => {
    using world = setup();
    const gone = join(world.root, "gone");
    mkdirSync(gone);
    const build = world.workspaces.access("me", "build");
    await build.enter(gone);
    await build.checkDirectory();
    rmSync(gone, { recursive: true });
    await expect(build.checkDirectory()).rejects.toMatchObject({
      code: "os_error",
      message: `Cannot use directory "${gone}" of workspace "build": no such file or directory (ENOENT); choose another with farhand cd`,
      details: { os: "ENOENT", path: gone },
    });
    expect((await world.workspaces.accessAll("me").list(never))[1]).toMatchObject({
      fault: "ENOENT",
      cwd: gone,
    });
    await build.change({ ...nothing, set: { A: "1" } });
    expect(build.cwd).toBe(gone);
    await expect(build.enter("below")).rejects.toMatchObject({
      code: "os_error",
      message: expect.stringContaining(`the workspace's directory "${gone}" does not exist`),
    });
    expect(await build.enter("..")).toBe(world.root);
  });

  test("refuses a directory that it cannot enter, with code and path as it was written, and stays where it is", async () => {
    using world = setup();
    writeFileSync(join(world.root, "file"), "");
    const build = world.workspaces.access("me", "build");
    await build.enter(world.root);
    await expect(build.enter("none")).rejects.toMatchObject({
      code: "os_error",
      message: 'Cannot change to "none": no such file or directory (ENOENT)',
      details: { os: "ENOENT", path: "none" },
    });
    await expect(build.enter("file")).rejects.toMatchObject({ details: { os: "ENOTDIR", path: "file" } });
    expect(build.cwd).toBe(world.root);
  });

  test("sets, unsets and inherits variables whatever they are called", async () => {
    using world = setup();
    const build = world.workspaces.access("me", "build");
    await build.change({ ...nothing, set: JSON.parse('{"__proto__":"x","PATH":"/opt","constructor":"y"}') });
    expect(Object.entries(build.environment).sort()).toEqual([
      ["LANG", "C"],
      ["PATH", "/opt"],
      ["__proto__", "x"],
      ["constructor", "y"],
    ] as never);
    await build.change({ ...nothing, unset: ["PATH", "__proto__"] });
    expect(Object.keys(build.environment).sort()).toEqual(["LANG", "constructor"]);
    await build.change({ ...nothing, inherit: ["PATH", "constructor"] });
    expect(build.environment).toEqual(environment);
    expect(build.changed).toEqual({ set: [], unset: ["__proto__"] });
  });

  test("loses none of many changes at once", async () => {
    using world = setup();
    const all = Array.from({ length: 50 }, (_, number) => `V${number}`);
    await Promise.all(
      all.map((name) => world.workspaces.access("me", "build").change({ ...nothing, set: { [name]: "x" } })),
    );
    for (const workspaces of [world.workspaces, world.open()])
      expect(workspaces.access("me", "build").changed.set).toEqual(all);
  });

  test("shows a change to nobody before it is on the disk", async () => {
    using world = setup();
    const build = world.workspaces.access("me", "build");
    await build.enter(world.root);
    rmSync(world.directory, { recursive: true });
    await expect(build.change({ ...nothing, set: { A: "1" } })).rejects.toMatchObject({
      code: "state_unusable",
    });
    expect(build.environment).toEqual(environment);
  });

  test("whose file is damaged refuses its own calls alone, until it is removed", async () => {
    using world = setup();
    await world.workspaces.access("me", "build").enter(world.root);
    await world.workspaces.access("me", "test").enter(world.root);
    const path = join(world.directory, toFile({ owner: "me", name: "build" }));
    writeFileSync(path, "{");
    const workspaces = world.open();
    expect(world.warned).toEqual(["workspace unusable"]);
    const refusal = expect.objectContaining({ code: "state_unusable" });
    expect(() => workspaces.access("me", "build").cwd).toThrow(refusal);
    await expect(workspaces.access("me", "build").enter("/")).rejects.toEqual(refusal);
    expect(workspaces.access("me", "test").cwd).toBe(world.root);
    expect(workspaces.access("you", "build").cwd).toBe(home);
    await workspaces.accessAll("me").remove(["build"]);
    expect(workspaces.access("me", "build").cwd).toBe(home);
  });
});

describe("Workspaces are bounded:", () => {
  test("those of one user in number, whatever another has", async () => {
    using world = setup();
    for (let number = 0; number < MAX_WORKSPACES; number++)
      void world.workspaces.access("me", `w${number}`).cwd;
    expect(() => world.workspaces.access("me", "more").cwd).toThrow(
      expect.objectContaining({
        code: "too_many",
        message: expect.stringContaining("remove some with farhand workspace remove"),
      }),
    );
    expect(world.workspaces.access("me", "w0").cwd).toBe(home);
    expect(world.workspaces.access("me", "default").cwd).toBe(home);
    expect(world.workspaces.access("you", "more").cwd).toBe(home);
    await world.workspaces.accessAll("me").remove(["w0"]);
    expect(world.workspaces.access("me", "more").cwd).toBe(home);
    await eventually(
      () => world.files().filter((file) => file.endsWith(".json")).length === MAX_WORKSPACES + 1,
      40_000, // each is synced to a disk that may be busy
    );
  });

  test("private ones in number, of which only changed ones count", async () => {
    using world = setup();
    const store = new WorkspaceStore(world.directory);
    const kept = Array.from({ length: MAX_PRIVATE_WORKSPACES }, (_, number) => `@p${number}`);
    await Promise.all(kept.map((name) => store.save({ owner: "me", name }, { set: {}, unset: [] })));
    const workspaces = world.open();
    expect(workspaces.access("me", "@more").cwd).toBe(home);
    await expect(workspaces.access("me", "@more").enter("/")).rejects.toMatchObject({ code: "too_many" });
    await workspaces.access("me", "@p0").enter("/");
    await workspaces.access("me", "named").enter("/");
  }, 60_000);

  test("variables in number and bytes, and the bytes of all together", async () => {
    using world = setup();
    const build = world.workspaces.access("me", "build");
    const many = Array.from({ length: MAX_WORKSPACE_VARIABLES + 1 }, (_, number) => [`V${number}`, ""]);
    const refusal = {
      code: "too_many",
      message: expect.stringContaining('Cannot set so much in workspace "'),
    };
    await expect(build.change({ ...nothing, set: Object.fromEntries(many) })).rejects.toMatchObject(refusal);
    const large = { A: "x".repeat(MAX_WORKSPACE_BYTES - 1) };
    await expect(build.change({ ...nothing, set: { AB: large.A } })).rejects.toMatchObject(refusal);
    expect(build.environment).toEqual(environment);
    const room = MAX_WORKSPACES_BYTES / MAX_WORKSPACE_BYTES;
    const access = (number: number) => world.workspaces.access("me", `w${number}`);
    for (let number = 0; number < room; number++) await access(number).change({ ...nothing, set: large });
    await expect(build.change({ ...nothing, set: { A: "1" } })).rejects.toMatchObject(refusal);
    await access(0).change({ ...nothing, unset: ["A"] });
    await build.change({ ...nothing, set: { A: "1" } });
    await world.workspaces.access("you", "build").change({ ...nothing, set: large });
  });
});

describe("A private workspace", () => {
  test("is in no list, and survives a restart", async () => {
    using world = setup();
    await world.workspaces.access("me", "@mine").enter(world.root);
    for (const workspaces of [world.workspaces, world.open()]) {
      expect(await names(workspaces)).toEqual(["default"]);
      expect(workspaces.access("me", "@mine").cwd).toBe(world.root);
    }
  });

  test("goes when it was not used for a day; a named one stays", async () => {
    using world = setup();
    for (const name of ["@used", "@unused", "named"])
      await world.workspaces.access("me", name).enter(world.root);
    world.pass(PRIVATE_WORKSPACE_LIFE / 2);
    void world.workspaces.access("me", "@used").cwd;
    await world.workspaces.sweep();
    world.pass(PRIVATE_WORKSPACE_LIFE / 2 + 1_000);
    // A server that is started meanwhile knows when each was used.
    const workspaces = world.open();
    await workspaces.sweep();
    const cwds = ["@used", "@unused", "named"].map((name) => workspaces.access("me", name).cwd);
    expect(cwds).toEqual([world.root, home, world.root]);
    expect(world.files()).toHaveLength(2);
  });

  test("stays as long as a session holds it, and goes with the last one that is done with it", async () => {
    using world = setup();
    const { workspaces } = world;
    const [one, other] = [workspaces.hold("me", "@mine"), workspaces.hold("me", "@mine")];
    await workspaces.access("me", "@mine").enter(world.root);
    world.pass(3 * PRIVATE_WORKSPACE_LIFE);
    await workspaces.sweep();
    one[Symbol.dispose]();
    workspaces.discard("me", "@mine");
    expect(workspaces.access("me", "@mine").cwd).toBe(world.root);
    other[Symbol.dispose]();
    workspaces.discard("me", "@mine");
    await eventually(() => world.files().length === 0);
    expect(workspaces.access("me", "@mine").cwd).toBe(home);
    workspaces.discard("me", "default");
  });
});
