import { expect, setDefaultTimeout } from "bun:test";
import { readdirSync } from "node:fs";
import { Pool } from "../../src/sdk.ts";
import { eventually } from "../support/eventually.ts";
import { privateBytes } from "../support/memory.ts";
import { testIf } from "../support/test-if.ts";
import { isRunning, openWorld, readProcess } from "../support/world.ts";

setDefaultTimeout(300_000);

const MiB = 1024 * 1024;

async function setup(start?: string) {
  const world = openWorld();
  if (start === undefined) await world.start();
  else expect((await world.shell(start)).stderr).toBe("");
  const pool = new Pool({});
  const session = await pool
    .add(world.local().url, { token: world.local().token })
    .connect({ timeout: 10_000 });
  const { pid, keepers } = await world.status();
  const [keeper] = keepers;
  return {
    ...world,
    session,
    pids: [pid, keeper?.pid ?? 0] as const,
    async [Symbol.asyncDispose]() {
      await pool[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    },
  };
}

function countDescriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

function listZombies(parent: number): number[] {
  return readProcess(parent, `task/${parent}/children`)
    .split(" ")
    .filter(Boolean)
    .map(Number)
    .filter((pid) => !isRunning(pid));
}

testIf(process.platform === "linux", "only Linux shows descriptors and children")(
  "5,000 short jobs fifty at a time end with the right code, and leave no zombie, no descriptor and no growth (D6)",
  async () => {
    await using world = await setup();
    const { session, pids } = world;
    const runOne = async (at: number) => {
      const { outcome } = await session.exec(["sh", "-c", `exit ${at % 256}`]);
      return outcome?.type === "exited" && outcome.code === at % 256;
    };
    const runAll = async (first: number, end: number) => {
      let [next, right] = [first, 0];
      const work = async () => {
        while (next < end) if (await runOne(next++)) right++;
      };
      await Promise.all(Array.from({ length: 50 }, work));
      return right;
    };
    expect(await runAll(0, 1_000)).toBe(1_000); // whatever grows at first has grown then
    const before = pids.map((pid) => ({ descriptors: countDescriptors(pid), memory: privateBytes(pid) }));
    expect(await runAll(1_000, 5_000)).toBe(4_000);
    for (const [index, pid] of pids.entries()) {
      await eventually(() => listZombies(pid).length === 0, 20_000);
      await eventually(() => countDescriptors(pid) <= (before[index]?.descriptors ?? 0) + 3, 20_000);
      const grown = privateBytes(pid) - (before[index]?.memory ?? 0);
      console.log(
        `${index === 0 ? "Front" : "Keeper"} grew by ${Math.round(grown / 1024)} KiB over 4,000 jobs`,
      );
      expect(grown).toBeLessThan(100 * MiB);
    }
    expect(world.processes(/^sh/)).toEqual([]);
  },
);

testIf(process.platform === "linux", "only Linux shows descriptors")(
  "A keeper without descriptors refuses jobs with a sentence, keeps those it has, and goes on when they end (C6)",
  async () => {
    await using world = await setup("ulimit -n 120; farhandd start --listen 127.0.0.1:0");
    const { session } = world;
    const started = await Promise.allSettled(
      Array.from({ length: 60 }, async () => session.start(["sleep", "1000"])),
    );
    const refusals = started.flatMap((one) => (one.status === "rejected" ? [String(one.reason)] : []));
    expect(refusals.length).toBeGreaterThan(0);
    for (const refusal of refusals)
      expect(refusal).toContain("Cannot start the job: no descriptors left (EMFILE); end other jobs");
    const { result } = await session.jobs({ raiseError: true });
    const running = result.jobs.filter(({ state }) => state === "running");
    expect(running.length).toBeGreaterThan(5);
    for (const { number } of running)
      expect((await session.kill(number)).result?.outcome).toMatchObject({ type: "cancelled" });
    const again = await session.exec(["echo", "here"]);
    expect(again.outcome).toEqual({ type: "exited", code: 0 });
  },
);
