import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { testIf } from "../support/test-if.ts";
import { Random } from "../support/random.ts";
import { isRunning, openWorld, readProcess, type World } from "../support/world.ts";

setDefaultTimeout(300_000);

const POINTS = 60;
/** Milliseconds over which the points are spread at least: a job's submission, its running and its end take about so long. */
const LEAST_SPAN = 240;

async function murder(pid: number): Promise<void> {
  process.kill(pid, "SIGKILL");
  await eventually(() => !isRunning(pid), 30_000);
}

function readLines(world: World, name: string): string[] {
  const path = join(world.home, name);
  return existsSync(path) ? readFileSync(path, "utf8").split("\n").filter(Boolean) : [];
}

/** Leaves a trace of its own, says 2,000 lines with a pause in between, and ends with a code of its own. */
function toScript(round: number): string {
  return `echo ${round} >> traces; seq 1 1000; sleep 0.05; seq 1001 2000; exit ${(round % 100) + 1}`;
}
const said = Array.from({ length: 2_000 }, (_, i) => `${i + 1}\n`).join("");

test(`kill -9 of front or keeper at ${POINTS} points of submitting, running and ending loses no acknowledged job`, async () => {
  const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 31));
  console.log(`seed ${seed}`);
  const random = new Random(seed);
  await using world = openWorld();
  await world.start();
  const counts = { acknowledged: 0, exited: 0, lost: 0 };
  const began = performance.now();
  await world.farhand(["exec", "--shell", toScript(POINTS)]);
  const span = Math.max(LEAST_SPAN, 1.5 * (performance.now() - began));
  for (let round = 0; round < POINTS; round++) {
    const victim = round % 2 === 0 ? "front" : "keeper";
    const { pid, keepers } = await world.status();
    const target = victim === "front" ? pid : keepers.findLast(({ state }) => state === "reached")?.pid;
    const client = world.open(["farhand", "exec", "-d", "--shell", toScript(round)]);
    await Bun.sleep(((round + random.next()) / POINTS) * span);
    await murder(target ?? 0);
    if (victim === "front") await world.start();
    const { code, stdout } = await client.ran;
    const acknowledged = /^([0-9a-f-]{36})\n$/.exec(stdout)?.[1];
    expect(acknowledged !== undefined).toBe(code === 0);
    if (acknowledged !== undefined) {
      counts.acknowledged++;
      const where = `round ${round}, ${victim}`;
      const waited = await world.farhand(["wait", acknowledged]);
      const { outcome } = await world.job(acknowledged);
      const follower = await world.farhand(["follow", acknowledged]);
      expect(said.startsWith(follower.stdout), where).toBe(true);
      if (outcome?.type === "lost") {
        counts.lost++;
        expect([victim, waited.code, follower.code], where).toEqual(["keeper", 125, 125]);
      } else {
        counts.exited++;
        expect(outcome, where).toEqual({ type: "exited", code: (round % 100) + 1 });
        expect([waited.code, follower.code], where).toEqual([(round % 100) + 1, (round % 100) + 1]);
        expect(follower.stdout, where).toBe(said);
        expect(readLines(world, "traces"), where).toContain(String(round));
      }
    }
    // Neither an answer that was lost nor one that was repeated makes a second job.
    const traces = readLines(world, "traces");
    expect(new Set(traces).size).toBe(traces.length);
  }
  console.log(JSON.stringify(counts));
  // Otherwise the points were not where jobs are.
  expect(counts.acknowledged).toBeGreaterThan(POINTS / 3);
  expect(counts.lost).toBeGreaterThan(0);
});

const canTrace = Bun.which("strace") !== null && Bun.spawnSync(["strace", "-o", "/dev/null", "true"]).success;

