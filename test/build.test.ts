import { afterAll, describe, expect, test } from "bun:test";
import { copyFile, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { version } from "../package.json";
import { FARHAND, FARHANDD } from "./support/built.ts";

const root = resolve(import.meta.dir, "..");

const scratch = await mkdtemp(join(tmpdir(), "farhand-build-"));
afterAll(() => rm(scratch, { recursive: true, force: true }));

interface Machine {
  readonly os: "linux" | "darwin" | "windows";
  readonly cpu: string;
  /** The loader that a Linux executable asks for; whether a Mac one is signed, as arm64 Macs demand. */
  readonly note?: string;
}

const glibc = { x64: "/lib64/ld-linux-x86-64.so.2", arm64: "/lib/ld-linux-aarch64.so.1" };
const musl = { x64: "/lib/ld-musl-x86_64.so.1", arm64: "/lib/ld-musl-aarch64.so.1" };

const platforms: Record<string, Machine> = {
  "linux-x64": { os: "linux", cpu: "x64", note: glibc.x64 },
  "linux-arm64": { os: "linux", cpu: "arm64", note: glibc.arm64 },
  "linux-x64-musl": { os: "linux", cpu: "x64", note: musl.x64 },
  "linux-arm64-musl": { os: "linux", cpu: "arm64", note: musl.arm64 },
  "darwin-x64": { os: "darwin", cpu: "x64", note: "signed" },
  "darwin-arm64": { os: "darwin", cpu: "arm64", note: "signed" },
  "windows-x64.exe": { os: "windows", cpu: "x64" },
  "windows-arm64.exe": { os: "windows", cpu: "arm64" },
};

const executables = ["farhand", "farhandd"].flatMap((program) =>
  Object.entries(platforms).map(([platform, machine]) => ({
    name: `${program}-${platform}`,
    program,
    machine,
  })),
);
const names = executables.map(({ name }) => name);

/** What an executable's header says of the machine it is for. */
async function readHeader(path: string): Promise<Machine> {
  const bytes = Buffer.from(await Bun.file(path).slice(0, 65_536).arrayBuffer());
  if (bytes.readUInt32BE(0) === 0x7f454c46) return readElf(bytes);
  if (bytes.readUInt32LE(0) === 0xfeedfacf) return readMachO(bytes);
  if (bytes.toString("latin1", 0, 2) === "MZ") return readPe(bytes);
  throw new Error(`"${path}" is no executable`);
}

function readElf(bytes: Buffer): Machine {
  const cpu = { 62: "x64", 183: "arm64" }[bytes.readUInt16LE(18)] ?? "unknown";
  const [table, size, count] = [
    Number(bytes.readBigUInt64LE(32)),
    bytes.readUInt16LE(54),
    bytes.readUInt16LE(56),
  ];
  for (let at = table; at < table + size * count; at += size) {
    if (bytes.readUInt32LE(at) !== 3) continue;
    const start = Number(bytes.readBigUInt64LE(at + 8));
    const end = start + Number(bytes.readBigUInt64LE(at + 32));
    return { os: "linux", cpu, note: bytes.toString("latin1", start, end - 1) };
  }
  return { os: "linux", cpu, note: "static" };
}

function readMachO(bytes: Buffer): Machine {
  const cpu = { 0x01000007: "x64", 0x0100000c: "arm64" }[bytes.readUInt32LE(4)] ?? "unknown";
  let at = 32;
  for (let left = bytes.readUInt32LE(16); left > 0; left -= 1) {
    if (bytes.readUInt32LE(at) === 0x1d) return { os: "darwin", cpu, note: "signed" };
    at += bytes.readUInt32LE(at + 4);
  }
  return { os: "darwin", cpu, note: "unsigned" };
}

function readPe(bytes: Buffer): Machine {
  const header = bytes.readUInt32LE(0x3c);
  if (bytes.toString("latin1", header, header + 4) !== "PE\0\0") throw new Error("No PE header");
  const cpu = { 0x8664: "x64", 0xaa64: "arm64" }[bytes.readUInt16LE(header + 4)] ?? "unknown";
  return { os: "windows", cpu };
}

/** Why an executable of this header cannot run on this machine; undefined if it can. */
async function findObstacle({ os, cpu, note = "" }: Machine): Promise<string | undefined> {
  const own = process.platform === "win32" ? "windows" : process.platform;
  if (os !== own || cpu !== process.arch) return `this machine is ${own} ${process.arch}`;
  if (os !== "linux") return undefined;
  if (!(await Bun.file(note).exists())) return `there is no ${note}`;
  const places = ["/lib", "/usr/lib", `/usr/lib/${cpu === "x64" ? "x86_64" : "aarch64"}-linux-musl`];
  const libraries =
    note === musl.x64 || note === musl.arm64 ? places.map((place) => `${place}/libstdc++.so.6`) : [];
  const found = await Promise.all(libraries.map((library) => Bun.file(library).exists()));
  return libraries.length > 0 && !found.includes(true) ? "there is no libstdc++ for musl" : undefined;
}

async function run(
  command: string[],
  cwd: string = scratch,
  env: Record<string, string | undefined> = process.env,
) {
  const child = Bun.spawn(command, { cwd, env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, out, err };
}

describe("bun run build --all", () => {
  const outdir = join(scratch, "all");

  test("builds the pair for every platform and nothing else", async () => {
    const { code, err } = await run([process.execPath, join(root, "build.ts"), "--all", "--outdir", outdir]);
    expect({ code, err }).toMatchObject({ code: 0 });
    expect((await readdir(outdir)).sort()).toEqual(["SHA256SUMS", ...names].sort());
  }, 900_000);

  test("lists each file with its checksum in SHA256SUMS", async () => {
    const lines: string[] = [];
    for (const name of names) {
      const hash = new Bun.CryptoHasher("sha256").update(await Bun.file(join(outdir, name)).bytes());
      lines.push(`${hash.digest("hex")}  ${name}`);
    }
    const sums = (await Bun.file(join(outdir, "SHA256SUMS")).text()).trimEnd().split("\n");
    expect(sums.sort()).toEqual(lines.sort());
  }, 120_000);

  test.each(executables)(
    "makes $name for its system and CPU, and it runs where it can",
    async (executable) => {
      const { name, program, machine } = executable;
      const path = join(outdir, name);
      expect(await readHeader(path)).toEqual(machine);
      const obstacle = await findObstacle(machine);
      if (obstacle) {
        console.log(`${name}: not run, ${obstacle}`);
      } else {
        const { code, out } = await run([path, "--version"]);
        expect({ code, out }).toEqual({ code: 0, out: expect.stringContaining(version) });
        expect(out.split(/\s+/)).toContain(program);
      }
      await rm(path);
    },
    30_000,
  );
});

test("the executables run when moved alone into an empty directory, with an empty environment", async () => {
  for (const executable of [FARHAND, FARHANDD]) {
    const empty = await mkdtemp(join(scratch, "empty-"));
    const moved = join(empty, "moved");
    await copyFile(executable, moved);
    const { code, out, err } = await run([moved, "--version"], empty, {});
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toContain(version);
    await rm(empty, { recursive: true });
  }
});

const client = `import { BUILD, COMMIT, VERSION } from "./lib/version.ts";
import { fail } from "./fail.ts";
await Promise.resolve();
if (process.argv[2] === "fail") fail();
console.log(JSON.stringify({ VERSION, COMMIT, BUILD, env: process.env.FROM_DOTENV }));
`;

const fail = `interface Unused {
  readonly a: number;
}

export function fail(): never {
  const unused: Unused = { a: 1 };
  throw new Error(\`Failed on purpose: \${unused.a}\`);
}
`;

/** A project that consists of build.ts and two small programs, outside of any git work tree. */
async function setup() {
  const project = await mkdtemp(join(scratch, "project-"));
  for (const file of ["build.ts", "package.json", "bun.lock", "src/lib/version.ts"]) {
    await Bun.write(join(project, file), Bun.file(join(root, file)));
  }
  await Bun.write(join(project, ".gitignore"), "dist/\n");
  await Bun.write(join(project, "src/fail.ts"), fail);
  await Bun.write(join(project, "src/client.ts"), client);
  await Bun.write(join(project, "src/server.ts"), client);
  const suffix = process.platform === "win32" ? ".exe" : "";
  const farhand = join(project, "dist", `farhand${suffix}`);
  const env = { ...process.env, GIT_CEILING_DIRECTORIES: scratch };
  return {
    project,
    farhand,
    build: (...args: string[]) => run([process.execPath, "build.ts", ...args], project, env),
    ask: async () => JSON.parse((await run([farhand])).out),
    git: (...args: string[]) =>
      run(
        ["git", "-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false", ...args],
        project,
      ),
    [Symbol.asyncDispose]: () => rm(project, { recursive: true, force: true }),
  };
}

test("an error in an executable shows where it stands in the source", async () => {
  await using world = await setup();
  expect(await world.build()).toMatchObject({ code: 0 });
  const { code, err } = await run([world.farhand, "fail"]);
  expect(code).toBe(1);
  expect(err).toContain("Failed on purpose: 1");
  expect(err).toMatch(/at fail \(\S*src[/\\]fail\.ts:7:\d+\)/);
  expect(err).toMatch(/\bsrc[/\\]client\.ts:4:\d+/);
}, 60_000);

test("an executable loads nothing from the directory it is started in", async () => {
  await using world = await setup();
  expect(await world.build()).toMatchObject({ code: 0 });
  const hostile = await mkdtemp(join(scratch, "hostile-"));
  const marker = join(hostile, "preloaded");
  await Bun.write(join(hostile, ".env"), "FROM_DOTENV=yes\n");
  await Bun.write(join(hostile, "bunfig.toml"), `preload = ["./preload.ts"]\n`);
  await Bun.write(
    join(hostile, "preload.ts"),
    `require("node:fs").writeFileSync(${JSON.stringify(marker)}, "");`,
  );
  await Bun.write(join(hostile, "package.json"), "{ not json");
  await Bun.write(join(hostile, "tsconfig.json"), "{ not json");
  const { code, out, err } = await run([world.farhand], hostile);
  expect({ code, err }).toEqual({ code: 0, err: "" });
  expect(JSON.parse(out)).not.toHaveProperty("env");
  expect(await Bun.file(marker).exists()).toBe(false);

  await Bun.write(join(hostile, "control.ts"), "console.log(process.env.FROM_DOTENV)");
  expect(await run([process.execPath, "control.ts"], hostile)).toMatchObject({ out: "yes\n" });
  expect(await Bun.file(marker).exists()).toBe(true);
}, 60_000);

test("an executable knows its version, and two builds of different sources differ", async () => {
  await using world = await setup();
  await world.build();
  const first = await world.ask();
  expect(first).toMatchObject({ VERSION: version, COMMIT: "unknown" });
  expect(first.BUILD).toMatch(/^\d+\.\d+\.\d+\+unknown\.[0-9a-f]{8}$/);
  await Bun.write(join(world.project, "src/fail.ts"), `${fail}// changed\n`);
  await world.build();
  expect((await world.ask()).BUILD).not.toBe(first.BUILD);
}, 60_000);

const hasGit = Bun.which("git") !== null;
if (!hasGit) console.log(`The commit in an executable: not tested, "git" is not installed`);

test.skipIf(!hasGit)(
  "an executable knows its commit, and whether the tree differed from it",
  async () => {
    await using world = await setup();
    await world.git("init", "-q");
    await world.git("add", ".");
    await world.git("commit", "-qm", "first");
    const head = (await world.git("rev-parse", "--short", "HEAD")).out.trim();
    await world.build();
    expect(await world.ask()).toMatchObject({ COMMIT: head });
    await Bun.write(join(world.project, "src/new.ts"), "");
    await world.build();
    expect(await world.ask()).toMatchObject({ COMMIT: `${head}-dirty` });
  },
  60_000,
);

test("a build that fails says where, and leaves the executables as they were", async () => {
  await using world = await setup();
  await world.build();
  const before = await world.ask();
  await Bun.write(join(world.project, "src/fail.ts"), "export function fail( {");
  const { code, err } = await world.build();
  expect(code).toBe(1);
  expect(err).toContain("fail.ts:1:");
  expect(await world.ask()).toEqual(before);
  expect((await readdir(join(world.project, "dist"))).sort()).toEqual(["SHA256SUMS", "farhand", "farhandd"]);
}, 60_000);

test("an executable can be started at every moment of its being built again", async () => {
  await using world = await setup();
  await world.build();
  const started = await world.ask();
  const builds = { running: true };
  const building = Promise.all([world.build(), world.build()]).finally(() => (builds.running = false));
  while (builds.running) expect(await world.ask()).toEqual(started);
  expect((await building).map(({ code }) => code)).toEqual([0, 0]);
}, 60_000);

test("build.ts refuses options that it does not know", async () => {
  const { code, err } = await run([process.execPath, join(root, "build.ts"), "--everything"]);
  expect(code).toBe(1);
  expect(err).toContain("Unknown option '--everything'");
  expect(err).toContain("Usage: bun run build");
});
