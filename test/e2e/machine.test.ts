import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import type { CommandDescription } from "../../src/protocol/description.ts";
import type { MachineInfo, MachineProcess } from "../../src/protocol/machine.ts";
import { eventually } from "../support/eventually.ts";
import { isRunning, openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

async function setup({ path = "" } = {}) {
  const world = openWorld();
  const env = { PATH: `${path === "" ? "" : `${join(world.home, path)}:`}${world.env["PATH"]}` };
  /** A shell script of this name below the home. */
  const script = (name: string, text: string) => {
    const file = join(world.home, name);
    mkdirSync(join(file, ".."), { recursive: true });
    writeFileSync(file, `#!/bin/sh\n${text}\n`);
    chmodSync(file, 0o755);
    return file;
  };
  const start = () => world.farhandd(["start", "--listen", "127.0.0.1:0"], { env });
  const json = async (...args: string[]) => JSON.parse((await world.farhand([...args, "--json"])).stdout);
  const list = async (...args: string[]): Promise<MachineProcess[]> => {
    const { code, stdout } = await world.farhand(["ps", "--json", ...args]);
    expect(code).toBe(0);
    return stdout
      .trimEnd()
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  };
  const read = (name: string) => readFileSync(join(world.home, name));
  expect((await start()).code).toBe(0);
  return { ...world, script, start, json, list, read };
}

describe("os-info", () => {
  test("tells what the machine is, in one word too, under either spelling", async () => {
    await using world = await setup();
    const info = (await world.json("os_info")) as MachineInfo;
    expect(info).toMatchObject({ system: "linux", architecture: process.arch, hostname: hostname() });
    expect(info.memory.available).toBeLessThan(info.memory.total);
    const uptime = Number(readFileSync("/proc/uptime", "latin1").split(" ")[0]) * 1_000;
    expect(Math.abs(info.uptime - uptime)).toBeLessThan(60_000);
    const { stdout: entry } = await world.shell("getent passwd $(id -u)");
    expect(info.shell).toBe(entry.trim().split(":").at(-1) ?? "");
    const { code, stdout, stderr } = await world.farhand(["os-info"]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toContain(`hostname      ${info.hostname}\n`);
  });
});

test("user-name names the server's user, without a terminal and whatever the environment says", async () => {
  await using world = await setup();
  await world.farhandd(["stop"]);
  const server = world.open(["setsid", "farhandd", "serve", "--listen", "127.0.0.1:0"], {
    env: { USER: "somebody", LOGNAME: "else" },
  });
  await eventually(() => existsSync(join(world.state, "local.json")), 30_000);
  const { stdout: name } = await world.shell("id -un");
  expect(await world.farhand(["user-name"])).toMatchObject({ code: 0, stdout: name });
  expect(await world.json("user_name")).toEqual({ name: name.trim(), uid: process.geteuid?.() });
  server.kill("SIGTERM");
});

describe("which", () => {
  test("names the files that exec runs, and exits with 1 when there is none for a name", async () => {
    await using world = await setup({ path: "bin" });
    const tool = world.script("bin/tool", "echo in PATH");
    const own = world.script("own", "echo at home");
    expect(await world.farhand(["which", "tool", "./own", own])).toEqual({
      code: 0,
      signal: null,
      stdout: `${tool}\n${own}\n${own}\n`,
      stderr: "",
    });
    expect((await world.farhand(["exec", "--", "tool"])).stdout).toBe("in PATH\n");
    writeFileSync(join(world.home, "text"), "no program");
    const { code, stdout } = await world.farhand([
      "which",
      "--json",
      "tool",
      "nothing",
      "./text",
      "bin/",
      "",
    ]);
    expect(code).toBe(1);
    const answers = JSON.parse(stdout) as { path?: string; reason?: { code: string } }[];
    expect(answers.map(({ path, reason }) => path ?? reason?.code)).toEqual([
      tool,
      "program_not_found",
      "program_not_executable",
      "program_not_executable",
      "program_not_found",
    ]);
    for (const name of ["nothing", "./text"]) {
      const [found, ran] = [await world.farhand(["which", name]), await world.farhand(["exec", "--", name])];
      expect([found.code, ran.stderr]).toEqual([1, expect.stringContaining(found.stdout.trim())]);
    }
    expect(await world.farhand(["which"])).toMatchObject({ code: 125, stdout: "" });
  });
});

describe("jobs and is-alive", () => {
  test("tell who runs by a value and by the exit code, and refuse what there is not", async () => {
    await using world = await setup();
    expect((await world.farhand(["jobs"])).stdout).toBe("No jobs\n");
    await world.detach("--", "sleep", "600");
    await world.farhand(["exec", "--", "false"]);
    expect((await world.farhand(["jobs", "--state", "running"])).stdout).toContain("sleep 600");
    expect(await world.farhand(["is-alive", "1"])).toMatchObject({ code: 0, stdout: "true\n" });
    expect(await world.farhand(["is_alive", "2", "--json"])).toMatchObject({ code: 1, stdout: "false\n" });
    const unknown = await world.farhand(["is-alive", "3", "--json"]);
    expect([unknown.code, JSON.parse(unknown.stdout).code]).toEqual([125, "not_found"]);
    await world.farhand(["kill", "1"]);
    expect(await world.farhand(["is-alive", "1"])).toMatchObject({ code: 1, stdout: "false\n" });
  });

  test("is-alive is true of a lost job while processes of it are left", async () => {
    await using world = await setup();
    await world.detach("--", "sleep", "600");
    const [keeper] = (await world.status()).keepers;
    if (keeper?.pid !== undefined) process.kill(keeper.pid, "SIGKILL");
    await eventually(async () => (await world.job("1")).state === "lost", 30_000);
    expect(await world.farhand(["is-alive", "1"])).toMatchObject({ code: 0, stdout: "true\n" });
    await world.farhand(["kill", "1"]);
    expect(await world.farhand(["is-alive", "1"])).toMatchObject({ code: 1, stdout: "false\n" });
  });
});

describe("send-input", () => {
  test("gives exactly the bytes, a newline only when asked, and the end only when asked", async () => {
    await using world = await setup();
    const job = await world.detach("--open-stdin", "--shell", "cat > got");
    expect(await world.farhand(["send-input", job, "one"])).toMatchObject({
      code: 0,
      stdout: "Job 1 has got 3 bytes\n",
    });
    await world.farhand(["send_input", job, "-n", "two\n"]);
    await world.farhand(["send-input", job], { stdin: new Uint8Array([0, 0xff, 0x0a, 0x80]) });
    await world.farhand(["send-input", job], { stdin: "" });
    await world.farhand(["send-input", job, "--", "--eof"]);
    expect((await world.job(job)).state).toBe("running");
    expect(await world.json("send-input", job, "", "--eof")).toMatchObject({ number: 1, bytes: 0 });
    expect((await world.farhand(["wait", job])).code).toBe(0);
    expect(world.read("got")).toEqual(
      Buffer.concat([Buffer.from("onetwo\n\n"), Buffer.from([0, 0xff, 0x0a, 0x80]), Buffer.from("--eof")]),
    );
  });

  test("is answered when the job has it, so that what comes next finds it", async () => {
    await using world = await setup();
    const job = await world.detach(
      "--open-stdin",
      "--shell",
      'read name; echo "hello $name" > got; sleep 600',
    );
    await world.farhand(["send-input", job, "-n", "Ann"]);
    await eventually(() => existsSync(join(world.home, "got")) && world.read("got").length > 0);
    expect(world.read("got").toString()).toBe("hello Ann\n");
  });

  test("is refused for a job that has ended, one without an input, one whose input has ended, and none", async () => {
    await using world = await setup();
    await world.farhand(["exec", "--", "true"]);
    await world.detach("--", "sleep", "600");
    await world.detach("--open-stdin", "--shell", "cat >/dev/null; sleep 600");
    await world.farhand(["send-input", "3", "x", "--eof"]);
    const codes = await Promise.all(
      ["1", "2", "3", "9"].map(async (job) => {
        const { code, stdout } = await world.farhand(["send-input", "--json", job, "more"]);
        return [code, JSON.parse(stdout).code];
      }),
    );
    expect(codes).toEqual([
      [125, "not_running"],
      [125, "input_closed"],
      [125, "input_closed"],
      [125, "not_found"],
    ]);
  });

  test("of several at once is in one piece each, however large", async () => {
    await using world = await setup();
    const job = await world.detach("--open-stdin", "--shell", "sleep 0.5; cat > got");
    const pieces = ["a", "b", "c", "d", "e", "f"].map((letter) => letter.repeat(256 * 1024));
    const sent = await Promise.all(pieces.map((stdin) => world.farhand(["send-input", job], { stdin })));
    expect(sent.map(({ code }) => code)).toEqual([0, 0, 0, 0, 0, 0]);
    await world.farhand(["send-input", job, "", "--eof"]);
    await world.farhand(["wait", job]);
    const got = world.read("got").toString("latin1");
    expect(got.length).toBe(6 * 256 * 1024);
    expect(got.replace(/(.)\1*/g, "$1").length).toBe(6);
  });

  test("loses and doubles nothing when the server dies in the middle of it", async () => {
    await using world = await setup();
    const wait = "while [ ! -e go ]; do sleep 0.02; done";
    const reader = await world.detach("--open-stdin", "--shell", `${wait}; sha256sum > got`);
    const bytes = crypto.getRandomValues(new Uint8Array(65_536));
    const all = Buffer.concat(Array.from({ length: 200 }, () => bytes));
    const sending = world.open(["farhand", "send-input", reader], { stdin: all });
    // Wherever it is by then: it cannot come to its end, since more than the keeper takes is not read yet.
    await Bun.sleep(500);
    process.kill((await world.status()).pid, "SIGKILL");
    await world.start();
    writeFileSync(join(world.home, "go"), "");
    expect((await sending.ran).code).toBe(0);
    await world.farhand(["send-input", reader, "", "--eof"]);
    await world.farhand(["wait", reader]);
    const digest = new Bun.CryptoHasher("sha256").update(all).digest("hex");
    expect(world.read("got").toString()).toBe(`${digest}  -\n`);
  });

  test("waits for a program that does not read, and Ctrl-C frees the terminal", async () => {
    await using world = await setup();
    const job = await world.detach("--open-stdin", "--", "sleep", "600");
    const sending = world.open(["farhand", "send-input", job], { stdin: new Uint8Array(16 * 1024 * 1024) });
    await Bun.sleep(1_000);
    expect(isRunning(sending.pid)).toBe(true);
    // Nobody else has to wait for that.
    expect((await world.farhand(["exec", "--", "echo", "here"])).stdout).toBe("here\n");
    sending.kill("SIGINT");
    expect((await sending.ran).code).toBe(130);
  });
});

test("kill ends a job that ignores TERM, and its children's children", async () => {
  await using world = await setup();
  const job = await world.detach(
    "--shell",
    "trap '' TERM; sh -c 'trap \"\" TERM; sleep 1001 & wait' & while :; do sleep 1001; done",
  );
  await eventually(() => world.processes(/^sleep 1001/).length >= 2, 30_000);
  expect((await world.farhand(["kill", job, "--grace", "200ms"])).code).toBe(0);
  expect(world.processes(/^sleep 1001/)).toEqual([]);
  const unknown = await world.farhand(["kill", "99", "--json"]);
  expect([unknown.code, JSON.parse(unknown.stdout).code]).toEqual([125, "not_found"]);
});

describe("ps", () => {
  test("tells of ourselves what the system says, and which job a process is of", async () => {
    await using world = await setup();
    const job = await world.detach("--shell", "sleep 601 & env -i sleep 602 & wait");
    await world.detach("--", "env", "-i", "sleep", "603");
    let own = await world.list("--job", job);
    await eventually(async () => {
      own = await world.list("--job", job);
      const sleepers = own.filter(({ argv }) => argv[0] === "sleep");
      return sleepers.length === 2 && own.every(({ state }) => state === "sleeping");
    }, 30_000);
    expect(own.every((process) => process.job?.id === job)).toBe(true);
    expect(own.map(({ argv }) => argv.join(" ")).sort()).toEqual([
      expect.stringMatching(/^\/bin\/sh -c sleep/),
      "sleep 601",
      "sleep 602",
    ]);
    // Its environment says nothing of the job that it is.
    await eventually(async () => {
      const [bare] = await world.list("--job", "2");
      return bare?.argv.join(" ") === "sleep 603";
    }, 30_000);
    const pid = own.find(({ argv }) => argv[1] === "601")?.pid ?? 0;
    const { stdout } = await world.shell(`ps -o ppid=,user=,stat= -p ${pid}`);
    const [ppid, user, state] = stdout.trim().split(/\s+/);
    expect(own.find((process) => process.pid === pid)).toMatchObject({
      ppid: Number(ppid),
      user,
      state: state?.startsWith("S") ? "sleeping" : expect.any(String),
      name: "sleep",
    });
    const { pid: server } = await world.status();
    expect((await world.list()).find((process) => process.pid === server)).not.toHaveProperty("job");
  });

  test("filters by name, by program and by user", async () => {
    await using world = await setup();
    await world.detach("--", "sleep", "604");
    const meant = (processes: MachineProcess[]) => processes.some(({ argv }) => argv[1] === "604");
    const { stdout } = await world.shell("id -un");
    const user = stdout.trim();
    expect(meant(await world.list("sleep"))).toBe(true);
    expect(meant(await world.list("--user", user, "sleep"))).toBe(true);
    expect(meant(await world.list("--user", String(process.geteuid?.())))).toBe(true);
    expect((await world.list("sleep")).every(({ name }) => name === "sleep")).toBe(true);
    expect(await world.list("--user", "nobody-of-that-name")).toEqual([]);
    expect((await world.farhand(["ps", "--job", "9"])).code).toBe(125);
  });

  test("keeps command lines as bytes, harmless on a terminal", async () => {
    await using world = await setup();
    await world.detach("--", "bash", "-c", "exec -a $'ev\\e[2Jil \\xff\\n' sleep 605");
    await eventually(
      async () => (await world.list("--job", "1")).some(({ name }) => name === "sleep"),
      30_000,
    );
    const [found] = await world.list("--job", "1");
    const name = Buffer.concat([Buffer.from("ev\x1b[2Jil "), Buffer.from([0xff, 0x0a])]);
    expect(found?.argv).toEqual([{ bytes: name.toString("base64") }, "605"]);
    const { stdout } = await world.farhand(["ps", "--job", "1"]);
    expect(stdout).toMatch(/^ +PID +PPID +USER/);
    expect(stdout).not.toContain("\x1b");
    expect(stdout.trimEnd().split("\n").length).toBe(2);
  });

  test("goes on while processes come and go all the time, and shows no line twice", async () => {
    await using world = await setup();
    await world.detach(
      "--shell",
      "while :; do for i in 1 2 3 4 5 6 7 8; do true & done; wait; /bin/true; done",
    );
    for (let round = 0; round < 10; round++) {
      const pids = (await world.list()).map(({ pid }) => pid);
      expect(new Set(pids).size).toBe(pids.length);
      expect(pids).toContain(1);
    }
  });

  test("that nobody reads to its end stops, and one that is cancelled too", async () => {
    await using world = await setup();
    expect((await world.shell("farhand ps | head -1")).stdout).toMatch(/^ +PID/);
    expect((await world.farhand(["ping", "-c", "1"])).code).toBe(0);
  });
});

describe("commands", () => {
  test("lists what this machine can do, with kinds, permissions and schemas", async () => {
    await using world = await setup();
    const all = (await world.json("commands")) as CommandDescription[];
    const names = all.map(({ name }) => name);
    expect(names).toEqual(
      expect.arrayContaining(["exec", "jobs", "ps", "send-input", "reboot", "close-server"]),
    );
    const { stdout } = await world.farhand(["commands"]);
    expect(stdout.trimEnd().split("\n").length).toBe(all.length + 1);
    expect(stdout).toMatch(/^reboot +foreground +farhand +power +Restart the machine$/m);
    const [one] = (await world.json("commands", "send_input")) as CommandDescription[];
    expect(one).toMatchObject({ name: "send-input", permission: "exec", positional: ["job", "text"] });
    const canSleep = names.includes("sleep");
    const { code } = await world.farhand(["sleep", "--dry-run"]);
    expect(code).toBe(canSleep ? 0 : 125);
  });

  test("answers unknown_command for one that there is not", async () => {
    await using world = await setup();
    const { code, stdout } = await world.farhand(["commands", "no-such", "--json"]);
    expect([code, JSON.parse(stdout).code]).toEqual([125, "unknown_command"]);
  });
});

describe.each(["reboot", "shutdown"] as const)("%s", (verb) => {
  /** A world whose every program for that is a stub, which is made sure of before anything else is done. */
  async function setupStubs(script: string) {
    const world = await setup({ path: "stubs" });
    for (const name of ["systemctl", "shutdown", "reboot", "poweroff"]) world.script(`stubs/${name}`, script);
    const { argv, done } = await world.json(verb, "--dry-run");
    if (done !== false || !String(argv[0]).startsWith(join(world.home, "stubs/")))
      throw new Error(`It would run ${argv}`);
    return { ...world, argv: argv as string[] };
  }
  const TELL = `printf '%s\\n' "$0" "$@" >> "$HOME/told"`;

  test("does nothing without --yes", async () => {
    await using world = await setupStubs(TELL);
    const { code, stdout } = await world.farhand([verb, "--json"]);
    expect([code, JSON.parse(stdout).code]).toEqual([125, "invalid_input"]);
    expect(existsSync(join(world.home, "told"))).toBe(false);
  });

  test("hands the system exactly what --dry-run shows, which itself runs nothing", async () => {
    await using world = await setupStubs(TELL);
    const shown = await world.farhand([verb, "--dry-run"]);
    expect(shown).toMatchObject({ code: 0, stdout: `${world.argv.join(" ")}\n` });
    expect(existsSync(join(world.home, "told"))).toBe(false);
    expect(await world.json(verb, "--yes")).toEqual({ argv: world.argv, done: true });
    expect(world.read("told").toString()).toBe(world.argv.map((word) => `${word}\n`).join(""));
  });

  test("tells what the system says when it refuses", async () => {
    await using world = await setupStubs("echo 'Interactive authentication required.' >&2; exit 1");
    const { code, stderr } = await world.farhand([verb, "--yes"]);
    expect(code).toBe(125);
    expect(stderr).toContain("The system refuses: ");
    expect(stderr).toContain("ended with exit code 1: Interactive authentication required.");
    const { stdout } = await world.farhand([verb, "--yes", "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({
      code: "os_error",
      details: { argv: world.argv, exitCode: 1 },
    });
  });
});

describe("close-server", () => {
  test("answers and stops the server; jobs go on, and a start right behind it finds them", async () => {
    await using world = await setup();
    const job = await world.detach("--shell", "echo one; while [ ! -e go ]; do sleep 0.02; done; echo two");
    const { pid } = await world.status();
    expect(await world.farhand(["close-server"])).toEqual({
      code: 0,
      signal: null,
      stdout: "The server stops\n",
      stderr: "",
    });
    expect((await world.start()).code).toBe(0);
    expect(isRunning(pid)).toBe(false);
    expect((await world.status()).pid).not.toBe(pid);
    writeFileSync(join(world.home, "go"), "");
    expect(await world.farhand(["follow", job])).toMatchObject({ code: 0, stdout: "one\ntwo\n" });
  });

  test("with --jobs ends them first, and says how many", async () => {
    await using world = await setup();
    await world.detach("--shell", "trap '' TERM; while :; do sleep 606; done");
    await world.detach("--", "sleep", "606");
    await eventually(() => world.processes(/^sleep 606/).length === 2, 30_000);
    const { pid } = await world.status();
    expect(await world.json("close_server", "--jobs", "--grace", "200ms")).toEqual({ ended: 2, left: [] });
    expect(world.processes(/^sleep 606/)).toEqual([]);
    await eventually(() => !isRunning(pid), 30_000);
    await world.start();
    expect((await world.job("1")).outcome).toMatchObject({ type: "cancelled" });
  });

  test("takes no --grace without --jobs", async () => {
    await using world = await setup();
    expect((await world.farhand(["close-server", "--grace", "1s"])).code).toBe(125);
    expect((await world.farhand(["ping", "-c", "1"])).code).toBe(0);
  });
});
