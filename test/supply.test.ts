import { describe, expect, test } from "bun:test";
import { basename, dirname, join } from "node:path";
import * as v from "valibot";
import manifest from "../package.json";
import { FARHAND, FARHANDD } from "./support/built.ts";
import { openDirectory } from "./support/directory.ts";

const root = join(import.meta.dir, "..");
const read = (file: string) => Bun.file(join(root, file)).text();

const Lock = v.object({
  packages: v.record(v.string(), v.looseTuple([v.string(), v.string()])),
});

/** Every package of the lockfile, as name and version: also those that only others ask for. */
async function listPackages() {
  const { packages } = v.parse(Lock, Bun.JSONC.parse(await read("bun.lock")));
  return Object.values(packages).map((entry) => ({ entry, id: String(entry[0]) }));
}

/** What README's table names, as name and version. */
async function listNamed() {
  const table = (await read("README.md")).split("### What it is made of")[1] ?? "";
  const cells = table.split("\n").flatMap((line) => /^\| ([^|]+) \|/.exec(line)?.[1] ?? []);
  return cells.flatMap((cell) =>
    [...cell.matchAll(/(@?[\w./-]+) (\d+\.\d+\.\d+)/g)].map(([, name, version]) => `${name}@${version}`),
  );
}

describe("The packages that Farhand is made of", () => {
  test("are those that README names with their versions, all of them and no others", async () => {
    const ids = [...new Set((await listPackages()).map(({ id }) => id))];
    expect(ids.length).toBeGreaterThan(10);
    expect((await listNamed()).sort()).toEqual(ids.sort());
  });

  test("come from the registry by a hash each, and not from anywhere else", async () => {
    for (const { entry, id } of await listPackages()) {
      expect(id).toMatch(/^(@[\w.-]+\/)?[\w.-]+@\d+\.\d+\.\d+$/);
      expect(entry[1]).toBe(""); // the registry that is configured
      expect(entry.at(-1), id).toMatch(/^sha512-[\w+/]{86}==$/);
    }
  });

  test("have exact versions, and none may run a script", () => {
    const asked = { ...manifest.dependencies, ...manifest.devDependencies };
    for (const version of Object.values(asked)) expect(version).toMatch(/^\d+\.\d+\.\d+$/);
    expect(manifest).not.toHaveProperty("trustedDependencies");
    const hooks = ["preinstall", "install", "postinstall", "prepare", "prepublish"];
    expect(Object.keys(manifest.scripts).filter((name) => hooks.includes(name))).toEqual([]);
  });

  test("are installed frozen, without scripts, and not within days of their publication", async () => {
    const { install } = v.parse(
      v.object({
        install: v.object({ exact: v.boolean(), ignoreScripts: v.boolean(), minimumReleaseAge: v.number() }),
      }),
      Bun.TOML.parse(await read("bunfig.toml")),
    );
    expect(install).toMatchObject({ exact: true, ignoreScripts: true });
    expect(install.minimumReleaseAge).toBeGreaterThanOrEqual(3 * 86_400);
    const installing = Object.values(manifest.scripts).filter((line) => line.includes("bun install"));
    expect(installing.length).toBeGreaterThan(0);
    for (const line of installing) expect(line).toContain("bun install --frozen-lockfile --ignore-scripts");
  });
});

test("The executables lie beside their checksums, which sha256sum finds right, and wrong when a byte is another", async () => {
  using directory = openDirectory();
  const names = [FARHAND, FARHANDD].map((path) => basename(path));
  for (const name of ["SHA256SUMS", ...names])
    await Bun.write(join(directory.path, name), Bun.file(join(dirname(FARHAND), name)));
  const check = () =>
    Bun.spawnSync(["sha256sum", "-c", "SHA256SUMS"], { cwd: directory.path, stderr: "ignore" });
  expect(check().stdout.toString().trim().split("\n").sort()).toEqual(
    names.map((name) => `${name}: OK`).sort(),
  );
  const [name = ""] = names;
  const bytes = await Bun.file(join(directory.path, name)).bytes();
  bytes.set([(bytes.at(50_000_000) ?? 0) ^ 1], 50_000_000);
  await Bun.write(join(directory.path, name), bytes);
  const { exitCode, stdout } = check();
  expect([exitCode, stdout.toString()]).toEqual([1, expect.stringContaining(`${name}: FAILED`)]);
}, 60_000);