testIf(canTrace, "there is no strace, or it may not trace")(
  "A keeper killed at each of its writes in turn loses no acknowledged job, and no job that it cut short is a success",
  async () => {
    await using world = openWorld();
    await world.start();
    const counts = { acknowledged: 0, exited: 0, lost: 0 };
    /** Kills the keeper as its main thread makes a call for the nth time; answers whether it came to that. */
    const killAt = async (call: string, nth: number): Promise<boolean> => {
      const [keeper] = (await world.status()).keepers;
      const pid = keeper?.pid ?? 0;
      const tracer = world.open([
        ...["strace", "-o", "/dev/null", "-p", String(pid), "-e", `trace=${call}`],
        ...["-e", `inject=${call}:signal=SIGKILL:when=${nth}`],
      ]);
      await eventually(() => !/^TracerPid:\t0$/m.test(readProcess(pid, "status")), 30_000);
      const traces = `trace-${call}-${nth}`;
      const script = `echo x >> ${traces}; echo said; exit 0`;
      const { code, stdout } = await world.farhand(["exec", "-d", "--shell", script]);
      const job = /^([0-9a-f-]{36})\n$/.exec(stdout)?.[1];
      expect(job !== undefined).toBe(code === 0);
      if (job !== undefined) await check(job, traces);
      expect(readLines(world, traces).length).toBeLessThan(2);
      const isKilled = await eventually(() => !isRunning(pid), 1_000).then(
        () => true,
        () => false,
      );
      tracer.kill("SIGTERM");
      await tracer.ran;
      await eventually(async () => (await world.status()).keepers[0]?.state === "reached", 30_000);
      return isKilled;
    };
    const check = async (job: string, traces: string) => {
      counts.acknowledged++;
      const waited = await world.farhand(["wait", job]);
      const { outcome } = await world.job(job);
      const { code, stdout } = await world.farhand(["follow", job]);
      if (outcome?.type === "lost") {
        counts.lost++;
        expect([waited.code, code]).toEqual([125, 125]);
        expect("said\n".startsWith(stdout)).toBe(true);
      } else {
        counts.exited++;
        expect([outcome, waited.code, code, stdout]).toEqual([{ type: "exited", code: 0 }, 0, 0, "said\n"]);
        expect(readLines(world, traces)).toEqual(["x"]);
      }
    };
    const points: Record<string, number> = {};
    for (const call of ["mkdir", "openat", "write", "pwritev", "sendto"]) {
      let nth = 1;
      while (nth < 40 && (await killAt(call, nth))) nth++;
      points[call] = nth - 1;
    }
    // Start record, segment, identity; output, exit, close; and what the front is told.
    console.log(JSON.stringify(points));
    for (const call of ["write", "pwritev", "sendto"]) expect(points[call]).toBeGreaterThan(2);
    console.log(JSON.stringify(counts));
    expect(counts.lost).toBeGreaterThan(0);
    expect(counts.exited).toBeGreaterThan(0);
  },
);

describe("A job that ended as its keeper was killed", () => {
  test("before it could record that is lost, never taken for a success", async () => {
    await using world = openWorld();
    const { keepers } = await world.start();
    const keeper = keepers[0]?.pid ?? 0;
    const job = await world.detach("--shell", "echo said; while [ ! -e go ]; do sleep 0.02; done; exit 0");
    const follower = world.open(["farhand", "follow", job]);
    await eventually(() => follower.said() === "said\n", 30_000);
    process.kill(keeper, "SIGSTOP");
    writeFileSync(join(world.home, "go"), "");
    // It has exited, and nobody has read so: a zombie of a frozen keeper.
    await eventually(() => world.processes(/^\/bin\/sh -c echo said/).length === 0, 30_000);
    await murder(keeper);
    expect((await world.farhand(["wait", job])).code).toBe(125);
    expect(await world.job(job)).toMatchObject({ state: "lost", outcome: { type: "lost" } });
    expect(await world.farhand(["follow", job])).toMatchObject({ code: 125, stdout: "said\n" });
  });

  test("and the front with it, is lost at the next start", async () => {
    await using world = openWorld();
    const { pid, keepers } = await world.start();
    const keeper = keepers[0]?.pid ?? 0;
    const job = await world.detach("--shell", ": > ready; while [ ! -e go ]; do sleep 0.02; done; exit 0");
    await eventually(() => existsSync(join(world.home, "ready")), 30_000);
    process.kill(keeper, "SIGSTOP");
    await murder(pid);
    writeFileSync(join(world.home, "go"), "");
    await eventually(() => world.processes(/^\/bin\/sh -c : > ready/).length === 0, 30_000);
    await murder(keeper);
    await world.start();
    expect((await world.farhand(["wait", job])).code).toBe(125);
    expect(await world.job(job)).toMatchObject({ state: "lost" });
  });

  test("after it had recorded that keeps its outcome, though no front was told", async () => {
    await using world = openWorld();
    const { pid, keepers } = await world.start();
    const job = await world.detach(
      "--shell",
      ": > ready; while [ ! -e go ]; do sleep 0.02; done; (sleep 1000 &); exit 9",
    );
    await eventually(() => existsSync(join(world.home, "ready")), 30_000);
    process.kill(pid, "SIGSTOP");
    writeFileSync(join(world.home, "go"), "");
    const ledger = join(world.state, "ledgers", job);
    const isRecorded = () =>
      readdirSync(ledger).some((name) => readFileSync(join(ledger, name), "latin1").includes('"outcome"'));
    await eventually(isRecorded, 30_000);
    await murder(keepers[0]?.pid ?? 0);
    await murder(pid);
    await world.start();
    expect((await world.farhand(["wait", job])).code).toBe(9);
    expect((await world.job(job)).outcome).toEqual({ type: "exited", code: 9 });
  });
});

