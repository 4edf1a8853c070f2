import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FARHAND } from "../support/built.ts";
import { eventually } from "../support/eventually.ts";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

async function setup() {
  const world = openWorld();
  await world.start();
  const touch = (name: string) => writeFileSync(join(world.home, name), "");
  /** A job that has said what it says at first; it ends with `code` once there is a file `go`. */
  const say = async (line: string, code = 0) => {
    const job = await world.detach(
      "--shell",
      `${line}; : > said; while [ ! -e go ]; do sleep 0.02; done; exit ${code}`,
    );
    await eventually(
      async () => (await world.farhand(["exec", "--", "test", "-e", "said"])).code === 0,
      30_000,
    );
    return job;
  };
  return { ...world, touch, say };
}

describe("farhand follow --tail", () => {
  test("begins with the last lines, as tail(1) would of the same output", async () => {
    await using world = await setup();
    const say = "seq 1 30000; printf unfinished";
    const job = await world.detach("--shell", say);
    await world.farhand(["wait", job]);
    for (const lines of ["1", "2", "7", "5000", "40000"]) {
      const local = await world.shell(`{ ${say}; } | tail -n ${lines}`);
      expect(await world.farhand(["follow", job, "--tail", lines])).toMatchObject({
        code: 0,
        stdout: local.stdout,
      });
    }
    expect(await world.farhand(["follow", job, "-n", "0"])).toMatchObject({ code: 0, stdout: "" });
  });

  test("counts the lines of both streams, and goes on live", async () => {
    await using world = await setup();
    const job = await world.say("for n in 1 2 3; do echo o$n; sleep 0.1; echo e$n >&2; sleep 0.1; done", 4);
    const client = world.open(["farhand", "follow", "--tail", "3", job]);
    await eventually(() => client.said() === "o3\n", 30_000);
    world.touch("go");
    expect(await client.ran).toMatchObject({ code: 4, stdout: "o3\n", stderr: "e2\ne3\n" });
  });

  test("does not complain of output that was dropped before those lines, but of what is missing of them", async () => {
    await using world = await setup();
    const job = await world.detach("--keep-output", "1MiB", "--", "seq", "1", "1000000");
    await world.farhand(["wait", job]);
    expect(await world.farhand(["follow", job, "--tail", "2"])).toMatchObject({
      code: 0,
      stdout: "999999\n1000000\n",
      stderr: "",
    });
    const { code, stdout, stderr } = await world.farhand(["follow", job, "--tail", "900000"]);
    expect([code, stdout.endsWith("\n1000000\n")]).toEqual([125, true]);
    expect(stderr).toContain("is incomplete");
  });
});

describe("farhand follow --no-follow", () => {
  test("shows what there is now and stops with 0, whether the job runs or has failed", async () => {
    await using world = await setup();
    const job = await world.say("echo one; echo two", 7);
    expect(await world.farhand(["follow", job, "--no-follow"])).toMatchObject({
      code: 0,
      stdout: "one\ntwo\n",
    });
    expect(await world.farhand(["follow", job, "--no-follow", "--tail", "1"])).toMatchObject({
      code: 0,
      stdout: "two\n",
    });
    expect(await world.farhand(["follow", job, "--no-follow", "--since", "99"])).toMatchObject({
      code: 0,
      stdout: "",
    });
    world.touch("go");
    expect((await world.farhand(["wait", job])).code).toBe(7);
    const { code, stdout } = await world.farhand(["follow", job, "--no-follow", "--json"]);
    expect([
      code,
      stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line).type)
        .at(-1),
    ]).toEqual([0, "exit"]);
    expect(await world.farhand(["follow", job])).toMatchObject({ code: 7, stdout: "one\ntwo\n" });
  });

  test("of a job that has said nothing shows nothing", async () => {
    await using world = await setup();
    const job = await world.detach("--", "sleep", "600");
    expect(await world.farhand(["follow", job, "--no-follow"])).toMatchObject({
      code: 0,
      stdout: "",
      stderr: "",
    });
  });
});

