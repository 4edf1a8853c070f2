import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { openWorld, readProcess } from "../support/world.ts";

setDefaultTimeout(60_000);

/** A world with a server that has modules of these texts. What builds them does not inherit the world's mark. */
async function setup(modules: Readonly<Record<string, string>>) {
  const world = openWorld();
  const files = Object.keys(modules).map((name) => join(world.home, name));
  for (const [name, text] of Object.entries(modules)) writeFileSync(join(world.home, name), text);
  const { pid } = await world.start(...files.flatMap((file) => ["--extension", file]));
  const building = () =>
    readdirSync("/proc").filter((name) => {
      const line = /^\d+$/.test(name) ? readProcess(Number(name), "cmdline") : "";
      return line.includes(" build-module ") && line.includes(world.home);
    });
  return { ...world, pid, building };
}

const FINE = 'export default { name: "fine", summary: "Is fine", run: () => "fine" };';

test("A server serves while a module of it loops as it is loaded, and offers the others", async () => {
  await using world = await setup({ "loops.ts": "for (;;);", "fine.ts": FINE });
  await eventually(() => world.building().length > 0);
  expect(await world.farhand(["ping", "--count", "1"])).toMatchObject({ code: 0 });
  expect(await world.farhand(["fine"])).toMatchObject({ code: 0, stdout: "fine\n" });
  expect((await world.farhandd(["stop"])).code).toBe(0);
  await eventually(() => world.building().length === 0);
});

test("What builds a module ends with the server, however that does, and the next clears away what it left", async () => {
  await using world = await setup({ "loops.ts": "for (;;);" });
  await eventually(() => world.building().length > 0);
  const line = readProcess(Number(world.building()[0]), "cmdline");
  const [place = ""] = /\/\S+\/farhand-build-\S+/.exec(line.replaceAll("\0", " ")) ?? [];
  expect(existsSync(place)).toBe(true);
  process.kill(world.pid, "SIGKILL");
  await eventually(() => world.building().length === 0);
  await world.start();
  expect(existsSync(place)).toBe(false);
});

test("farhandd reload says so in a line where the server is killed meanwhile", async () => {
  await using world = await setup({ "fine.ts": FINE });
  expect((await world.farhand(["fine"])).code).toBe(0);
  writeFileSync(join(world.home, "fine.ts"), "for (;;);");
  const reloading = world.open(["farhandd", "reload"]);
  await eventually(() => world.building().length > 0);
  process.kill(world.pid, "SIGKILL");
  const { code, stderr } = await reloading.ran;
  expect([code, stderr]).toEqual([1, `farhandd: Cannot reload: farhandd with pid ${world.pid} has ended\n`]);
});
