import { mkdir, mkdtemp, rename, rm, utimes } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { version } from "./package.json";

// No "-baseline" for x64: in Bun 1.4.5 it is the same file as the default, so CPUs without AVX2 lose nothing.
// Compare the two again when Bun's version changes.
const platforms = [
  "linux-x64",
  "linux-arm64",
  "linux-x64-musl",
  "linux-arm64-musl",
  "darwin-x64",
  "darwin-arm64",
  "windows-x64",
  "windows-arm64",
] as const;

const executables = { farhand: "src/client.ts", farhandd: "src/server.ts" };

type Platform = (typeof platforms)[number];

interface Target {
  readonly entry: string;
  readonly name: string;
  /** Where it will run; this machine if absent. */
  readonly platform?: Platform;
}

const usage = `Usage: bun run build [--all] [--outdir DIR]

Builds dist/farhand and dist/farhandd for this machine, and writes their checksums to SHA256SUMS beside them.

  --all         build for every platform instead, named by platform
  --outdir DIR  write there instead of dist/
  --help        print this`;

function targets(all: boolean): Target[] {
  const own = process.platform === "win32" ? ".exe" : "";
  return Object.entries(executables).flatMap(([name, entry]): Target[] => {
    if (!all) return [{ entry, name: name + own }];
    return platforms.map((platform) => {
      const suffix = platform.startsWith("windows") ? ".exe" : "";
      return { entry, platform, name: `${name}-${platform}${suffix}` };
    });
  });
}

/** Builds one executable inside `directory` and returns its path. */
async function compile(
  { entry, name, platform }: Target,
  directory: string,
  define: Record<string, string>,
): Promise<string> {
  const outfile = join(directory, name);
  await Bun.build({
    entrypoints: [join(import.meta.dir, entry)],
    target: "bun",
    format: "esm",
    bytecode: true,
    // What a command does not use is not loaded with it: a cold start costs a quarter less.
    splitting: true,
    sourcemap: "inline",
    // Names stay as written, for stack traces; with bytecode, shorter ones would start no faster.
    minify: { whitespace: true, syntax: true, identifiers: false },
    define,
    compile: {
      outfile,
      ...(platform && { target: `bun-${platform}` as const }),
      autoloadDotenv: false,
      autoloadBunfig: false,
      autoloadTsconfig: false,
      autoloadPackageJson: false,
    },
  });
  return outfile;
}

/** "unknown" where there is no git, or no commit yet. */
function findCommit(): string {
  try {
    const head = git("rev-parse", "--short", "HEAD");
    return git("status", "--porcelain") === "" ? head : `${head}-dirty`;
  } catch {
    return "unknown";
  }
}

function git(...args: string[]): string {
  const { success, stdout } = Bun.spawnSync(["git", ...args], { cwd: import.meta.dir, stderr: "ignore" });
  if (!success) throw new Error(`git ${args.join(" ")} failed`);
  return stdout.toString().trim();
}

async function digestSources(): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256");
  const files = [
    ...new Bun.Glob("src/**/*").scanSync(import.meta.dir),
    "package.json",
    "bun.lock",
    "build.ts",
  ];
  for (const file of files.sort()) {
    hash.update(`${file}\0`).update(await Bun.file(join(import.meta.dir, file)).bytes());
  }
  return hash.digest("hex").slice(0, 8);
}

async function sha256(path: string): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256");
  for await (const chunk of Bun.file(path).stream()) hash.update(chunk);
  return hash.digest("hex");
}

async function build(all: boolean, outdir: string): Promise<void> {
  const started = new Date();
  const commit = findCommit();
  const define = {
    FARHAND_COMMIT: JSON.stringify(commit),
    FARHAND_SOURCES: JSON.stringify(await digestSources()),
  };
  await mkdir(outdir, { recursive: true });
  // Beside their destination, so that a rename puts each in place whole.
  const scratch = await mkdtemp(join(outdir, ".building-"));
  try {
    const names: string[] = [];
    for (const target of targets(all)) {
      // Dated from the start, so that a source saved during the build counts as newer.
      await utimes(await compile(target, scratch, define), started, started);
      names.push(target.name);
    }
    const sums = await Promise.all(
      names.map(async (name) => `${await sha256(join(scratch, name))}  ${name}\n`),
    );
    await Bun.write(join(scratch, "SHA256SUMS"), sums.join(""));
    names.push("SHA256SUMS");
    // Last and together: a build that fails leaves what was there.
    for (const name of names) await rename(join(scratch, name), join(outdir, name));
    console.log(`Built ${version} ${commit}:\n${names.map((name) => `  ${join(outdir, name)}`).join("\n")}`);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

function parseOptions(args: string[]) {
  const options = {
    all: { type: "boolean" },
    outdir: { type: "string" },
    help: { type: "boolean" },
  } as const;
  return parseArgs({ args, options }).values;
}

try {
  const { all = false, outdir = join(import.meta.dir, "dist"), help } = parseOptions(process.argv.slice(2));
  if (help) console.log(usage);
  else await build(all, resolve(outdir));
} catch (error) {
  console.error(error instanceof TypeError && "code" in error ? `${error.message}\n\n${usage}` : error);
  process.exitCode = 1;
}
