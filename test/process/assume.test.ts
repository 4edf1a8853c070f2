import { ptr } from "bun:ffi";
import { describe, expect, setDefaultTimeout } from "bun:test";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import type { Credentials } from "../../src/process/credentials.ts";
import { confine, findMeans } from "../../src/process/confinement.ts";
import { openLibc, openLinuxLibrary } from "../../src/process/libc.ts";
import type { OutputPipe } from "../../src/process/pipe.ts";
import { signalGroup } from "../../src/process/signal.ts";
import { type SpawnOptions, spawnProgram } from "../../src/process/spawn.ts";
import { openDirectory } from "../support/directory.ts";
import { testIf } from "../support/test-if.ts";

setDefaultTimeout(60_000);

const asRoot = testIf(
  process.platform === "linux" && process.getuid?.() === 0,
  "becoming another user takes root, and was written for Linux",
);

/** Numbers that no name has, and no other run of tests. */
const [uid, gid, more] = [1, 2, 3].map((number) => number * 1_000_000_000 + process.pid) as [
  number,
  number,
  number,
];
const user: Credentials = { uid, gid, groups: [gid, more] };
const PATH = "/usr/local/bin:/usr/bin:/bin";
const launcher = {
  argv: [process.execPath, "--config=/dev/null", resolve(import.meta.dir, "../fixtures/launch.ts")],
  argv0: process.execPath,
};

