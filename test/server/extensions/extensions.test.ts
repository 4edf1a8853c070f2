import { describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CustomDescription } from "../../../src/module/description.ts";
import { AppError } from "../../../src/protocol/error.ts";
import { Extensions } from "../../../src/server/extensions/extensions.ts";
import type { ExtensionSettings } from "../../../src/server/extensions/settings.ts";
import { createSettings } from "../../support/custom.ts";
import { openDirectory } from "../../support/directory.ts";

/** Modules are files with JSON in them: the names of their commands, and what else is to be known of them. */
function setup(more: Partial<ExtensionSettings> = {}) {
  const directory = openDirectory();
  const place = join(directory.path, "commands");
  mkdirSync(place);
  const built: string[] = [];
  const retained: string[][] = [];
  const warned: unknown[] = [];
  const log = { error() {}, warn: (...said: unknown[]) => void warned.push(said), info() {}, debug() {} };
  const controller = new AbortController();
  /** What is still to be let through, by file. */
  const gates = new Map<string, Promise<void>>();
  const extensions = new Extensions({
    async build(file) {
      built.push(file);
      await gates.get(file);
      const text = await Bun.file(file).text();
      if (text === "broken") {
        const details = { problems: [{ message: "line 1", file: `${file}.imported` }] };
        throw new AppError("invalid_module", `Cannot use module "${file}": line 1`, { details });
      }
      const { names, ...described } = JSON.parse(text) as { names: string[] } & Partial<CustomDescription>;
      const hash = new Bun.CryptoHasher("sha256").update(text).digest("hex");
      const commands = names.map((name) => describeCommand(name, described));
      return {
        source: Buffer.from(text),
        hash,
        warnings: [],
        description: { hash, commands },
        inputs: [file],
      };
    },
    retain: (units) => retained.push([...new Set(units.map(({ hash }) => hash))]),
    log,
    signal: controller.signal,
  });
  const settings: ExtensionSettings = createSettings(place, more);
  const reload = async (changed: Partial<ExtensionSettings> = {}) => {
    const faults: string[] = [];
    const now = await extensions.reload({ extensions: { ...settings, ...changed } }, ({ name, reason }) =>
      faults.push(`${name}: ${reason}`),
    );
    return { now, faults };
  };
  const write = (name: string, ...names: string[]) => {
    const file = join(place, name);
    writeFileSync(file, JSON.stringify({ names }));
    return file;
  };
  return {
    place,
    built,
    retained,
    warned,
    gates,
    extensions,
    settings,
    reload,
    write,
    [Symbol.dispose]: () => directory[Symbol.dispose](),
  };
}

function describeCommand(name: string, more: Partial<CustomDescription>): CustomDescription {
  return {
    name,
    kind: "foreground",
    summary: name,
    permission: "exec",
    idempotent: false,
    takesInput: false,
    positional: [],
    input: { type: "object" },
    confidential: [],
    doing: "plain",
    ...more,
  };
}

const named = (extensions: Extensions) => extensions.list().map(({ name }) => name);

