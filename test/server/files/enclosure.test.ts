import { describe, expect, test } from "bun:test";
import { mkdirSync, realpathSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import type { Program } from "../../../src/commands/define.ts";
import { enclose } from "../../../src/server/files/enclosure.ts";
import { Files } from "../../../src/server/files/files.ts";
import { openDirectory } from "../../support/directory.ts";
import { nothing } from "../../support/files.ts";

const program: Program = {
  argv: ["x"],
  cwd: "/",
  env: {},
  stdin: false,
  merge: false,
  keepBytes: undefined,
  terms: {},
};

function setup() {
  const directory = openDirectory();
  const base = realpathSync(directory.path);
  for (const name of ["in/deep", "inside", "out"]) mkdirSync(join(base, name), { recursive: true });
  symlinkSync("../out", join(base, "in/leak"));
  symlinkSync(join(base, "in"), join(base, "way"));
  symlinkSync("deep", join(base, "in/short"));
  const files = new Files({ umask: 0o022, own: nothing });
  const check = async (path: string, ...lists: readonly string[][]) => {
    const roots = lists.map((list) => list.map((root) => join(base, root)));
    const confinement = files.confine(lists.length === 0 ? undefined : roots);
    return (await enclose({ ...program, cwd: `${base}/${path}` }, confinement)).cwd;
  };
  return { base, check, [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

describe("enclose()", () => {
  test("has a program start in the real path of what lies in a root of each list", async () => {
    using world = setup();
    const { base, check } = world;
    expect(await check("anything")).toBe(`${base}/anything`);
    expect(await check("in", ["in"])).toBe(`${base}/in`);
    expect(await check("in/deep/..", ["in"])).toBe(`${base}/in`);
    expect(await check("in/short", ["out", "in"], ["way"])).toBe(`${base}/in/deep`);
    expect(await check("way/short", ["way"])).toBe(`${base}/in/deep`);
  });

  test.each(["out", "in/..", "in/../out", "in/leak", "inside", "", "missing", "out/missing"])(
    "refuses %p, and says the same of all",
    async (path) => {
      using world = setup();
      const why = `it is outside of what you may use, which is in "${world.base}/in"`;
      const remedy = "choose a directory there with --cwd, or farhand cd";
      await expect(world.check(path, ["in"])).rejects.toMatchObject({
        code: "forbidden",
        message: `Cannot run "x" in "${world.base}/${path}": ${why}; ${remedy}`,
      });
    },
  );

  test("refuses everything where there is no root, or one list has none", async () => {
    using world = setup();
    for (const lists of [[[]], [["in"], ["out"]], [["gone"]]])
      await expect(world.check("in", ...lists)).rejects.toMatchObject({ code: "forbidden" });
  });

  test("tells the system's refusal of a directory that is missing in a root", async () => {
    using world = setup();
    await expect(world.check("in/missing", ["in"])).rejects.toMatchObject({
      code: "os_error",
      message: `Cannot run "x" in "${world.base}/in/missing": no such file or directory (ENOENT)`,
    });
  });
});