/** A directory of his, beside one that is closed to him. */
function setup() {
  const directory = openDirectory();
  const path = (name: string) => join(directory.path, name);
  chmodSync(directory.path, 0o755);
  for (const name of ["his", "ours"]) mkdirSync(path(name), { mode: 0o700 });
  chownSync(path("his"), user.uid, user.gid);
  writeFileSync(path("ours/secret"), "secret", { mode: 0o600 });
  const run = async (script: string, options: Partial<SpawnOptions> = {}) => {
    const child = spawnProgram({
      argv: ["sh", "-c", script],
      cwd: path("his"),
      env: { PATH },
      umask: 0o022,
      merge: false,
      stdin: false,
      libc: openLibc(),
      launcher,
      user,
      ...options,
    });
    const [stdout, stderr, { end }] = await Promise.all([
      readAll(child.stdout),
      readAll(child.stderr),
      child.exited,
    ]);
    return { pid: child.pid, stdout, stderr, end };
  };
  return { path, run, [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

async function readAll(pipe: OutputPipe | undefined): Promise<string> {
  const chunks: Uint8Array[] = [];
  for (let chunk = await pipe?.read(); chunk !== undefined; chunk = await pipe?.read()) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe("A program of another user", () => {
  asRoot("starts in exactly the directory that was meant, or nowhere", async () => {
    using world = setup();
    const his = realpathSync(world.path("his"));
    symlinkSync(his, world.path("link"));
    expect((await world.run("pwd -P", { cwd: his, exact: true })).stdout).toBe(`${his}\n`);
    expect((await world.run("pwd -P", { cwd: world.path("link"), exact: true })).end).toMatchObject({
      reason: { code: "bad_directory" },
    });
  });

  asRoot("has his user, his groups, and none of the rights that root has", async () => {
    using world = setup();
    const fields = "Uid|Gid|Groups|CapInh|CapPrm|CapEff|CapAmb|NoNewPrivs";
    const { stdout } = await world.run(`grep -E '^(${fields}):' /proc/self/status`);
    const lines = stdout.split("\n").map((line) => line.trim().split(/\s+/));
    expect(lines).toEqual([
      ["Uid:", ...Array(4).fill(`${uid}`)],
      ["Gid:", ...Array(4).fill(`${gid}`)],
      ["Groups:", `${gid}`, `${more}`],
      ...["CapInh:", "CapPrm:", "CapEff:"].map((name) => [name, "0".repeat(16)]),
      ["CapAmb:", "0".repeat(16)],
      ["NoNewPrivs:", "1"],
      [""],
    ]);
  });

  asRoot("inherits no group of ours, and may be in none", async () => {
    using world = setup();
    const { stdout } = await world.run("id -G", { user: { ...user, groups: [] } });
    expect(stdout).toBe(`${gid}\n`);
  });

  asRoot("has none of the keys that the kernel keeps for our session", async () => {
    using world = setup();
    const syscall = openLinuxLibrary({
      syscall: { args: ["i64", "ptr", "ptr", "ptr", "i64", "i64"], returns: "i64" },
    }).symbols.syscall;
    const [type, name] = ["user\0", `fh-${process.pid}\0`].map((text) => Buffer.from(text));
    const addKey = process.arch === "x64" ? 248 : 217;
    const SESSION = -3;
    if (
      type === undefined ||
      name === undefined ||
      syscall(addKey, ptr(type), ptr(name), ptr(name), 4, SESSION) < 0
    )
      return console.warn("skipped: this system keeps no keys, or lets us add none");
    const show = `grep -c fh-${process.pid} /proc/keys`;
    expect((await world.run(show, { user: undefined })).stdout).toBe("1\n");
    expect((await world.run(show)).stdout).toBe("0\n");
  });

  asRoot("gets no rights of a program that has the set-user-id bit", async () => {
    using world = setup();
    await Bun.write(world.path("id"), Bun.file(Bun.which("id") ?? ""));
    chmodSync(world.path("id"), 0o6755);
    expect((await world.run(`${world.path("id")} -u`)).stdout).toBe(`${uid}\n`);
  });

  asRoot("holds nothing open but its stdin, stdout and stderr", async () => {
    using world = setup();
    const inherited = readdirSync("/proc/self/fd").length;
    expect(inherited).toBeGreaterThan(3);
    // The fourth is what ls itself reads.
    expect((await world.run("ls /proc/self/fd")).stdout).toBe("0\n1\n2\n3\n");
  });

  asRoot("opens its own pipes again by name", async () => {
    using world = setup();
    const script = "echo one > /dev/stdout; echo two | tee /dev/stderr > /dev/null; echo three >&2";
    expect(await world.run(script)).toMatchObject({ stdout: "one\n", stderr: "two\nthree\n" });
  });

  asRoot("reads no file that is not for him, and what it makes is his", async () => {
    using world = setup();
    const { stdout, stderr } = await world.run("cat ../ours/secret; echo mine > made; stat -c %u:%g:%a made");
    expect(stdout).toBe(`${uid}:${gid}:644\n`);
    expect(stderr).toContain("Permission denied");
  });

  asRoot("that he may not run, or in a directory that he may not enter, is refused in words", async () => {
    using world = setup();
    writeFileSync(world.path("ours/tool"), "#!/bin/sh\n", { mode: 0o755 });
    writeFileSync(world.path("tool"), "#!/bin/sh\n", { mode: 0o700 });
    const refusal = async (options: Partial<SpawnOptions>) => {
      const { end } = await world.run("true", options);
      return "reason" in end ? end.reason : end;
    };
    expect(await refusal({ cwd: world.path("ours") })).toMatchObject({
      code: "bad_directory",
      message: expect.stringContaining("it cannot be entered (EACCES)"),
    });
    // He is not told whether there is one behind what he may not enter.
    for (const name of ["deep", "tool"])
      expect(await refusal({ cwd: world.path(`ours/${name}`) })).toMatchObject({
        code: "bad_directory",
        message: expect.stringContaining("it cannot be entered (EACCES)"),
      });
    expect(await refusal({ argv: [world.path("tool")] })).toMatchObject({
      code: "program_not_executable",
      message: expect.stringContaining("is not executable (EACCES)"),
    });
    expect(await refusal({ argv: ["tool"], env: { PATH: world.path("ours") } })).toMatchObject({
      code: "program_not_executable",
    });
    expect(await refusal({ argv: ["no-such-tool"] })).toMatchObject({ code: "program_not_found" });
    await Bun.write(world.path("his/bad"), "#!/no/such\n");
    chmodSync(world.path("his/bad"), 0o755);
    expect(await refusal({ argv: ["./bad"] })).toMatchObject({
      code: "program_not_executable",
      message: expect.stringContaining("interpreter"),
    });
  });

  asRoot("has a terminal that is his", async () => {
    using world = setup();
    const terminal = { columns: 80, rows: 24 };
    const { stdout } = await world.run('stat -L -c %u "$(tty)"; echo own > /dev/tty; id -u', {
      terminal,
      stdin: true,
    });
    expect(stdout.split("\r\n").filter((line) => line !== "")).toEqual([`${uid}`, "own", `${uid}`]);
  });

  asRoot("is bound by limits, which count his processes and not ours", async () => {
    using world = setup();
    const bounded = (limits: { processes?: number; nice?: number; memoryBytes?: number }) => {
      const confinement = confine(limits, crypto.randomUUID(), () => ({
        ...findMeans(user),
        hierarchies: [],
      }));
      return { confinement };
    };
    const many = await world.run("for i in 1 2 3 4 5; do sleep 0.5 & done; wait", bounded({ processes: 3 }));
    signalGroup(many.pid, "SIGKILL");
    expect(many.stderr).toMatch(/[Cc]annot fork|Resource temporarily unavailable/);
    expect((await world.run("nice; ulimit -n; ulimit -v", bounded({ nice: -5 }))).stdout).toBe(
      "-5\n1024\nunlimited\n",
    );
    expect((await world.run("ulimit -v", bounded({ memoryBytes: 256 * 1024 * 1024 }))).stdout).toBe(
      "262144\n",
    );
  });

  asRoot("is put into the control group of its job", async () => {
    using world = setup();
    const job = crypto.randomUUID();
    const confinement = confine({ processes: 20 }, job, () => findMeans(user));
    try {
      if (confinement?.group === undefined) return console.warn("Not tested here: no control groups");
      const { stdout, end } = await world.run("cat /proc/self/cgroup; id -u", { confinement });
      expect([stdout.includes(`farhand-job-${job}`), end]).toEqual([true, { type: "exited", code: 0 }]);
    } finally {
      confinement?.group?.[Symbol.dispose]();
    }
  });

  asRoot("is never started where nothing can make it his", async () => {
    using world = setup();
    for (const means of [{ launcher: undefined }, { libc: undefined, launcher: undefined }])
      await expect(world.run("true", means)).rejects.toThrow(/as another user/);
  });
});
