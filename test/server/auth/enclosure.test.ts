import { describe, expect, test } from "bun:test";
import { mkdirSync, realpathSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { confineDirectory } from "../../../src/server/auth/enclosure.ts";
import { openDirectory } from "../../support/directory.ts";

function setup() {
  const directory = openDirectory();
  const base = realpathSync(directory.path);
  for (const name of ["in/deep", "inside", "out"]) mkdirSync(join(base, name), { recursive: true });
  symlinkSync("../out", join(base, "in/leak"));
  symlinkSync(join(base, "in"), join(base, "way"));
  symlinkSync("in/deep", join(base, "short"));
  const check = (path: string, ...lists: readonly string[][]) =>
    confineDirectory(
      `${base}/${path}`,
      lists.map((roots) => roots.map((root) => join(base, root))),
      'run "x"',
    );
  return { base, check, [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

describe("confineDirectory()", () => {
  test("answers the real path of what lies in a root of each list", () => {
    using world = setup();
    const { base, check } = world;
    expect(check("anything")).toBe(`${base}/anything`);
    expect(check("in", ["in"])).toBe(`${base}/in`);
    expect(check("in/deep/..", ["in"])).toBe(`${base}/in`);
    expect(check("in/leak/../in", ["in"])).toBe(`${base}/in`); // by way of "out"
    expect(check("short", ["out", "in"], ["way"])).toBe(`${base}/in/deep`);
  });

  test.each(["out", "in/..", "in/../out", "in/leak", "inside", "", "in/missing", "missing"])(
    "refuses %p, and says the same of all",
    (path) => {
      using world = setup();
      expect(() => world.check(path, ["in"])).toThrow(
        expect.objectContaining({
          code: "forbidden",
          message: `Cannot run "x": "${world.base}/${path}" is not within your roots; choose a directory there with --cwd`,
        }),
      );
    },
  );

  test("refuses everything where there is no root, or one list has none", () => {
    using world = setup();
    expect(() => world.check("in", [])).toThrow("not within");
    expect(() => world.check("in", ["in"], ["out"])).toThrow("not within");
    expect(() => world.check("in", ["gone"])).toThrow("not within");
  });
});
