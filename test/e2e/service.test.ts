import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FARHANDD } from "../support/built.ts";
import { testIf } from "../support/test-if.ts";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

const isRoot = process.getuid?.() === 0;
const isBooted = existsSync("/run/systemd/system");

/** A user's own services: nothing of the machine is touched. */
function setup() {
  const world = openWorld();
  const unit = join(world.home, ".config", "systemd", "user", "farhandd.service");
  const service = (...args: string[]) => world.farhandd(["service", ...args]);
  return { ...world, unit, service };
}

describe("service --user", () => {
  test("--print shows the unit, with --json in one value, and does nothing", async () => {
    await using world = setup();
    const { code, stdout } = await world.service("install", "--user", "--print", "--listen", "127.0.0.1:0");
    expect(code).toBe(0);
    expect(stdout).toContain(`ExecStart=${FARHANDD} serve --listen 127.0.0.1:0 --state ${world.state}\n`);
    expect(stdout).toContain("KillMode=process\n");
    const json = await world.service("install", "--user", "--print", "--json", "--listen", "127.0.0.1:0");
    expect(JSON.parse(json.stdout)).toEqual({ manager: "systemd", path: world.unit, text: stdout });
    expect(existsSync(world.unit)).toBe(false);
  });

  testIf(!isBooted, "systemd runs here, and would be changed")(
    "install, status and uninstall, where systemd does not run: the file is there, and what to do is said",
    async () => {
      await using world = setup();
      const installed = await world.service("install", "--user");
      expect(installed).toMatchObject({ code: 0, stderr: "" });
      expect(installed.stdout).toContain(world.unit);
      expect(installed.stdout).toContain("systemctl --user daemon-reload\n  systemctl --user enable");
      expect(installed.stdout).toContain("loginctl enable-linger");
      expect(readFileSync(world.unit, "utf8")).toContain(`ExecStart=${FARHANDD} serve`);
      const status = await world.service("status", "--user", "--json");
      expect([status.code, JSON.parse(status.stdout)]).toEqual([
        3,
        { manager: "systemd", path: world.unit, installed: true, enabled: false, running: false },
      ]);
      expect((await world.service("uninstall", "--user")).code).toBe(0);
      expect(existsSync(world.unit)).toBe(false);
      expect((await world.service("status", "--user")).stdout).toContain("No service");
      expect(await world.service("uninstall", "--user")).toMatchObject({ code: 1, stdout: "" });
    },
  );

  test("leaves somebody else's unit as it is", async () => {
    await using world = setup();
    mkdirSync(join(world.unit, ".."), { recursive: true });
    writeFileSync(world.unit, "theirs\n");
    for (const action of ["install", "uninstall"]) {
      const { code, stderr } = await world.service(action, "--user");
      expect([code, stderr]).toEqual([1, expect.stringContaining("was not written by farhandd")]);
    }
    expect(readFileSync(world.unit, "utf8")).toBe("theirs\n");
  });

  test("quotes its own path and the options as systemd reads them", async () => {
    await using world = setup();
    const odd = join(world.home, "a b", "farhandd");
    mkdirSync(join(odd, ".."));
    copyFileSync(FARHANDD, odd);
    const state = join(world.home, 'some "state" of 100% $HOME');
    const args = ["install", "--user", "--print", "--state", state];
    const printed = Bun.spawnSync([odd, "service", ...args], { env: { ...world.env } }).stdout.toString();
    expect(printed).toContain(
      `ExecStart="${odd}" serve --state "${state.replaceAll('"', '\\"').replace("%", "%%").replace("$", "$$$$")}"`,
    );
  });
});

describe("service", () => {
  test("refuses what it does not know, and a configuration that a server would refuse", async () => {
    await using world = setup();
    for (const args of [
      [],
      ["remove"],
      ["install", "now"],
      ["status", "--print"],
      ["install", "--print", "--listen", "no where"],
    ])
      expect((await world.service(...args)).code).toBe(1);
    expect((await world.service("remove")).stderr).toContain("say install, uninstall, status");
  });

  test("from source is refused with what to do", async () => {
    await using world = setup();
    const main = join(import.meta.dir, "../../src/server.ts");
    const ran = await world.open([
      process.execPath,
      "--config=/dev/null",
      main,
      "service",
      "install",
      "--user",
    ]).ran;
    expect([ran.code, ran.stderr]).toEqual([1, expect.stringContaining("from source")]);
  });

  testIf(isRoot, "becoming somebody else takes root")("without --user takes root", async () => {
    await using world = setup();
    const farhandd = join(world.home, "..", "farhandd");
    copyFileSync(FARHANDD, farhandd);
    for (const path of [join(world.home, ".."), world.home]) chmodSync(path, 0o777);
    const run = (action: string) =>
      world.shell(
        `setpriv --reuid 65534 --regid 65534 --clear-groups ${farhandd} service ${action} --state /tmp/x`,
      );
    const { code, stderr } = await run("install");
    expect([code, stderr]).toEqual([1, expect.stringContaining("as root, or with --user")]);
    expect((await run("install --print")).code).toBe(0);
  });
});
