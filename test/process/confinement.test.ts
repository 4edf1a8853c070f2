import { describe, expect, test } from "bun:test";
import { chmodSync, existsSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Confinement, confine } from "../../src/process/confinement.ts";
import { findHierarchies } from "../../src/process/hierarchy.ts";
import { openLibc } from "../../src/process/libc.ts";
import { StartError } from "../../src/process/program.ts";
import { spawnProgram } from "../../src/process/spawn.ts";
import { openDirectory } from "../support/directory.ts";
import { testIf } from "../support/test-if.ts";

const launcher = {
  argv: [process.execPath, "--config=/dev/null", resolve(import.meta.dir, "../fixtures/launch.ts")],
  argv0: process.execPath,
};
const NONE: Confinement = { nice: undefined, group: undefined, memoryBytes: undefined, processes: undefined };

const onLinux = testIf(process.platform === "linux", "the launcher is Linux's");

/** Runs a program under a confinement, to its end. */
async function run(
  argv: readonly string[],
  confinement: Partial<Confinement>,
  env: Record<string, string> = {},
) {
  const child = spawnProgram({
    argv,
    cwd: "/",
    env: { PATH: "/usr/local/bin:/usr/bin:/bin", ...env },
    umask: 0o027,
    merge: false,
    stdin: false,
    libc: openLibc(),
    confinement: { ...NONE, ...confinement },
    launcher,
  });
  const read = async (pipe: typeof child.stdout | undefined) => {
    const chunks: Uint8Array[] = [];
    for (let chunk = await pipe?.read(); chunk !== undefined; chunk = await pipe?.read()) chunks.push(chunk);
    return Buffer.concat(chunks).toString();
  };
  const [stdout, stderr, { end, usage }] = await Promise.all([
    read(child.stdout),
    read(child.stderr),
    child.exited,
  ]);
  return { pid: child.pid, stdout, stderr, end, usage };
}

const script = (line: string) => ["bash", "-c", line];

describe("A confined program", () => {
  onLinux(
    "has its own argv, environment, umask, signals and descriptors, and is the process that was started",
    async () => {
      const env = { ODD: "a\nb=c", "strange name": "é", BUN_OPTIONS: "--nonsense", BUN_BE_BUN: "1" };
      const { pid, stdout } = await run(["env"], { nice: 1 }, env);
      const expected = Object.entries({ PATH: "/usr/local/bin:/usr/bin:/bin", ...env });
      expect(stdout).toBe(expected.map(([name, value]) => `${name}=${value}\n`).join(""));
      expect(pid).toBeGreaterThan(1);
      const what =
        "echo $$; tr '\\0' ' ' </proc/$$/cmdline; umask; ulimit -Sn; ls /proc/$$/fd; grep -E 'Sig(Blk|Ign)' /proc/$$/status";
      const shown = await run(["bash", "-c", what, "a b", ""], { nice: 1 });
      const lines = shown.stdout.split("\n");
      expect(lines[0]).toBe(String(shown.pid));
      expect(lines[1]).toStartWith(`bash -c ${what} a b  0027`);
      expect(lines.slice(2)).toEqual([
        "1024",
        "0",
        "1",
        "2",
        "SigBlk:\t0000000000000000",
        "SigIgn:\t0000000000000000",
        "",
      ]);
    },
  );

  onLinux("has its niceness from its first instruction on", async () => {
    expect((await run(["nice"], { nice: 7 })).stdout).toBe("7\n");
  });

  onLinux("may have so much address space and no more", async () => {
    const { stdout, end } = await run(
      script(
        "ulimit -v; head -c 1 /dev/zero | tail -c 600000000 >/dev/null; exec cat /dev/zero | sort -S 900M",
      ),
      {
        memoryBytes: 256 * 1024 * 1024,
      },
    );
    expect(stdout).toBe("262144\n");
    expect(end).not.toEqual({ type: "exited", code: 0 });
  });

  onLinux("is charged with what it used itself, not with the launcher's share", async () => {
    const { usage } = await run(["true"], { nice: 1 });
    expect(usage?.userMs).toBeLessThan(20);
    expect(usage?.maxRssBytes ?? 0).toBeLessThan(20 * 1024 * 1024);
  });

  onLinux("tells how it ended as any other does", async () => {
    expect((await run(script("exit 255"), { nice: 1 })).end).toEqual({ type: "exited", code: 255 });
    expect((await run(script("kill -SEGV $$"), { nice: 1 })).end).toMatchObject({
      type: "signaled",
      signal: "SIGSEGV",
    });
  });

  onLinux("that cannot run says why, though that shows only after its start", async () => {
    using directory = openDirectory();
    const file = join(directory.path, "script");
    writeFileSync(file, "#!/no/such/interpreter\n");
    chmodSync(file, 0o755);
    const reasonOf = async (argv: string[], confinement: Partial<Confinement> = { nice: 1 }) => {
      const { end, stderr } = await run(argv, confinement);
      expect(stderr).toBe("");
      return end instanceof StartError ? end.reason : undefined;
    };
    expect(await reasonOf([file])).toEqual({
      code: "program_not_executable",
      message: `Cannot run "${file}": the interpreter that "${file}" names does not exist (ENOENT)`,
    });
    expect(await reasonOf(["true", "x".repeat(200_000)])).toMatchObject({ code: "too_large" });
    writeFileSync(file, "no program");
    expect(await reasonOf([file])).toMatchObject({ code: "program_not_executable" });
    const group = { doors: ["/no/such/door"] } as unknown as Confinement["group"];
    expect(await reasonOf(["true"], { group })).toMatchObject({
      message: expect.stringContaining("control group (ENOENT)"),
    });
  });
});

describe("confine()", () => {
  const means =
    (changes = {}) =>
    () => ({ hierarchies: [], isRoot: false, platform: "linux" as const, ...changes });

  test("asks for nothing where no limit needs it", () => {
    expect(confine({ execMs: 5, idleMs: 5, outputBytes: 5, graceMs: 5 }, "job", means())).toBeUndefined();
  });

  test("falls back to resource limits where there is no control group", () => {
    expect(confine({ memoryBytes: 1_000, processes: 5, nice: 3 }, "job", means())).toEqual({
      nice: 3,
      group: undefined,
      memoryBytes: 1_000,
      processes: 5,
    });
  });

  test.each([
    ["processes of root, whom resource limits do not bind", { processes: 5 }, { isRoot: true }],
    ["memory on macOS", { memoryBytes: 5 }, { platform: "darwin" }],
    ["memory on Windows", { memoryBytes: 5 }, { platform: "win32" }],
    ["processes on Windows", { processes: 5 }, { platform: "win32" }],
  ] as const)("refuses with a sentence to limit %s", (_what, limits, changes) => {
    expect(() => confine(limits, "job", means(changes))).toThrow(/^Cannot limit (memory|processes): /);
  });

  const memory = findHierarchies().find(({ controllers }) => controllers.includes("memory"));
  testIf(process.getuid?.() === 0 && memory !== undefined, "there is no v1 memory controller to write to")(
    "leaves no group behind when it refuses",
    () => {
      const job = `refused-${process.pid}`;
      const hierarchies = memory ? [memory] : [];
      const limits = { memoryBytes: 50_000_000, processes: 5 };
      expect(() => confine(limits, job, means({ hierarchies, isRoot: true }))).toThrow();
      expect(existsSync(join(memory?.own ?? "", `farhand-job-${job}`))).toBe(false);
    },
  );
});
