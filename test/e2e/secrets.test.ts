import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { openWorld, readProcess } from "../support/world.ts";

setDefaultTimeout(60_000);

const SECRET = "correct horse battery staple";

describe("exec --secret", () => {
  test.each([
    ["from our environment", ["--secret", "KEY"], { env: { KEY: SECRET } }],
    ["from a file", ["--secret", "KEY=@secret.txt"], {}],
    ["from stdin", ["--secret", "KEY=-"], { stdin: `${SECRET}\n` }],
    ["as it is", ["--secret", `KEY=${SECRET}`], {}],
    ["on a terminal", ["-t", "--secret", "KEY=@secret.txt"], {}],
  ])("gives the program a variable %s, and no record its value", async (_, args, options) => {
    await using world = openWorld();
    await world.start("--log-level", "debug");
    writeFileSync(join(world.home, "secret.txt"), `${SECRET}\n`);
    const line = 'printf "%s" "$KEY$0"';
    const ran = await world.farhand(
      ["exec", "--log-level", "debug", ...args, "--", "sh", "-c", line, `/${SECRET}/`],
      options,
    );
    expect([ran.code, ran.stdout]).toEqual([0, `${SECRET}/${SECRET}/`]);
    expect(ran.stderr).not.toContain(SECRET);

    const shown = await world.farhand(["job", "show", "1", "--json"]);
    expect(JSON.parse(shown.stdout)).toMatchObject({ argv: ["sh", "-c", line, "/***/"] });
    expect(JSON.parse(shown.stdout).envNames).toContain("KEY");
    const told = [
      shown,
      await world.farhand(["jobs", "--json"]),
      await world.farhand(["jobs", "--match", "***"]),
      await world.farhandd(["audit", "show"]),
    ];
    for (const { code, stdout } of told)
      expect([code, stdout]).toEqual([0, expect.not.stringContaining(SECRET)]);
    expect(told.at(-1)?.stdout).toContain('"/***/"');
    await world.farhandd(["stop"]);
    await eventually(() => world.processes(/./).length === 0, 30_000); // a keeper removes what it leaves
    // What the program wrote itself is in its output, and nowhere else.
    expect(findIn(world.state, SECRET)).toEqual([expect.stringMatching(/^ledgers\/.*\.seg$/)]);
  });

  test("is in the environment of its own job alone, and of nothing that runs for it", async () => {
    await using world = openWorld();
    await world.start();
    await world.detach("--secret", `KEY=${SECRET}`, "--", "sleep", "60");
    await world.detach("--", "sleep", "61");
    const holding = world
      .processes(/./)
      .filter((pid) => ["environ", "cmdline"].some((file) => readProcess(pid, file).includes(SECRET)))
      .map((pid) => readProcess(pid, "cmdline").trim());
    expect(holding).toEqual(["sleep 60"]);
  });

  test("masks it in the reason why a program could not be run, too", async () => {
    await using world = openWorld();
    await world.start();
    const { code, stderr } = await world.farhand([
      "exec",
      "--secret",
      `KEY=${SECRET}`,
      "--",
      `no-such ${SECRET}`,
    ]);
    expect([code, stderr]).toEqual([127, expect.stringContaining("no-such ***")]);
    expect(findIn(world.state, SECRET)).toEqual([]);
  });

  test("refuses what it cannot read, without telling a value", async () => {
    await using world = openWorld();
    await world.start();
    writeFileSync(join(world.home, "binary"), new Uint8Array([0xff, 0xfe]));
    for (const [args, why] of [
      [["--secret", "NOT_THERE"], "there is no variable of that name here"],
      [["--secret", "KEY=@missing"], 'Cannot read "missing"'],
      [["--secret", "KEY=@binary"], "it is not UTF-8"],
      [["--secret", "KEY="], "it is empty"],
      [["--secret", `=${SECRET}`], "write NAME"],
      [["--secret", `KEY=${SECRET}`, "--secret", "KEY=@x"], "it is given twice"],
      [["--secret", "A=-", "--secret", "B=-"], "another one has taken stdin"],
      [["--secret", "A=-", "--stdin"], "--secret has taken it"],
    ] as const) {
      const { code, stderr } = await world.farhand(["exec", ...args, "--", "true"], { stdin: "x" });
      expect([code, stderr]).toEqual([125, expect.stringContaining(why)]);
      expect(stderr).not.toContain(SECRET);
    }
    expect(await world.farhand(["jobs"])).toMatchObject({ stdout: expect.not.stringContaining("true") });
  });
});

/** Files below a directory that hold a text, by their paths from there. */
function findIn(directory: string, text: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => readFileSync(path).includes(text))
    .map((path) => path.slice(directory.length + 1));
}