describe("farhand follow --until", () => {
  test("stops with 0 behind the first line that matches, and the job goes on", async () => {
    await using world = await setup();
    const job = await world.say("echo starting; echo listening on 80; echo more");
    expect(await world.farhand(["follow", job, "--until", "^listening on \\d+$"])).toMatchObject({
      code: 0,
      stdout: "starting\nlistening on 80\n",
      stderr: "",
    });
    expect((await world.job(job)).state).toBe("running");
  });

  test("waits for a line that is yet to come, in either stream, and exits with 1 when none comes", async () => {
    await using world = await setup();
    const job = await world.detach(
      "--shell",
      "while [ ! -e go ]; do sleep 0.02; done; printf 'rea' >&2; sleep 0.1; echo 'dy now' >&2; exit 9",
    );
    const client = world.open(["farhand", "follow", "--until", "ready", job]);
    const other = world.open(["farhand", "follow", "--until", "never", job]);
    world.touch("go");
    expect(await client.ran).toMatchObject({ code: 0, stderr: "ready now\n" });
    expect(await other.ran).toMatchObject({
      code: 1,
      stderr: "ready now\nfarhand: No line of job 1 matches /never/\n",
    });
  });
});

describe("farhand follow of several jobs", () => {
  test("shows whole lines, each behind its job's number, in its own stream, and exits with the first failure", async () => {
    await using world = await setup();
    // Half a line each in turn: they would mix if lines were not held together.
    const say = (letter: string, code: number) =>
      `for n in $(seq 40); do printf '${letter}%s' $n; sleep 0.01; echo ${letter}; done; echo err${letter} >&2; printf end; exit ${code}`;
    await world.detach("--shell", say("x", 0));
    await world.detach("--shell", say("y", 6));
    await world.detach("--shell", say("z", 5));
    const { code, stdout, stderr } = await world.farhand(["follow", "1", "2", "3"]);
    expect(code).toBe(6);
    expect(stderr.trim().split("\n").sort()).toEqual(["[1] errx", "[2] erry", "[3] errz"]);
    const lines = stdout.trimEnd().split("\n");
    for (const [number, letter] of ["x", "y", "z"].entries()) {
      const own = lines.filter((line) => line.startsWith(`[${number + 1}] `)).map((line) => line.slice(4));
      expect(own).toEqual([...Array.from({ length: 40 }, (_, n) => `${letter}${n + 1}${letter}`), "end"]);
    }
    expect(lines).toHaveLength(3 * 41);
  });

  test("with --json names the job in every line", async () => {
    await using world = await setup();
    const ids = [await world.detach("--", "echo", "a"), await world.detach("--", "echo", "b")];
    const { code, stdout } = await world.farhand(["follow", "--json", ...ids]);
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(code).toBe(0);
    for (const [index, id] of ids.entries())
      expect(lines.filter(({ job }) => job === id)).toMatchObject([
        { type: "stdout", text: `${"ab"[index]}\n` },
        { type: "exit", outcome: { code: 0 } },
      ]);
  });

  test("--until stops all of them when one line matches", async () => {
    await using world = await setup();
    await world.detach("--", "sleep", "600");
    await world.detach("--shell", "sleep 0.2; echo ready; sleep 600");
    expect(await world.farhand(["follow", "1", "2", "--until", "ready"])).toMatchObject({
      code: 0,
      stdout: "[2] ready\n",
    });
  });

  test("whose record is removed meanwhile tells so, and shows the others", async () => {
    await using world = await setup();
    const gone = await world.detach("--", "echo", "one");
    await world.farhand(["wait", gone]);
    const other = await world.say("echo two", 3);
    // Nothing tells the front that somebody else has removed it.
    rmSync(join(world.state, "ledgers", gone), { recursive: true });
    const client = world.open(["farhand", "follow", gone, other]);
    await eventually(() => client.said() === "[2] two\n", 30_000);
    world.touch("go");
    expect(await client.ran).toMatchObject({
      code: 125,
      stderr: expect.stringMatching(/^farhand: Cannot read job .*: its record was removed\n$/),
    });
  });

  test("colours the prefix on a terminal, each job in its own, and nothing of what jobs say", async () => {
    await using world = await setup();
    await world.detach("--", "echo", "one");
    await world.detach("--", "echo", "two");
    let written = "";
    await using terminal = new Bun.Terminal({
      data: (_terminal, bytes) => void (written += Buffer.from(bytes).toString()),
    });
    const env = { ...world.env, TERM: "xterm" };
    const child = Bun.spawn([FARHAND, "follow", "1", "2"], { cwd: world.home, env, terminal });
    expect(await child.exited).toBe(0);
    await eventually(() => written.split("\n").length === 3, 30_000);
    expect(written.trim().split("\r\n").sort()).toEqual(["\x1b[32m[2]\x1b[0m two", "\x1b[36m[1]\x1b[0m one"]);
  });
});
