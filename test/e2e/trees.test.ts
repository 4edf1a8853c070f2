import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { listProcesses } from "../../src/process/identity.ts";
import type { Ended, JobSummary } from "../../src/protocol/job.ts";
import { eventually } from "../support/eventually.ts";
import { testIf } from "../support/test-if.ts";
import { isRunning, openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

async function setup() {
  const world = openWorld();
  await world.start();
  const kill = async (...args: string[]) => {
    const { code, stdout, stderr } = await world.farhand(["kill", "--json", ...args]);
    return { code, stderr, summary: JSON.parse(stdout || "{}") as JobSummary & { ended?: Ended } };
  };
  const count = (pattern: RegExp) => world.processes(pattern).length;
  const keeper = async () => (await world.status()).keepers[0]?.pid ?? 0;
  return { ...world, kill, count, keeper };
}

/** Processes that left the job's session in every way there is. */
const ESCAPEES = [
  "setsid sleep 1001 &", // another session
  "(setsid sleep 1002 >/dev/null 2>&1 </dev/null &)", // and no parent, no pipes
  "env -i setsid sleep 1003 &", // another session and environment
  "(env -i setsid sleep 1004 &)", // and no parent, but the pipes
  "(setsid sh -c 'sleep 1005; true' >/dev/null 2>&1 </dev/null &)", // with a child
];
const ALL = /^sleep 100\d/;

describe("kill", () => {
  test("ends a whole tree, wherever its processes went, and answers when they are gone, with what it did", async () => {
    await using world = await setup();
    const job = await world.detach("--shell", `${ESCAPEES.join("\n")}\nsleep 1000 & wait`);
    await eventually(() => world.count(ALL) + countBare() >= 6, 30_000);
    const { code, summary } = await world.kill(job);
    expect(code).toBe(0);
    // Six sleeps, the shell of the last, and the job's own.
    expect(summary).toMatchObject({
      outcome: { type: "cancelled", end: { type: "signaled", signal: "SIGTERM" } },
      ended: { signal: "SIGTERM", processes: 8, killed: 0 },
    });
    expect(summary.ended?.leftBehind).toBeUndefined();
    expect(world.count(ALL) + countBare()).toBe(0);
  });

  test("ends a chain of processes of which each leaves for a session of its own, makes the next and ends at once", async () => {
    await using world = await setup();
    const chain = join(world.home, "chain.sh");
    // It ends by itself too, so that no failure of this test lasts.
    writeFileSync(chain, 'echo $$ >> links; [ "$1" -lt 20000 ] && setsid sh "$0" $(($1 + 1)) &\n');
    const links = () => readFileSync(join(world.home, "links"), "utf8").split("\n").length;
    for (const grace of ["0s", "20s"]) {
      const job = await world.detach("--", "sh", chain, "0");
      await eventually(() => existsSync(join(world.home, "links")) && links() > 50, 30_000);
      // On a busy machine it may be found only at the next try. Whoever is left holds the job's pipes.
      await eventually(async () => {
        await world.kill("--grace", grace, job);
        return (await world.job(job)).state === "closed";
      }, 30_000);
      expect(links()).toBeLessThan(10_000);
      rmSync(join(world.home, "links"));
    }
  });

  test("says how many needed KILL", async () => {
    await using world = await setup();
    const script = "(trap '' TERM; exec setsid sleep 1001) & sleep 1000 & : > ready; wait";
    const job = await world.detach("--shell", script);
    await eventually(() => world.count(ALL) === 2, 30_000);
    const began = performance.now();
    // Long enough that a laden machine has delivered TERM by then.
    const { code, stdout } = await world.farhand(["kill", "--grace", "2s", job]);
    expect(performance.now() - began).toBeLessThan(2_000 + 10_000); // ten times the second that it may take
    expect([code, stdout]).toEqual([
      0,
      "Job 1: cancelled by local; 3 processes ended by SIGTERM, 1 of them by SIGKILL\n",
    ]);
    expect(world.count(ALL)).toBe(0);
  });

  test("ends a stopped job, one that stops itself again and again too (D5)", async () => {
    await using world = await setup();
    const job = await world.detach("--shell", ": > ready; while :; do kill -STOP $$; done");
    await eventually(() => existsSync(join(world.home, "ready")), 30_000);
    const began = performance.now();
    expect((await world.kill("--grace", "30s", job)).summary.outcome).toMatchObject({ type: "cancelled" });
    expect(performance.now() - began).toBeLessThan(20_000);
  });

  test("ends what is left of a job that has exited, whose outcome stays (D2, D3)", async () => {
    await using world = await setup();
    const { code, stdout } = await world.farhand([
      "exec",
      "--shell",
      "sleep 1000 & (setsid sleep 1001 &) ; echo here; exit 5",
    ]);
    expect([code, stdout]).toEqual([5, "here\n"]);
    expect((await world.job("@last")).state).toBe("exited");
    await eventually(() => world.count(ALL) === 2, 30_000);
    const { summary } = await world.kill("@last");
    expect(summary).toMatchObject({ outcome: { type: "exited", code: 5 }, ended: { processes: 2 } });
    expect(world.count(ALL)).toBe(0);
    await eventually(async () => (await world.job("@last")).state === "closed", 30_000);
  });

  test("ends a process that a closed job left behind without a pipe", async () => {
    await using world = await setup();
    await world.farhand(["exec", "--shell", "setsid sleep 1001 >/dev/null 2>&1 </dev/null & exit 0"]);
    await eventually(async () => (await world.job("@last")).state === "closed", 30_000);
    await eventually(() => world.count(ALL) === 1, 30_000);
    expect((await world.kill("@last")).summary.ended).toMatchObject({ processes: 1 });
    expect(world.count(ALL)).toBe(0);
  });

  test("of a job that is over says so, as often as it is asked", async () => {
    await using world = await setup();
    const job = await world.detach("--", "sleep", "1000");
    expect((await world.kill(job)).code).toBe(0);
    for (let round = 0; round < 2; round++)
      expect(await world.farhand(["kill", job])).toMatchObject({
        code: 125,
        stderr: "farhand: Cannot signal job 1: none of its processes is running\n",
      });
  });

  test("twice at once is one ending, of which both hear; a shorter grace hurries it", async () => {
    await using world = await setup();
    const job = await world.detach("--shell", "trap '' TERM; : > ready; while :; do sleep 0.05; done");
    await eventually(() => existsSync(join(world.home, "ready")), 30_000);
    const patient = world.kill("--grace", "1h", job);
    await Bun.sleep(200); // which of them comes first does not matter
    const [first, second] = await Promise.all([patient, world.kill("--grace", "100ms", job)]);
    for (const { code, summary } of [first, second]) {
      expect(code).toBe(0);
      expect(summary.outcome).toMatchObject({ type: "cancelled", end: { signal: "SIGKILL" } });
    }
  });

  test("ends the whole tree of a job whose keeper was killed", async () => {
    await using world = await setup();
    const job = await world.detach("--shell", `${ESCAPEES[0]}\n${ESCAPEES[1]}\nsleep 1000 & wait`);
    await eventually(() => world.count(ALL) === 3, 30_000);
    process.kill(await world.keeper(), "SIGKILL");
    await eventually(async () => (await world.job(job)).state === "lost", 30_000);
    expect((await world.job(job)).processes).toHaveLength(4);
    const { summary } = await world.kill(job);
    expect(summary).toMatchObject({ state: "lost", ended: { processes: 4, killed: 0 } });
    expect(summary.processes).toEqual([]);
    expect(world.count(ALL)).toBe(0);
  });

  const isRoot = process.getuid?.() === 0;
  testIf(
    isRoot && existsSync("/sys/fs/cgroup/freezer/tasks"),
    "only a v1 freezer keeps a process from ending",
  )("names what is left behind, and fails", async () => {
    await using world = await setup();
    const job = await world.detach("--shell", "sleep 1000 & wait");
    await eventually(() => world.count(ALL) === 1, 30_000);
    const [pid = 0] = world.processes(ALL);
    await world.shell(`mkdir -p /sys/fs/cgroup/freezer/fh-${pid} && cd /sys/fs/cgroup/freezer/fh-${pid} &&
        echo ${pid} > cgroup.procs && echo FROZEN > freezer.state`);
    try {
      const { code, stdout } = await world.farhand(["kill", "--grace", "2s", job]);
      expect(code).toBe(125);
      expect(stdout).toContain(`1 process ended by SIGTERM; left behind: pid ${pid}\n`);
    } finally {
      await world.shell(`cd /sys/fs/cgroup/freezer/fh-${pid}; echo THAWED > freezer.state`);
      await eventually(() => !isRunning(pid), 30_000);
      await world.shell(`rmdir /sys/fs/cgroup/freezer/fh-${pid}`);
    }
  });
});

/** Sleeps of these tests that lost the environment by which a world knows its own. */
function countBare(): number {
  return listProcesses().filter(({ pid }) => {
    try {
      const [name, argument = ""] = readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0");
      return (
        name === "sleep" &&
        /^100[34]$/.test(argument) &&
        readFileSync(`/proc/${pid}/environ`, "latin1") === ""
      );
    } catch {
      return false;
    }
  }).length;
}

test("A background process outlives its program, as with ssh: the exit at once, its output as it comes (D2)", async () => {
  await using world = await setup();
  const began = performance.now();
  const { code } = await world.farhand([
    "exec",
    "--shell",
    "(while [ ! -e go ]; do sleep 0.02; done; echo late) & exit 4",
  ]);
  expect(code).toBe(4);
  expect(performance.now() - began).toBeLessThan(20_000);
  const follower = world.open(["farhand", "follow", "@last"]);
  await world.shell(": > go");
  expect(await follower.ran).toMatchObject({ code: 4, stdout: "late\n" });
});

test("A server that a job starts is no part of that job", async () => {
  await using world = await setup();
  const start = "FARHAND_STATE=$HOME/other farhandd start --listen 127.0.0.1:0";
  expect((await world.farhand(["exec", "--shell", start])).code).toBe(0);
  const other = join(world.home, "other");
  const status = async () =>
    JSON.parse((await world.farhandd(["status", "--json", "--state", other])).stdout);
  const { pid } = await status();
  expect((await world.farhand(["kill", "@last"])).code).toBe(125);
  expect(isRunning(pid)).toBe(true);
  expect((await status()).running).toBe(true);
});

function canUnshare(): boolean {
  return Bun.spawnSync(["unshare", "-pf", "--mount-proc", "true"], { stderr: "ignore" }).success;
}

testIf(process.platform === "linux" && canUnshare(), "a pid namespace takes unshare and the right to use it")(
  "As the first process of a container the server waits for orphans, those of a killed keeper too (D14)",
  async () => {
    await using world = openWorld();
    const count = (pattern: RegExp) => world.processes(pattern).length;
    const server = world.open([
      "unshare",
      "-pf",
      "--mount-proc",
      "--kill-child",
      "farhandd",
      "serve",
      "--listen",
      "127.0.0.1:0",
    ]);
    await eventually(() => existsSync(join(world.state, "local.json")), 30_000);
    const orphans = "for i in 1 2 3 4 5; do (setsid sleep 0.1 &) ; done; exit 0";
    expect((await world.farhand(["exec", "--shell", orphans])).code).toBe(0);
    const left = await world.detach("--shell", "for i in 1 2 3; do setsid sleep 9 & done; sleep 9");
    const zombies = async () =>
      (await world.farhand(["exec", "--shell", "cat /proc/[0-9]*/stat | grep -c ') Z ' || true"])).stdout;
    await eventually(async () => (await zombies()) === "0\n", 30_000);
    await eventually(() => count(/^sleep 9/) === 4, 30_000);
    const [keeper = 0] = world.processes(/^\S*farhandd keeper/);
    process.kill(keeper, "SIGKILL");
    await eventually(async () => (await world.job(left)).state === "lost", 30_000);
    await eventually(() => count(/^sleep 9/) === 0, 30_000);
    await eventually(async () => (await zombies()) === "0\n", 30_000);
    server.kill("SIGKILL");
  },
);