test("Twenty restarts under load lose no job, repeat nothing, and leave neither descriptors nor files", async () => {
  await using world = openWorld();
  const temporary = join(world.home, "tmp");
  mkdirSync(temporary);
  const start = async () => {
    const ran = await world.farhandd(["start", "--listen", "127.0.0.1:0"], { env: { TMPDIR: temporary } });
    expect(ran).toMatchObject({ code: 0 });
  };
  await start();
  const printer =
    "i=0; while [ ! -e enough ]; do i=$((i+1)); echo $i; sleep 0.01; done; echo $i > last; exit 7";
  const long = await world.detach("--shell", printer);
  const submit = (name: string) =>
    world.open([
      "bash",
      "-c",
      `i=0; while [ ! -e enough ]; do i=$((i+1))
       id=$(farhand --connect-timeout 30s exec -d --shell "echo ${name}$i >> lines; exit 5" 2>/dev/null) && echo $id ${name}$i >> acknowledged
     done`,
    ]);
  const submitters = ["a", "b"].map(submit);
  const countFds = (pid: number) => readdirSync(`/proc/${pid}/fd`).length;
  const settle = async () => {
    await eventually(async () => (await world.status()).jobs.running === 1, 30_000);
    const { pid, keepers } = await world.status();
    return {
      front: countFds(pid),
      keeper: countFds(keepers[0]?.pid ?? 0),
      keepers: keepers.map(({ pid }) => pid),
    };
  };
  const first = await settle();
  for (let round = 0; round < 20; round++) {
    const before = readLines(world, "acknowledged").length;
    await eventually(() => readLines(world, "acknowledged").length > before, 30_000);
    if (round % 2 === 0) await world.farhandd(["stop"]);
    else await murder((await world.status()).pid);
    await start();
  }
  const countAll = async () => {
    await eventually(() => readLines(world, "acknowledged").length > 20, 30_000);
    writeFileSync(join(world.home, "enough"), "");
    await Promise.all(submitters.map(({ ran }) => ran));
  };
  await countAll();
  expect((await world.farhand(["wait", long])).code).toBe(7);
  const [last = ""] = readLines(world, "last");
  const printed = Array.from({ length: Number(last) }, (_, i) => `${i + 1}\n`).join("");
  expect(await world.farhand(["follow", long])).toMatchObject({ code: 7, stdout: printed });

  const acknowledged = readLines(world, "acknowledged").map((line) => line.split(" "));
  console.log(`${acknowledged.length} jobs acknowledged over 20 restarts`);
  for (const [id = "", name = ""] of acknowledged) {
    expect([name, (await world.farhand(["wait", id])).code]).toEqual([name, 5]);
    expect(readLines(world, "lines")).toContain(name);
  }
  const lines = readLines(world, "lines");
  expect(new Set(lines).size).toBe(lines.length);

  const { pid, keepers } = await world.status();
  // The same keeper all the time.
  expect(keepers.map(({ pid }) => pid)).toEqual(first.keepers);
  await eventually(() => countFds(keepers[0]?.pid ?? 0) <= first.keeper, 30_000);
  await eventually(() => countFds(pid) <= first.front + 2, 30_000);
  expect(readdirSync(temporary)).toEqual([]);
  expect(readdirSync(join(world.state, "keeper")).filter((name) => name.endsWith(".lock"))).toHaveLength(1);
  expect(readdirSync(join(world.state, "logs")).filter((name) => !/^(?:server|keeper)\./.test(name))).toEqual(
    [],
  );
  const rooms =
    /^(?:audit|ledgers|keeper|logs|modules|tasks|workspaces|local\.json|server\.lock|(?:auth|state)\.db(?:-wal|-shm)?)$/;
  expect(readdirSync(world.state).filter((name) => !rooms.test(name))).toEqual([]);
});

const isContainable =
  process.platform === "linux" && Bun.spawnSync(["unshare", "-pf", "--mount-proc", "true"]).success;

testIf(isContainable, "unshare -pf --mount-proc is refused")(
  "A server that is pid 1 of a container serves, replaces its keeper, leaves no zombie of it, and ends at SIGTERM",
  async () => {
    await using world = openWorld();
    const container = world.open([
      ...["unshare", "-pf", "--mount-proc", "--kill-child=SIGTERM"],
      ...["farhandd", "serve", "--listen", "127.0.0.1:0"],
    ]);
    await eventually(async () => (await world.farhandd(["status"])).code === 0, 30_000);
    expect((await world.status()).pid).toBe(1);
    expect(await world.farhand(["exec", "--", "echo", "here"])).toMatchObject({ code: 0, stdout: "here\n" });
    const [front = 0] = world.processes(/^farhandd serve/);
    const zombies = () =>
      readProcess(front, `task/${front}/children`)
        .split(" ")
        .filter((pid) => pid !== "" && !isRunning(Number(pid)));
    for (let round = 0; round < 3; round++) {
      const [keeper = 0] = world.processes(/farhandd keeper/);
      const inside = (await world.status()).keepers[0]?.pid;
      process.kill(keeper, "SIGKILL");
      await eventually(async () => {
        const [next] = (await world.status()).keepers;
        return next?.state === "reached" && next.pid !== inside;
      }, 30_000);
      expect(zombies()).toEqual([]);
    }
    const job = await world.detach("--shell", "echo said; : > ready; sleep 1000");
    await eventually(() => existsSync(join(world.home, "ready")), 30_000);
    process.kill(front, "SIGTERM");
    expect((await container.ran).code).toBe(0);
    // The kernel ends everything in a container with its pid 1; outside, what was noted of it names nobody.
    await world.start();
    expect(await world.job(job)).toMatchObject({ state: "lost", processes: [] });
    expect(await world.farhand(["follow", job])).toMatchObject({ code: 125, stdout: "said\n" });
  },
);
