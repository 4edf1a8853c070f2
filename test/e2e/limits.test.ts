import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, chownSync, copyFileSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { findHierarchies } from "../../src/process/hierarchy.ts";
import type { JobSummary } from "../../src/protocol/job.ts";
import { eventually } from "../support/eventually.ts";
import { testIf } from "../support/test-if.ts";
import { isRunning, openWorld, readProcess } from "../support/world.ts";

setDefaultTimeout(60_000);

async function setup() {
  const world = openWorld();
  await world.start();
  return world;
}

const isRoot = process.getuid?.() === 0;
const hierarchies = findHierarchies();
const hasGroup = (controller: string) =>
  isRoot &&
  hierarchies.some(
    ({ mount, controllers }) =>
      controllers.includes(controller) ||
      (existsSync(join(mount, "cgroup.controllers")) &&
        readFileSync(join(mount, "cgroup.controllers"), "utf8").includes(controller)),
  );

/** Groups of jobs that are left anywhere. */
function listGroups(): string[] {
  return hierarchies.flatMap(({ own, mount }) =>
    [own, mount].flatMap((parent) => readdirSync(parent).filter((name) => name.startsWith("farhand-job-"))),
  );
}

describe("exec ends a job with 124 and a sentence", () => {
  test.each([
    ["--max-exec-time", "300ms", "sleep 60", "it ran longer than 300 ms"],
    ["--idle-timeout", "300ms", "echo one; sleep 60", "it wrote nothing for 300 ms"],
    ["--max-output", "10B", "yes", "it wrote more than 10 bytes"],
  ])("that exceeds %s", async (option, limit, line, sentence) => {
    await using world = await setup();
    const { code, stderr } = await world.farhand(["exec", option, limit, "--shell", line]);
    expect(code).toBe(124);
    expect(stderr).toContain(sentence);
    expect((await world.farhand(["wait", "@last"])).code).toBe(124);
  });
});

test("--grace is the time from TERM to KILL at a limit", async () => {
  await using world = await setup();
  const line = "trap '' TERM; while :; do sleep 0.02; done";
  const args = ["exec", "--max-exec-time", "200ms", "--grace", "200ms", "--json", "--shell", line];
  const { code, stdout } = await world.farhand(args);
  expect(code).toBe(124);
  expect(JSON.parse(stdout.trim().split("\n").at(-1) ?? "")).toMatchObject({
    outcome: { type: "timed_out", limit: 200, end: { type: "signaled", signal: "SIGKILL" } },
  });
});

test("Limits fire while the front is dead, and the next front tells of them", async () => {
  await using world = await setup();
  const jobs = {
    timed_out: await world.detach("--max-exec-time", "2s", "--shell", "setsid sleep 1000 & sleep 1000"),
    idle_timed_out: await world.detach("--idle-timeout", "2s", "--shell", "echo one; sleep 1000"),
    output_limited: await world.detach("--max-output", "1KiB", "--shell", "sleep 2; exec yes"),
  };
  const { pid } = await world.status();
  process.kill(pid, "SIGKILL");
  await eventually(() => !isRunning(pid), 30_000);
  await eventually(() => world.processes(/^(sleep|yes)/).length === 0, 30_000);
  await world.start();
  for (const [type, job] of Object.entries(jobs))
    expect((await world.job(job)).outcome).toMatchObject({ type });
});

test("--on-disconnect kill is kept with the job, which goes on through the grace", async () => {
  await using world = await setup();
  const lost = world.open([
    "farhand",
    "exec",
    "--on-disconnect",
    "kill",
    "--shell",
    "echo ready; exec sleep 1000",
  ]);
  await eventually(() => lost.said() === "ready\n", 30_000);
  const summary = await world.job("@last");
  expect(summary).toMatchObject({ onDisconnect: "kill", attached: true });
  // The grace is two minutes: the keeper's own tests wait for a shorter one.
  lost.kill("SIGKILL");
  await eventually(async () => !(await world.job("@last")).attached, 30_000);
  expect((await world.job("@last")).state).toBe("running");
});

testIf(isRoot, "a raised niceness shows for any user, a lowered one takes root")(
  "--nice sets the niceness before the program runs",
  async () => {
    await using world = await setup();
    const nice = async (value: string) =>
      (await world.farhand(["exec", `--nice=${value}`, "--", "nice"])).stdout;
    expect(await nice("11")).toBe("11\n");
    expect(await nice("-3")).toBe("-3\n");
  },
);

