import { describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openLibc } from "../../src/process/libc.ts";
import type { OutputPipe } from "../../src/process/pipe.ts";
import { StartError } from "../../src/process/program.ts";
import { signalGroup } from "../../src/process/signal.ts";
import { type Child, type SpawnOptions, spawnProgram } from "../../src/process/spawn.ts";
import { openDirectory } from "../support/directory.ts";
import { eventually } from "../support/eventually.ts";
import { testIf } from "../support/test-if.ts";

const libc = openLibc();
const PATH = process.env["PATH"] ?? "";

function setup() {
  const directory = openDirectory();
  const started: Child[] = [];
  return {
    directory: directory.path,
    path: (name: string) => join(directory.path, name),
    spawn(argv: readonly string[], options: Partial<SpawnOptions> = {}): Child {
      const all = { cwd: directory.path, env: { PATH }, umask: 0o022, merge: false, stdin: false, libc };
      const child = spawnProgram({ argv, ...all, ...options });
      started.push(child);
      return child;
    },
    [Symbol.dispose]() {
      for (const { pid } of started) signalGroup(pid, "SIGKILL");
      directory[Symbol.dispose]();
    },
  };
}

async function readAll(pipe: OutputPipe | undefined): Promise<string> {
  const chunks: Uint8Array[] = [];
  for (let chunk = await pipe?.read(); chunk !== undefined; chunk = await pipe?.read()) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function outputOf(child: Child) {
  const [stdout, stderr, { end }] = await Promise.all([
    readAll(child.stdout),
    readAll(child.stderr),
    child.exited,
  ]);
  return { stdout, stderr, end };
}

/** The sentence with which a start is refused, and its code. */
function refusalOf(start: () => unknown): { code: string; message: string } {
  try {
    start();
  } catch (error) {
    if (error instanceof StartError) return error.reason;
    throw error;
  }
  throw new Error("It was started");
}

describe("spawnProgram", () => {
  test("gives the program real pipes, which can be opened again by name", async () => {
    using world = setup();
    expect(await outputOf(world.spawn(["tee", "/dev/stderr"], { stdin: false }))).toMatchObject({
      stdout: "",
    });
    const script = "echo one | tee /dev/stderr; echo two > /dev/stdout; echo three > /proc/self/fd/2";
    expect(await outputOf(world.spawn(["sh", "-c", script]))).toEqual({
      stdout: "one\ntwo\n",
      stderr: "one\nthree\n",
      end: { type: "exited", code: 0 },
    });
    const { stdout } = await outputOf(
      world.spawn(["sh", "-c", "test -p /dev/stdin && echo pipe"], { stdin: true }),
    );
    expect(stdout).toBe("pipe\n");
  });

  test("gives a runner one pipe more, on which it says values, and nobody else any", async () => {
    using world = setup();
    const script = "echo said >&3; echo out; ls /proc/self/fd | wc -l";
    const runner = world.spawn(["sh", "-c", script], { speaks: true });
    expect(await readAll(runner.said)).toBe("said\n");
    // Its own three and that one, and the directory that ls reads.
    expect((await outputOf(runner)).stdout).toBe("out\n5\n");
    const other = world.spawn(["sh", "-c", script]);
    expect(other.said).toBeUndefined();
    expect((await outputOf(other)).stdout).toBe("out\n4\n");
  });

  test("gives both streams one pipe when they are merged, so that their order is kept", async () => {
    using world = setup();
    const child = world.spawn(["sh", "-c", "for i in 1 2 3; do echo out; echo err >&2; done"], {
      merge: true,
    });
    expect(child.stderr).toBeUndefined();
    expect((await outputOf(child)).stdout).toBe("out\nerr\n".repeat(3));
  });

  test("passes on the umask, and keeps its own", async () => {
    using world = setup();
    const own = process.umask();
    for (const umask of [0o000, 0o027, 0o777]) {
      const { stdout } = await outputOf(world.spawn(["sh", "-c", "umask"], { umask }));
      expect(Number.parseInt(stdout, 8)).toBe(umask);
    }
    expect(process.umask()).toBe(own);
    expect(() => world.spawn(["true", "x".repeat(200_000)], { umask: 0o777 })).toThrow();
    expect(process.umask()).toBe(own);
  });

  test("gives the program exactly the environment, directory and name that are asked for", async () => {
    using world = setup();
    const child = world.spawn(["env"], { env: { PATH, "odd name": "a=b\nc" } });
    expect((await outputOf(child)).stdout).toBe(`PATH=${PATH}\nodd name=a=b\nc\n`);
    expect((await outputOf(world.spawn(["pwd"], { cwd: "/usr/bin" }))).stdout).toBe("/usr/bin\n");
    const exact = await outputOf(world.spawn(["pwd"], { cwd: "/usr/bin", exact: true }));
    expect(exact).toEqual({ stdout: "/usr/bin\n", stderr: "", end: { type: "exited", code: 0 } });
    expect((await outputOf(world.spawn(["sh", "-c", "echo $0"]))).stdout).toBe("sh\n");
  });

  test("limits open descriptors to the smaller of 1,024 and the hard limit", async () => {
    using world = setup();
    const limitsOf = async (argv: readonly string[]) => {
      const child = world.spawn(argv, { stdin: true });
      const line = readFileSync(`/proc/${child.pid}/limits`, "utf8")
        .split("\n")
        .find((line) => line.startsWith("Max open files"));
      child.stdin?.end();
      await outputOf(child);
      return (line ?? "")
        .trim()
        .split(/\s{2,}/)
        .slice(1, 3)
        .map(Number);
    };
    const [soft, hard = 0] = await limitsOf(["cat"]);
    expect(soft).toBe(Math.min(1024, hard));
    // The hard limit is the parent's own.
    const own = readFileSync("/proc/self/limits", "utf8").match(/Max open files\s+\d+\s+(\d+)/)?.[1];
    expect(hard).toBe(Number(own));
    // A parent whose hard limit is lower gives that.
    const script = `
      import { openLibc } from "${import.meta.dir}/../../src/process/libc.ts";
      import { spawnProgram } from "${import.meta.dir}/../../src/process/spawn.ts";
      import { readFileSync } from "node:fs";
      const child = spawnProgram({ argv: ["sleep", "5"], cwd: "/", env: { PATH: process.env.PATH }, umask: 18, merge: false, stdin: false, libc: openLibc() });
      console.log(readFileSync("/proc/" + child.pid + "/limits", "utf8").match(/Max open files\\s+(\\d+)/)[1]);
      process.kill(child.pid, "SIGKILL");
    `;
    writeFileSync(world.path("low.ts"), script);
    const low = Bun.spawnSync(["sh", "-c", `ulimit -n 300; exec "${process.execPath}" low.ts`], {
      cwd: world.directory,
    });
    expect(low.stdout.toString().trim()).toBe("300");
  });

  test("starts the program as the leader of its own group and session, without descriptors of ours", async () => {
    using world = setup();
    const child = world.spawn(["cat"], { stdin: true });
    await child.stdin?.write(Buffer.from("up"));
    await child.stdout.read(); // it has begun, and its loader has closed what that opened
    const stat = readFileSync(`/proc/${child.pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    expect(stat.slice(2, 4)).toEqual([String(child.pid), String(child.pid)]);
    const { stdout } = Bun.spawnSync(["ls", `/proc/${child.pid}/fd`]);
    expect(stdout.toString().trim().split("\n")).toEqual(["0", "1", "2"]);
    child.stdin?.end();
    expect((await child.exited).end).toEqual({ type: "exited", code: 0 });
  });

  test("leaves no descriptor behind, whether programs run, are closed early or cannot start", async () => {
    using world = setup();
    const count = () =>
      Bun.spawnSync(["ls", `/proc/${process.pid}/fd`])
        .stdout.toString()
        .split("\n").length;
    const round = async () => {
      const child = world.spawn(["cat"], { stdin: true });
      child.stdin?.end();
      await outputOf(child);
      const early = world.spawn(["yes"]);
      await Promise.all([early.stdout.close(), early.stderr?.close()]);
      await early.exited;
      expect(() => world.spawn(["true", "x".repeat(200_000)])).toThrow();
    };
    await round();
    const before = count();
    for (let rounds = 0; rounds < 20; rounds++) await round();
    await eventually(() => count() <= before);
  });

  test("tells an exit code from a signal, and reports what the program used", async () => {
    using world = setup();
    expect((await world.spawn(["sh", "-c", "exit 255"]).exited).end).toEqual({ type: "exited", code: 255 });
    const { end, usage } = await world.spawn([
      "sh",
      "-c",
      "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; kill -9 $$",
    ]).exited;
    expect(end).toEqual({ type: "signaled", signal: "SIGKILL" });
    expect(usage?.userMs).toBeGreaterThan(0);
    expect(usage?.userMs).toBeLessThan(60_000);
  });

  testIf(process.platform === "linux", "real-time signals are Linux's")(
    "names a real-time signal, which has no name of its own",
    async () => {
      using world = setup();
      const endOf = async (signal: number) =>
        (await world.spawn(["bash", "-c", `kill -${signal} $$; sleep 60`]).exited).end;
      expect(await endOf(34)).toEqual({ type: "signaled", signal: "SIGRTMIN" });
      expect(await endOf(37)).toEqual({ type: "signaled", signal: "SIGRTMIN+3" });
      expect(await endOf(64)).toEqual({ type: "signaled", signal: "SIGRTMIN+30" });
    },
  );

  test("tells how much memory a program took, where that is not hidden by our own", async () => {
    using world = setup();
    const large = process.resourceUsage().maxRSS * 1024 + 200 * 1024 * 1024;
    const fill = `dd if=/dev/zero of=/dev/null bs=${large} count=1 2> dd.log`;
    const { maxRssBytes = 0 } = (await world.spawn(["sh", "-c", fill]).exited).usage ?? {};
    expect(maxRssBytes).toBeGreaterThan(large);
    expect(maxRssBytes).toBeLessThan(1.1 * large);
    const small = (await world.spawn(["true"]).exited).usage;
    expect(small).not.toHaveProperty("maxRssBytes");
    expect(small?.systemMs).toBeLessThan(60_000);
  });

  test("finds programs in the PATH of the environment, relative to the directory it starts in", async () => {
    using world = setup();
    mkdirSync(world.path("bin"));
    writeFileSync(world.path("bin/greet"), "#!/bin/sh\necho hello $0\n", { mode: 0o755 });
    for (const path of [world.path("bin"), "bin", `:${PATH}:bin`]) {
      expect((await outputOf(world.spawn(["greet"], { env: { PATH: path } }))).stdout).toStartWith("hello");
    }
    expect((await outputOf(world.spawn(["./bin/greet"]))).stdout).toStartWith("hello");
    expect((await outputOf(world.spawn(["sh", "-c", "echo found"], { env: {} }))).stdout).toBe("found\n");
  });
});

describe("spawnProgram refuses with a sentence of its own", () => {
  test("a directory that does not exist", () => {
    using world = setup();
    expect(refusalOf(() => world.spawn(["true"], { cwd: "/no/such" }))).toEqual({
      code: "bad_directory",
      message:
        'Cannot start in directory "/no/such": it does not exist (ENOENT); choose another with --cwd, or farhand cd',
    });
  });

  test("a directory that is a file", () => {
    using world = setup();
    expect(refusalOf(() => world.spawn(["true"], { cwd: "/etc/passwd" }))).toEqual({
      code: "bad_directory",
      message:
        'Cannot start in directory "/etc/passwd": it is not a directory (ENOTDIR); choose another with --cwd, or farhand cd',
    });
  });

  test("a program that is nowhere in PATH", () => {
    using world = setup();
    expect(refusalOf(() => world.spawn(["no-such-program"]))).toEqual({
      code: "program_not_found",
      message: 'Cannot run "no-such-program": no such program in PATH (ENOENT)',
    });
  });

  test("a program whose path does not exist", () => {
    using world = setup();
    expect(refusalOf(() => world.spawn(["./missing"]))).toEqual({
      code: "program_not_found",
      message: `Cannot run "./missing": "${world.path("missing")}" does not exist (ENOENT)`,
    });
  });

  test("a program without a name", () => {
    using world = setup();
    expect(refusalOf(() => world.spawn([""])).code).toBe("program_not_found");
  });

  test("a program that is a directory", () => {
    using world = setup();
    expect(refusalOf(() => world.spawn(["/usr"]))).toEqual({
      code: "program_not_executable",
      message: 'Cannot run "/usr": "/usr" is a directory (EISDIR)',
    });
  });

  test("a program that is not executable, also when it is found in PATH", () => {
    using world = setup();
    const file = world.path("plain");
    writeFileSync(file, "#!/bin/sh\n");
    chmodSync(file, 0o644);
    expect(refusalOf(() => world.spawn([file]))).toEqual({
      code: "program_not_executable",
      message: `Cannot run "${file}": "${file}" is not executable (EACCES)`,
    });
    expect(refusalOf(() => world.spawn(["plain"], { env: { PATH: world.directory } })).code).toBe(
      "program_not_executable",
    );
  });

  test("a script whose interpreter does not exist", () => {
    using world = setup();
    const file = world.path("script");
    writeFileSync(file, "#!/no/such/interpreter\n", { mode: 0o755 });
    expect(refusalOf(() => world.spawn([file]))).toEqual({
      code: "program_not_executable",
      message: `Cannot run "${file}": the interpreter that "${file}" names does not exist (ENOENT)`,
    });
  });

  test("a file that is no program", () => {
    using world = setup();
    const file = world.path("noise");
    writeFileSync(file, new Uint8Array(100).fill(7), { mode: 0o755 });
    expect(refusalOf(() => world.spawn([file]))).toEqual({
      code: "program_not_executable",
      message: `Cannot run "${file}": "${file}" is no program of this machine (ENOEXEC)`,
    });
  });

  test("arguments or an environment that are too large", () => {
    using world = setup();
    const message = 'Cannot run "true": arguments and environment are too large (E2BIG)';
    expect(refusalOf(() => world.spawn(["true", "x".repeat(200_000)]))).toEqual({
      code: "too_large",
      message,
    });
    const env = { PATH, LARGE: "x".repeat(200_000) };
    expect(refusalOf(() => world.spawn(["true"], { env }))).toEqual({ code: "too_large", message });
  });

  testIf(process.getuid?.() === 0, "other users' files and processes take root")(
    "a directory that its user cannot enter",
    () => {
      using world = setup();
      mkdirSync(world.path("closed"), { mode: 0o700 });
      chmodSync(world.directory, 0o755);
      const script = `
      import { checkDirectory } from "${import.meta.dir}/../../src/process/program.ts";
      process.setuid(65534);
      try { checkDirectory("${world.path("closed")}"); } catch (error) { console.log(error.reason.code, error.message); }
    `;
      writeFileSync(world.path("other.ts"), script);
      const { stdout } = Bun.spawnSync([process.execPath, world.path("other.ts")]);
      expect(stdout.toString()).toBe(
        `bad_directory Cannot start in directory "${world.path("closed")}": it cannot be entered (EACCES); choose another with --cwd, or farhand cd\n`,
      );
    },
  );
});

test("spawnProgram leaves no trace of a start that it refuses", () => {
  using world = setup();
  expect(() => world.spawn(["touch", world.path("touched"), "x".repeat(200_000)])).toThrow();
  expect(existsSync(world.path("touched"))).toBe(false);
});