describe("Extensions", () => {
  test("offers the commands of every module in the directory, and of those named besides", async () => {
    using world = setup();
    world.write("b.ts", "beta");
    world.write("a.mjs", "alpha", "other");
    const apart = join(world.place, "..", "apart.js");
    writeFileSync(apart, JSON.stringify({ names: ["apart"] }));
    for (const name of ["farhand.d.ts", "notes.txt", ".hidden.ts"]) world.write(name, "no");
    mkdirSync(join(world.place, "node_modules"));
    expect(await world.reload({ files: [apart] })).toEqual({
      now: "new apart, alpha, other, beta",
      faults: [],
    });
    expect(named(world.extensions)).toEqual(["apart", "alpha", "other", "beta"]);
    expect(world.extensions.find("alpha")).toMatchObject({ kind: "foreground", timeoutMs: 60_000 });
    expect(world.extensions.find("gamma")).toBeUndefined();
  });

  test("warns once of a command that a verb of the client hides, and offers it", async () => {
    using world = setup();
    world.write("a.ts", "host", "alpha");
    await world.reload();
    world.write("a.ts", "host", "beta");
    await world.reload();
    expect(named(world.extensions)).toEqual(["host", "beta"]);
    expect(world.warned).toEqual([
      ["command hidden", { name: "host", reason: expect.stringContaining("farhand call host") }],
    ]);
  });

  test("has none, and costs nothing, where there is no such directory", async () => {
    using world = setup();
    rmSync(world.place, { recursive: true });
    expect(await world.reload()).toEqual({ now: undefined, faults: [] });
    expect(world.built).toEqual([]);
  });

  test("says so where the configuration names a directory or a file that there is not", async () => {
    using world = setup();
    const { faults } = await world.reload({ directory: "/nowhere", isNamed: true, files: ["/no.ts"] });
    expect(faults).toEqual([
      expect.stringContaining("/nowhere: ENOENT"),
      expect.stringContaining('/no.ts: Cannot use module "/no.ts": ENOENT'),
    ]);
  });

  test("tells what a reload has changed, and nothing where it has not", async () => {
    using world = setup();
    world.write("a.ts", "alpha", "beta");
    world.write("c.ts", "gamma");
    await world.reload();
    expect(await world.reload()).toEqual({ now: undefined, faults: [] });
    const before = world.extensions.find("gamma");
    world.write("a.ts", "alpha", "delta");
    expect((await world.reload()).now).toBe("new delta; changed alpha; gone beta");
    expect(world.extensions.find("gamma")).toEqual(before as never);
    expect(world.retained.at(-1)).toHaveLength(2);
    rmSync(join(world.place, "c.ts"));
    expect((await world.reload()).now).toBe("gone gamma");
    expect(world.retained.at(-1)).toHaveLength(1);
  });

  test("keeps the last good version of a module that is broken, and says so each time", async () => {
    using world = setup();
    const file = world.write("a.ts", "alpha");
    world.write("b.ts", "beta");
    await world.reload();
    const before = world.extensions.find("alpha");
    writeFileSync(file, "broken");
    world.write("b.ts", "beta", "gamma");
    const fault = `a.ts: Cannot use module "${file}": line 1`;
    expect(await world.reload()).toEqual({ now: "new gamma; changed beta", faults: [fault] });
    expect(world.extensions.find("alpha")).toEqual(before as never);
    expect(await world.reload()).toEqual({ now: undefined, faults: [fault] });
    expect(world.extensions.faults).toHaveLength(1);
    expect(world.extensions.inputs).toContain(`${file}.imported`);
    world.write("a.ts", "alpha");
    expect(await world.reload()).toEqual({ now: undefined, faults: [] });
  });

  test("refuses names of built-in commands, names that are none, and those that are taken", async () => {
    using world = setup();
    world.write("a.ts", "ls", "alpha", "Big", "send-input");
    world.write("b.ts", "alpha", "beta");
    expect(await world.reload()).toEqual({
      now: "new alpha, beta",
      faults: [
        `a.ts: ls: there is a built-in command of that name`,
        expect.stringContaining(`a.ts: Big: a command's name is a word in lower case`),
        `a.ts: send-input: there is a built-in command of that name`,
        `b.ts: alpha: a.ts has a command of that name already`,
      ],
    });
  });

  test("refuses a module that others may write, and says how to mend that", async () => {
    using world = setup();
    const file = world.write("a.ts", "alpha");
    chmodSync(file, 0o666);
    expect((await world.reload()).faults).toEqual([
      `a.ts: Cannot use module "${file}": others may write "${file}"; run chmod go-w ${file}`,
    ]);
    chmodSync(file, 0o644);
    chmodSync(world.place, 0o777);
    expect((await world.reload()).faults[0]).toContain(`run chmod go-w ${world.place}`);
    expect(world.built).toEqual([]);
    chmodSync(world.place, 0o755);
    expect(await world.reload()).toEqual({ now: "new alpha", faults: [] });
  });

  test("takes a link for what it leads to, unless others could have made it", async () => {
    using world = setup();
    const apart = join(world.place, "..", "apart.ts");
    writeFileSync(apart, JSON.stringify({ names: ["linked"] }));
    symlinkSync(apart, join(world.place, "link.ts"));
    chmodSync(world.place, 0o777);
    expect((await world.reload()).faults[0]).toContain(`run chmod go-w ${world.place}`);
    chmodSync(world.place, 0o755);
    expect((await world.reload()).now).toBe("new linked");
  });

  test("does as the configuration says of single commands, and tells what it says of none", async () => {
    using world = setup();
    world.write("a.ts", "alpha");
    const said = { permission: "read", timeoutMs: 1, runAs: "deploy", isInline: false } as const;
    const program = {
      permission: undefined,
      timeoutMs: undefined,
      runAs: undefined,
      isInline: false,
      argv: ["true"],
      summary: "S",
      kind: "background",
      idempotent: false,
      input: { type: "object" },
      positional: [],
      confidential: [],
    } as const;
    const { faults } = await world.reload({
      commands: { alpha: said, omega: said, backup: program },
      programs: { backup: program },
      packs: { shots: {} },
    });
    expect(world.extensions.find("alpha")).toMatchObject({
      permission: "read",
      description: { permission: "read", custom: true },
      timeoutMs: 1,
      runAs: "deploy",
    });
    expect(world.extensions.find("backup")).toMatchObject({
      permission: "exec",
      timeoutMs: undefined,
      description: { takesInput: true, event: {}, custom: true },
      unit: { type: "program", argv: ["true"] },
    });
    expect(faults).toEqual([
      "commands.omega: no module has a command of that name, and it has no program",
      "extensions.shots: no module is a pack of that name",
    ]);
  });

  test("refuses to do a job, or what is another user's, in the server itself, and to run as root", async () => {
    using world = setup();
    const inline = { permission: undefined, timeoutMs: undefined, runAs: undefined, isInline: true };
    const write = (name: string, more: object) =>
      writeFileSync(join(world.place, `${name}.ts`), JSON.stringify({ names: [name], ...more }));
    write("job", { kind: "background" });
    write("mine", { runAs: "me" });
    write("fine", {});
    write("root", { runAs: "0:0" });
    const { faults } = await world.reload({ commands: { job: inline, mine: inline, fine: inline } });
    expect(named(world.extensions)).toEqual(["fine"]);
    expect(faults.slice(0, 3)).toEqual([
      expect.stringContaining("job: what is done in the server itself"),
      expect.stringContaining("mine: what is done in the server itself"),
      expect.stringContaining('root: of its user "0:0": nobody becomes root by it'),
    ]);
  });

  test("at the start has one that takes long keep none of the others waiting", async () => {
    using world = setup();
    const slow = world.write("a.ts", "alpha");
    world.write("b.ts", "beta");
    world.write("c.ts", "gamma");
    const gate = Promise.withResolvers<void>();
    world.gates.set(slow, gate.promise);
    world.extensions.start(world.settings);
    // Whoever asks for one waits for that alone.
    expect(await world.extensions.findOnceBuilt("gamma")).toMatchObject({ name: "gamma" });
    expect(named(world.extensions)).toEqual(["beta", "gamma"]);
    const none = world.extensions.findOnceBuilt("nobody");
    let isReady = false;
    const ready = world.extensions.ready().then(() => (isReady = true));
    await Promise.resolve();
    expect(isReady).toBe(false);
    gate.resolve();
    await ready;
    expect(await none).toBeUndefined();
    expect(named(world.extensions)).toEqual(["alpha", "beta", "gamma"]);
    // Whoever asks while modules are read anew is told of those that were.
    const again = Promise.withResolvers<void>();
    world.gates.set(slow, again.promise);
    const reloaded = world.reload();
    await world.extensions.ready();
    expect(named(world.extensions)).toEqual(["alpha", "beta", "gamma"]);
    again.resolve();
    await reloaded;
  });

  test("obeys two reloads at once one after the other", async () => {
    using world = setup();
    world.write("a.ts", "alpha");
    const [one, other] = await Promise.all([world.reload(), world.reload()]);
    expect([one.now, other.now]).toEqual(["new alpha", undefined]);
  });

  test("offers no more than can be told at once", async () => {
    using world = setup();
    const long = { summary: "x".repeat(60_000) };
    const names = Array.from({ length: 10 }, (_, index) => `command-${index}`);
    writeFileSync(join(world.place, "a.ts"), JSON.stringify({ names, ...long }));
    const { faults } = await world.reload();
    expect(named(world.extensions)).toEqual(names.slice(0, 8));
    expect(faults).toEqual([
      expect.stringContaining("command-8: the descriptions of all take more than 524288 bytes"),
      expect.stringContaining("command-9: the descriptions"),
    ]);
  });
});