testIf(hasGroup("pids"), "bounding root's processes takes a pids controller that we may write to")(
  "A fork bomb under --max-processes harms nobody, and is killed to the last of its processes (D1)",
  async () => {
    await using world = await setup();
    const bomb = world.open([
      "farhand",
      "exec",
      "--max-processes",
      "60",
      "--",
      "bash",
      "-c",
      "b() { b | b & }; b; sleep 1000",
    ]);
    await eventually(() => world.processes(/b\(\) \{/).length > 20, 30_000);
    for (let round = 0; round < 5; round++)
      expect(await world.farhand(["exec", "--", "echo", "alive"])).toMatchObject({ stdout: "alive\n" });
    expect(world.processes(/b\(\) \{/).length).toBeLessThanOrEqual(60);
    const { code, stdout } = await world.farhand(["kill", "--grace", "500ms", "--json", "1"]);
    expect(code).toBe(0);
    const { ended } = JSON.parse(stdout) as JobSummary & { ended: { processes: number } };
    expect(ended.processes).toBeGreaterThan(10);
    expect(world.processes(/b\(\) \{/)).toEqual([]);
    bomb.kill("SIGKILL");
    await eventually(() => listGroups().length === 0, 30_000);
  },
);

testIf(
  hasGroup("memory"),
  "counting the memory of several processes takes a memory controller that we may write to",
)(
  "--max-memory bounds a job's processes together, and the one that the kernel kills shows as killed (D7)",
  async () => {
    await using world = await setup();
    const hog = "head -c 300000000 /dev/zero | tail";
    const alone = await world.farhand([
      "exec",
      "--max-memory",
      "50MiB",
      "--",
      "bash",
      "-c",
      `exec ${hog.split("| ")[1]} < <(${hog.split(" |")[0]})`,
    ]);
    expect(alone.code).toBe(128 + 9);
    expect((await world.job("@last")).outcome).toEqual({ type: "signaled", signal: "SIGKILL" });
    const { code, stderr } = await world.farhand([
      "exec",
      "--max-memory",
      "50MiB",
      "--shell",
      `${hog}; exit 3`,
    ]);
    expect([code, stderr]).toEqual([3, expect.stringContaining("Killed")]);
    await eventually(() => listGroups().length === 0, 30_000);
  },
);

describe("For a user who is not root", () => {
  const canBecome = isRoot && Bun.which("setpriv") !== null && process.platform === "linux";
  const asUser = testIf(canBecome, "becoming another user takes root and setpriv");
  const UID = 54_321;

  async function setupUser() {
    const world = openWorld();
    for (const path of [dirname(world.home), world.home]) chownSync(path, UID, UID);
    const user = ["setpriv", `--reuid=${UID}`, `--regid=${UID}`, "--clear-groups"];
    const started = await world.shell(`${user.join(" ")} farhandd start --listen 127.0.0.1:0`);
    expect(started).toMatchObject({ code: 0, stderr: "" });
    const farhand = (args: readonly string[]) => {
      const running = world.open([...user, "farhand", ...args]);
      return running.ran;
    };
    return { ...world, asUser: farhand };
  }

  asUser("a fork bomb under --max-processes is bounded by a resource limit, and killed (D1)", async () => {
    await using world = await setupUser();
    const job = world.asUser([
      "exec",
      "--max-processes",
      "50",
      "--",
      "bash",
      "-c",
      "b() { b | b & }; b; sleep 1000",
    ]);
    await eventually(() => world.processes(/b\(\) \{/).length > 10, 30_000);
    expect(world.processes(/b\(\) \{/).length).toBeLessThanOrEqual(50);
    expect((await world.asUser(["kill", "--grace", "500ms", "1"])).code).toBe(0);
    expect(world.processes(/b\(\) \{/)).toEqual([]);
    expect((await job).code).toBe(130);
  });

  asUser("--max-processes counts the job's own, whatever else the user runs", async () => {
    await using world = await setupUser();
    await world.asUser(["exec", "-d", "--shell", "for i in $(seq 30); do sleep 1000 & done; wait"]);
    await eventually(() => world.processes(/^sleep 1000/).length === 30, 30_000);
    const script = "for i in 1 2 3 4 5 6 7 8; do sleep 2 & done; jobs -p | wc -l";
    const { stdout } = await world.asUser(["exec", "--max-processes", "20", "--", "bash", "-c", script]);
    expect(stdout).toBe("8\n");
    const { stderr } = await world.asUser(["exec", "--max-processes", "4", "--", "bash", "-c", script]);
    expect(stderr).toContain("Resource temporarily unavailable");
  });

  asUser("--max-memory bounds the address space of each process", async () => {
    await using world = await setupUser();
    const { stdout } = await world.asUser([
      "exec",
      "--max-memory",
      "256MiB",
      "--",
      "bash",
      "-c",
      "ulimit -v",
    ]);
    expect(stdout).toBe("262144\n");
  });

  asUser("a niceness that is not permitted is refused with a sentence and 126", async () => {
    await using world = await setupUser();
    const { code, stderr } = await world.asUser(["exec", "--nice=-5", "--", "true"]);
    expect(code).toBe(126);
    expect(stderr).toBe('farhand: Cannot run "true": a niceness of -5 is not permitted here (EACCES)\n');
  });

  asUser("a process that became another user is left behind, named, and nothing else is", async () => {
    await using world = await setupUser();
    // A program that becomes root by its mode, as sudo does.
    const program = join(world.home, "become-root");
    copyFileSync(Bun.which("setpriv") ?? "", program);
    chmodSync(program, 0o4755);
    const line = `sleep 1000 & ${program} --reuid=0 --clear-groups sh -c 'trap "" TERM; exec sleep 1001' & wait`;
    await world.asUser(["exec", "-d", "--shell", line]);
    await eventually(() => world.processes(/^sleep 100[01]/).length === 2, 30_000);
    const [foreign = 0] = world.processes(/^sleep 1001/);
    expect(readProcess(foreign, "status")).toMatch(/^Uid:\s+0\s/m);
    const { code, stdout } = await world.asUser(["kill", "--grace", "300ms", "--json", "1"]);
    expect(code).toBe(125);
    expect(JSON.parse(stdout).ended).toMatchObject({ processes: 2, leftBehind: [{ pid: foreign }] });
    expect(world.processes(/^sleep 1000/)).toEqual([]);
  });
});
