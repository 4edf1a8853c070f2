import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync } from "node:fs";
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

/** What was said once it has not grown for a second. */
async function untilSilent(said: () => string): Promise<string> {
  for (let before = ""; before !== said();) {
    before = said();
    await Bun.sleep(1_000);
  }
  return said();
}
