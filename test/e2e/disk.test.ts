import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fillDisk, findMountFault, mountOn } from "../support/directory.ts";
import { eventually } from "../support/eventually.ts";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

const MiB = 1024 * 1024;

const fault = findMountFault();
if (fault !== undefined) console.warn(`A server whose disk is full is not tested: ${fault}`);

/** A server whose state is on a disk of its own. */
async function setup() {
  await using stack = new AsyncDisposableStack();
  const world = stack.use(openWorld());
  mkdirSync(world.state);
  stack.use(mountOn(world.state, 16 * MiB));
  await world.start();
  const owned = stack.move();
  return { ...world, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Writes about a megabyte within two seconds or more. */
const LINES = "i=0; while [ $i -lt 100 ]; do i=$((i + 1)); seq 1 2000; sleep 0.02; done";

test.skipIf(fault !== undefined)(
  "While the disk is full jobs, wait and kill work, and an attached job goes on when there is room again",
  async () => {
    await using world = await setup();
    const victim = await world.detach("sleep", "1000");
    const expected = (await world.shell(LINES)).stdout;
    const attached = world.open(["farhand", "exec", "--shell", LINES]);
    await eventually(() => attached.said().length > 0, 30_000);
    const waiting = world.open(["farhand", "wait", "@last"]);
    {
      using _filler = fillDisk(world.state);
      expect(await world.farhand(["kill", "-s", "TERM", victim])).toMatchObject({ code: 0, stderr: "" });
      // Its exit has room in a page that the ledger had already, and the index none in its own.
      expect((await world.farhand(["wait", victim])).code).toBe(143);
      expect(await world.job("@last")).toMatchObject({ number: 2, state: "running", attached: true });
      expect((await world.farhand(["jobs"])).stdout.split("\n")).toHaveLength(4);
      const said = await untilSilent(attached.said);
      expect(said.length).toBeLessThan(expected.length);
      expect((await world.status()).jobs.total).toBe(2);
    }
    const { code, stdout, stderr } = await attached.ran;
    expect({ code, stderr, isWhole: stdout === expected }).toEqual({ code: 0, stderr: "", isWhole: true });
    expect((await waiting.ran).code).toBe(0);

    await world.farhandd(["stop"]);
    await world.start();
    expect(await world.job("2")).toMatchObject({ state: "closed", outcome: { type: "exited", code: 0 } });
    expect(await world.job("1")).toMatchObject({ outcome: { type: "signaled", signal: "SIGTERM" } });
  },
);

test.skipIf(fault !== undefined)(
  "While the disk is full a detached job runs on and its follower is told of the gap; a new job is refused and leaves nothing",
  async () => {
    await using world = await setup();
    // 20 MB, so that far more is written than pipes and readers hold on the way.
    const script =
      "echo first; while [ ! -e go ]; do sleep 0.02; done; yes | head -c 20000000; : > written; " +
      "while [ ! -e on ]; do sleep 0.02; done; echo last; exit 6";
    const job = await world.detach("--keep-output", "all", "--shell", script);
    const follower = world.open(["farhand", "follow", job]);
    await eventually(() => follower.said() === "first\n", 30_000);
    const ledgers = () => readdirSync(join(world.state, "ledgers"));
    const before = ledgers();
    {
      using _filler = fillDisk(world.state);
      writeFileSync(join(world.home, "go"), "");
      await eventually(() => existsSync(join(world.home, "written")), 30_000);
      for (const words of [
        ["--", "true"],
        ["-d", "--", "true"],
      ])
        expect(await world.farhand(["exec", ...words])).toMatchObject({
          code: 125,
          stdout: "",
          stderr: "farhand: Cannot start the job: the disk of the state directory is full\n",
        });
      expect(ledgers()).toEqual(before);
      expect(await world.job(job)).toMatchObject({ state: "running" });
    }
    writeFileSync(join(world.home, "on"), "");
    const { code, stdout, stderr } = await follower.ran;
    expect([code, stdout.endsWith("\nlast\n")]).toEqual([125, true]);
    const [, missing = ""] =
      /packets are gone \((\d+) bytes of stdout, 0 bytes of stderr\)\n$/.exec(stderr) ?? [];
    // Every byte was shown or counted.
    expect(stdout.length + Number(missing)).toBe("first\n".length + 20_000_000 + "last\n".length);
    expect(Number(missing)).toBeGreaterThan(1_000_000);
    expect((await world.farhand(["wait", job])).code).toBe(6);
    expect(await world.farhand(["exec", "--", "echo", "room"])).toMatchObject({ code: 0, stdout: "room\n" });
  },
);

test.skipIf(fault !== undefined)(
  "On a full disk a server does not start and says why, leaves everything as it was, and starts when there is room",
  async () => {
    await using world = await setup();
    await world.farhand(["exec", "--", "echo", "kept"]);
    await world.farhandd(["stop"]);
    const full = `the disk of "${world.state}" is full; make room`;
    {
      using _filler = fillDisk(world.state);
      expect(await world.farhandd(["start", "--listen", "127.0.0.1:0"])).toMatchObject({
        code: 1,
        stderr: `farhandd: Cannot start: ${full}\n`,
      });
      const { code, stderr } = await world.farhandd(["serve", "--listen", "127.0.0.1:0"]);
      expect([code, stderr.trim().split("\n").at(-1)]).toEqual([
        1,
        expect.stringMatching(/^farhandd: .*full/),
      ]);
      expect(existsSync(join(world.state, "local.json"))).toBe(false);
    }
    await world.start();
    expect(await world.farhand(["follow", "1"])).toMatchObject({ code: 0, stdout: "kept\n" });

    // Nor is an index that is missing made on one, which would be taken for one that has lost all it had.
    await world.farhandd(["stop"]);
    for (const suffix of ["", "-wal", "-shm"])
      rmSync(join(world.state, `state.db${suffix}`), { force: true });
    {
      using _filler = fillDisk(world.state);
      expect((await world.farhandd(["serve", "--listen", "127.0.0.1:0"])).stderr).toContain("full");
    }
    await world.start();
    expect((await world.job("1")).outcome).toEqual({ type: "exited", code: 0 });
  },
);

test.skipIf(fault !== undefined)(
  "A server whose keeper died while the disk is full refuses jobs with a sentence, and starts them when there is room",
  async () => {
    await using world = await setup();
    const { keepers, pid } = await world.status();
    {
      using _filler = fillDisk(world.state);
      process.kill(keepers[0]?.pid ?? 0, "SIGKILL");
      await eventually(async () => (await world.status()).keepers.length === 0, 30_000);
      const { code, stderr } = await world.farhand(["exec", "--", "true"]);
      expect([code, stderr]).toEqual([
        125,
        expect.stringContaining("the disk of the state directory is full"),
      ]);
      expect((await world.status()).pid).toBe(pid);
    }
    expect(await world.farhand(["exec", "--", "echo", "room"])).toMatchObject({ code: 0, stdout: "room\n" });
  },
);

/** What was said once it has not grown for a second. */
async function untilSilent(said: () => string): Promise<string> {
  for (let before = ""; before !== said();) {
    before = said();
    await Bun.sleep(1_000);
  }
  return said();
}
