import { expect, test } from "bun:test";
import { mkdirSync, readlinkSync, realpathSync, renameSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { holdDirectory } from "../../src/process/held-directory.ts";
import { StartError } from "../../src/process/program.ts";
import { openDirectory } from "../support/directory.ts";
import { testIf } from "../support/test-if.ts";

function setup() {
  const directory = openDirectory();
  const path = (name: string) => join(realpathSync(directory.path), name);
  for (const name of ["inside/deep", "outside"]) mkdirSync(path(name), { recursive: true });
  symlinkSync("outside", path("link"));
  return { path, [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

test("holdDirectory() refuses a directory that a link leads to, anywhere in its path, and one that is gone", () => {
  using world = setup();
  for (const name of ["link", "link/.", "nothing"]) {
    expect(() => holdDirectory(world.path(name))).toThrow(StartError);
    expect(() => holdDirectory(world.path(name))).toThrow(`Cannot start in directory "${world.path(name)}"`);
  }
  symlinkSync("inside", world.path("way"));
  expect(() => holdDirectory(world.path("way/deep"))).toThrow("a link leads elsewhere now");
});

testIf(process.platform === "linux", "only Linux holds a directory")(
  "holdDirectory() leads to what was judged when a link has taken its place",
  () => {
    using world = setup();
    using held = holdDirectory(world.path("inside"));
    renameSync(world.path("inside"), world.path("moved"));
    symlinkSync("outside", world.path("inside"));
    expect(readlinkSync(held.path)).toBe(world.path("moved"));
    const { stdout } = Bun.spawnSync(["/bin/pwd", "-P"], { cwd: held.path });
    expect(stdout.toString()).toBe(`${world.path("moved")}\n`);
  },
);
