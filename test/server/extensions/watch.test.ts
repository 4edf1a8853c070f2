import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Watch } from "../../../src/server/extensions/watch.ts";
import { createSettings } from "../../support/custom.ts";
import { openDirectory } from "../../support/directory.ts";
import { eventually } from "../../support/eventually.ts";

/** Modules that are made of what `inputs` says. */
function setup() {
  const directory = openDirectory();
  const place = join(directory.path, "commands");
  mkdirSync(place);
  const shared = join(directory.path, "shared.ts");
  const inputs: string[] = [];
  let begunAt = Date.now() + 1_000;
  let onReload = () => {};
  let now: string | undefined = "changed a";
  const watch = new Watch({
    extensions: {
      name: "commands",
      inputs,
      get begunAt() {
        return begunAt;
      },
      ready: async () => {},
      async reload(_config, onFault = () => {}) {
        onReload();
        if (now === undefined) onFault({ name: "a.ts", reason: "line 1" });
        return now;
      },
    },
    settings: () => createSettings(place),
  });
  return {
    watch,
    inputs,
    shared,
    at: (name: string) => join(place, name),
    whileReloading: (act: () => void) => (onReload = act),
    begin: (at: number) => void (begunAt = at),
    fail: () => (now = undefined),
    [Symbol.dispose]: () => directory[Symbol.dispose](),
  };
}

const READ = { changed: [{ name: "commands", now: "changed a" }], failed: [] };

test("A watch reads modules anew when one comes, changes, is replaced, or goes, and else does not", async () => {
  using world = setup();
  const { watch } = world;
  expect(await watch.runOnce()).toBeUndefined();
  expect(await watch.runOnce()).toBeUndefined();
  writeFileSync(world.at("a.ts"), "1");
  expect(await watch.runOnce()).toEqual(READ);
  expect(await watch.runOnce()).toBeUndefined();
  writeFileSync(world.at("a.ts"), "12");
  expect(await watch.runOnce()).toEqual(READ);
  writeFileSync(world.at(".new"), "34");
  renameSync(world.at(".new"), world.at("a.ts"));
  expect(await watch.runOnce()).toEqual(READ);
  expect(await watch.runOnce()).toBeUndefined();
  rmSync(world.at("a.ts"));
  expect(await watch.runOnce()).toEqual(READ);
  writeFileSync(world.at("notes.txt"), "");
  expect(await watch.runOnce()).toBeUndefined();
});

test("A watch looks at what modules import, too", async () => {
  using world = setup();
  writeFileSync(world.shared, "1");
  world.inputs.push(world.shared);
  expect(await world.watch.runOnce()).toBeUndefined();
  writeFileSync(world.shared, "12");
  expect(await world.watch.runOnce()).toEqual(READ);
});

test("A watch reads again what changed while it was read", async () => {
  using world = setup();
  writeFileSync(world.at("a.ts"), "1");
  await world.watch.runOnce();
  writeFileSync(world.at("a.ts"), "12");
  world.whileReloading(() => writeFileSync(world.at("a.ts"), "123"));
  expect(await world.watch.runOnce()).toEqual(READ);
  world.whileReloading(() => {});
  expect(await world.watch.runOnce()).toEqual(READ);
  expect(await world.watch.runOnce()).toBeUndefined();
});

test("A watch tells what is broken, once", async () => {
  using world = setup();
  await world.watch.runOnce();
  world.fail();
  writeFileSync(world.at("a.ts"), "broken");
  expect(await world.watch.runOnce()).toEqual({ changed: [], failed: [{ name: "a.ts", reason: "line 1" }] });
  expect(await world.watch.runOnce()).toBeUndefined();
});

test("A watch reads what has changed, or come, or gone, while modules were read for the first time", async () => {
  for (const act of [
    ({ at }: ReturnType<typeof setup>) => writeFileSync(at("b.ts"), "late"),
    ({ shared }: ReturnType<typeof setup>) => writeFileSync(shared, "12"),
    ({ shared }: ReturnType<typeof setup>) => rmSync(shared),
    () => {},
  ]) {
    using world = setup();
    writeFileSync(world.at("a.ts"), "1");
    writeFileSync(world.shared, "1");
    world.inputs.push(world.shared);
    const { ctimeMs } = statSync(world.shared);
    world.begin(ctimeMs + 21);
    await eventually(() => Date.now() > ctimeMs + 50);
    const before = lookAt(world);
    act(world);
    expect(await world.watch.runOnce()).toEqual(lookAt(world) === before ? undefined : READ);
    expect(await world.watch.runOnce()).toBeUndefined();
  }
});

function lookAt({ at, shared }: ReturnType<typeof setup>): string {
  return [at("a.ts"), at("b.ts"), shared].map((file) => existsSync(file) && readFileSync(file)).join();
}
