import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { openGauge } from "../support/memory.ts";
import { eventually } from "../support/eventually.ts";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(180_000);

const MiB = 1024 * 1024;
/** What front and keeper may each take beyond what they take when idle. */
const BOUND = 64 * MiB;
/** Milliseconds for which a client is stopped. */
const STOPPED = 30_000;
/** Milliseconds within which a command answers whatever other jobs do: ten times what is aimed at. */
const PROMPT = 2_500;
/** What a detached job may take on the disk: the default budget and one segment. */
const DISK_BOUND = (64 + 8) * MiB;

async function setup() {
  const world = openWorld();
  const { pid, keepers } = await world.start();
  // Idle is what they are after their first job, when everything is loaded.
  await world.shell("farhand exec -- seq 1 200000 | tail -1");
  const gauge = openGauge([pid, ...keepers.map((keeper) => keeper.pid ?? 0)]);
  /** Runs a small command, which must answer promptly. */
  const echo = async (word: string) => {
    const began = performance.now();
    expect((await world.farhand(["exec", "--", "echo", word])).stdout).toBe(`${word}\n`);
    expect(performance.now() - began).toBeLessThan(PROMPT);
  };
  const peak = () => Math.max(...gauge.peaks());
  return {
    ...world,
    echo,
    peak,
    [Symbol.asyncDispose]: async () => {
      gauge[Symbol.dispose]();
      await world[Symbol.asyncDispose]();
    },
  };
}

describe("Front and keeper each stay within 64 MiB of idle", () => {
  test("while 2 GB go to a client", async () => {
    await using world = await setup();
    const { code, stdout } = await world.shell("farhand exec -- head -c 2000000000 /dev/zero | wc -c");
    expect([code, stdout.trim()]).toEqual([0, "2000000000"]);
    expect(world.peak()).toBeLessThan(BOUND);
  });

  test("while a detached job writes 2 GB that nobody reads, and the disk stays at the budget", async () => {
    await using world = await setup();
    const job = await world.detach("--", "head", "-c", "2000000000", "/dev/zero");
    const ended = world.farhand(["wait", job]);
    const ledger = join(world.state, "ledgers", job);
    const sizes: number[] = [];
    for (let over = false; !over;) {
      over = await Promise.race([ended.then(() => true), Bun.sleep(20).then(() => false)]);
      sizes.push(
        readdirSync(ledger).reduce(
          (sum, name) => sum + (statSync(join(ledger, name), { throwIfNoEntry: false })?.size ?? 0),
          0,
        ),
      );
    }
    expect((await ended).code).toBe(0);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(DISK_BOUND);
    expect((await world.job(job)).totals).toMatchObject({ stdoutBytes: 2_000_000_000 });
    expect(world.peak()).toBeLessThan(BOUND);
  });

  test("while a client is stopped: its job blocks, others go on, and no byte is missing", async () => {
    await using world = await setup();
    const client = world.open(["bash", "-c", "farhand exec -- seq 1 3000000 > out; echo $?"]);
    const pids = () => world.processes(/farhand exec/).filter((pid) => pid !== client.pid);
    await eventually(() => pids().length === 1 && world.processes(/^seq /).length === 1, 30_000);
    const stopped = pids()[0] ?? 0;
    process.kill(stopped, "SIGSTOP");

    const until = performance.now() + STOPPED;
    for (let round = 0; performance.now() < until; round++) await world.echo(String(round));
    // It would have ended long ago if nothing held it back.
    expect(world.processes(/^seq /).length).toBe(1);
    process.kill(stopped, "SIGCONT");
    expect((await client.ran).stdout).toBe("0\n");
    const sums = await world.shell("md5sum < out; seq 1 3000000 | md5sum");
    const [received, expected] = sums.stdout.trim().split("\n");
    expect(received).toBe(expected ?? "");
    expect(world.peak()).toBeLessThan(BOUND);
  });

  test("while jobs never read the stdin that is sent to them, and others go on", async () => {
    await using world = await setup();
    const clients = [1, 2, 3].map(() => world.open(["bash", "-c", "yes | farhand exec -- sleep 1000"]));
    await eventually(() => world.processes(/^sleep 1000/).length === clients.length, 30_000);
    for (let round = 0; round < 20; round++) await world.echo("here");
    expect(world.peak()).toBeLessThan(BOUND);
  });
});

test("Front and keeper each stay within 128 MiB of idle while ten detached jobs write without end, and a new one still answers", async () => {
  await using world = await setup();
  await Promise.all(Array.from({ length: 10 }, () => world.detach("--keep-output", "1MiB", "--", "yes")));
  for (let round = 0; round < 10; round++) await world.echo("here");
  expect(world.processes(/^yes /).length).toBe(10);
  expect(world.peak()).toBeLessThan(2 * BOUND); // a keeper that nobody lets rest takes 55 to 70 MiB
});
