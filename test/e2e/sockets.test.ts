import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, lstatSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { RawClient } from "../support/raw.ts";
import { testIf } from "../support/test-if.ts";
import { isRunning, openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

const isRoot = process.getuid?.() === 0;

function setup() {
  const world = openWorld();
  const path = join(world.home, "fh.sock");
  const start = (listen = `unix:${path}`) => world.farhandd(["start", "--listen", listen]);
  return { ...world, path, begin: start };
}

describe("A server on a Unix socket", () => {
  test("answers its owner there, and leaves word of it", async () => {
    await using world = setup();
    const status = await world.start("--listen", `unix:${world.path}`);
    expect(status.listen).toEqual([`unix:${world.path}`]);
    expect(world.local().url).toBe(`unix:${world.path}`);
    expect(lstatSync(world.path).mode & 0o777).toBe(0o600);
    using client = await RawClient.open(world.local());
    client.call(1, "user-name");
    expect(await client.control("result")).toMatchObject({ call: 1 });
    expect(await (await fetch("http://localhost/healthz", { unix: world.path })).text()).toBe("ok\n");
    const foreign = await fetch("http://evil.example/healthz", { unix: world.path });
    expect(foreign.status).toBe(403);
    expect((await fetch("http://localhost/v1/status", { unix: world.path })).status).toBe(401);
    expect((await world.farhandd(["status"])).stdout).toContain(`listening on unix:${world.path}\n`);
    await world.farhandd(["stop"]);
    expect(existsSync(world.path)).toBe(false);
  });

  testIf(
    isRoot && Bun.which("curl") !== null,
    "becoming somebody else takes root, and asking as him curl(1)",
  )("lets no other user in, whatever the umask was", async () => {
    await using world = setup();
    const path = join("/tmp", `fh-${crypto.randomUUID()}.sock`);
    const started = await world.shell(`umask 000; farhandd start --listen unix:${path}`);
    expect(started.code).toBe(0);
    const ask = `curl -sS --unix-socket ${path} http://localhost/healthz`;
    const other = await world.shell(`cd /; setpriv --reuid 65534 --regid 65534 --clear-groups ${ask}`);
    expect([other.code, other.stdout]).toEqual([7, ""]);
    expect((await world.shell(ask)).stdout).toBe("ok\n");
    await world.farhandd(["stop"]);
    expect(existsSync(path)).toBe(false);
  });

  test("takes the place of one that was killed, but not of one that lives", async () => {
    await using world = setup();
    const { pid } = await world.start("--listen", `unix:${world.path}`);
    const elsewhere = { env: { FARHAND_STATE: join(world.home, "other") } };
    const second = await world.farhandd(["start", "--listen", `unix:${world.path}`], elsewhere);
    expect([second.code, second.stderr]).toEqual([
      1,
      `farhandd: Cannot listen on unix:${world.path}: another server answers there; choose another with --listen\n`,
    ]);
    expect((await world.status()).pid).toBe(pid);
    process.kill(pid, "SIGKILL");
    await eventually(() => !isRunning(pid), 30_000);
    expect(existsSync(world.path)).toBe(true);
    const third = await world.farhandd(["start", "--listen", `unix:${world.path}`], elsewhere);
    expect([third.code, third.stderr]).toEqual([0, ""]);
  });

  test("removes nothing that is no socket, and says what keeps it from listening", async () => {
    await using world = setup();
    writeFileSync(world.path, "precious");
    const link = join(world.home, "link.sock");
    symlinkSync(world.path, link);
    mkdirSync(join(world.home, "dir"));
    for (const [path, why] of [
      [world.path, "there is something that is no socket; move it away"],
      [link, "there is something that is no socket; move it away"],
      [join(world.home, "dir"), "there is something that is no socket; move it away"],
      [join(world.home, "none", "fh.sock"), "its directory does not exist"],
      [join(world.home, "x".repeat(100)), "the path is too long for a socket (107 bytes at most)"],
    ] as const) {
      const { code, stderr } = await world.begin(`unix:${path}`);
      expect([code, stderr]).toEqual([1, `farhandd: Cannot listen on unix:${path}: ${why}\n`]);
    }
    expect(readFileSync(world.path, "utf8")).toBe("precious");
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
  });
});
