import { afterAll, describe, expect, test } from "bun:test";
import { chmod, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { eventually } from "./support/eventually.ts";

const script = resolve(import.meta.dir, "../install.sh");

const platforms = [
  "linux-x64",
  "linux-arm64",
  "linux-x64-musl",
  "linux-arm64-musl",
  "darwin-x64",
  "darwin-arm64",
];

/** What the script needs of the system besides a shell, a downloader and something that makes checksums. */
const tools = ["awk", "cat", "chmod", "cp", "cut", "find", "head", "id", "mkdir", "mv", "rm", "uname"];

const root = await mkdtemp(join(tmpdir(), "farhand install "));
afterAll(() => rm(root, { recursive: true, force: true }));

interface Shell {
  readonly name: string;
  readonly argv: readonly string[];
  readonly downloaders: readonly string[];
  /** Where the tools beside it come from: busybox brings its own. */
  readonly findTool: (name: string) => string | null;
}

const busybox = Bun.which("busybox");
const applets = busybox ? Bun.spawnSync([busybox, "--list"]).stdout.toString().split("\n") : [];

const shells: Shell[] = [
  { name: "dash", argv: ["dash"], downloaders: ["curl", "wget"], findTool: (name) => Bun.which(name) },
  {
    name: "busybox sh",
    argv: ["busybox", "sh"],
    downloaders: ["wget"],
    findTool: (name) => (applets.includes(name) ? busybox : null),
  },
];

/** A directory that, alone on PATH, offers these tools and no others; missing ones are left out. */
async function openToolbox({ findTool }: Shell, names: string[], fakes: Record<string, string> = {}) {
  const toolbox = await mkdtemp(join(root, "tools-"));
  for (const name of names) {
    const path = findTool(name);
    if (path && !(name in fakes)) await symlink(path, join(toolbox, name));
  }
  for (const [name, body] of Object.entries(fakes)) await writeExecutable(join(toolbox, name), body);
  return toolbox;
}

async function writeExecutable(path: string, body: string): Promise<void> {
  await Bun.write(path, `#!/bin/sh\n${body}\n`);
  await chmod(path, 0o755);
}

/** A release whose executables are small scripts, padded so that half of one is something to lose. */
async function openRelease(version = "2.0.0"): Promise<string> {
  const release = await mkdtemp(join(root, "release-"));
  let sums = "";
  for (const name of ["farhand", "farhandd"].flatMap((name) =>
    platforms.map((platform) => `${name}-${platform}`),
  )) {
    const text = `#!/bin/sh\necho "${name} ${version}"\nexit 0\n${"# padding\n".repeat(20_000)}`;
    await Bun.write(join(release, name), text);
    sums += `${new Bun.CryptoHasher("sha256").update(text).digest("hex")}  ${name}\n`;
  }
  await Bun.write(join(release, "SHA256SUMS"), sums);
  return release;
}

/** Makes every file of the release that begins so another one than SHA256SUMS says. */
async function replaceFiles(
  release: string,
  prefix: string,
  change: (text: string) => string,
): Promise<void> {
  for (const file of await readdir(release)) {
    if (!file.startsWith(prefix)) continue;
    await Bun.write(join(release, file), change(await Bun.file(join(release, file)).text()));
  }
}

async function replaceSums(release: string): Promise<void> {
  let sums = "";
  for (const file of await readdir(release)) {
    if (file === "SHA256SUMS") continue;
    const bytes = await Bun.file(join(release, file)).bytes();
    sums += `${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}  ${file}\n`;
  }
  await Bun.write(join(release, "SHA256SUMS"), sums);
}

async function setup(shell: Shell) {
  const prefix = await mkdtemp(join(root, "prefix-"));
  const path = await openToolbox(shell, [...tools, "ldd", "sha256sum", "curl", "wget"]);

  function start(args: string[], env: Record<string, string> = {}) {
    const [command = "", ...rest] = shell.argv;
    return Bun.spawn([Bun.which(command) ?? command, ...rest, script, ...args], {
      env: { PATH: path, HOME: prefix, ...env },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
  }

  async function run(args: string[], env: Record<string, string> = {}) {
    const child = start(args, env);
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { code, out, err };
  }

  return {
    prefix,
    start,
    run,
    release: await openRelease(),
    install: (from: string, env?: Record<string, string>) => run(["--from", from, "--prefix", prefix], env),
    installed: () => list(join(prefix, "bin")),
    ask: (name: string) => Bun.$`${join(prefix, "bin", name)} --version`.text(),
  };
}

async function list(directory: string): Promise<string[]> {
  return (await readdir(directory).catch(() => [])).sort();
}

function serve(release: string) {
  return Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const file = Bun.file(join(release, new URL(request.url).pathname));
      return (await file.exists()) ? new Response(file) : new Response("Not found", { status: 404 });
    },
  });
}

type Ending = "cut with a length" | "cut without a length" | "silence";

/** Serves SHA256SUMS whole and half of everything else; then it closes the connection, or says no more. */
function serveHalf(release: string, ending: Ending) {
  const open = new Set<object>();
  let asked = 0;
  const listener = Bun.listen({
    port: 0,
    hostname: "127.0.0.1",
    socket: {
      open: (socket) => void open.add(socket),
      close: (socket) => void open.delete(socket),
      async data(socket, request) {
        const name = /^GET \/(\S+)/.exec(request.toString())?.[1] ?? "";
        const body = await Bun.file(join(release, name)).bytes();
        const whole = name === "SHA256SUMS";
        const length = whole || ending !== "cut without a length" ? `Content-Length: ${body.length}\r\n` : "";
        socket.write(`HTTP/1.1 200 OK\r\n${length}Connection: close\r\n\r\n`);
        socket.write(whole ? body : body.subarray(0, body.length / 2));
        if (!whole) asked += 1;
        if (whole || ending !== "silence") socket.end();
      },
    },
  });
  return {
    url: `http://127.0.0.1:${listener.port}`,
    asked: () => asked,
    connections: () => open.size,
    [Symbol.dispose]: () => listener.stop(true),
  };
}

for (const shell of shells) {
  const missing = shell.argv.filter((command, index) => index === 0 && !Bun.which(command));
  if (missing.length > 0) {
    console.log(`install.sh under ${shell.name}: not tested, "${missing[0]}" is not installed`);
    test.skip(`install.sh under ${shell.name}: not tested, "${missing[0]}" is not installed`, () => {});
    continue;
  }

  describe(`install.sh under ${shell.name}`, () => {
    test("installs both executables from a directory and says so", async () => {
      const { release, prefix, install, installed, ask } = await setup(shell);
      const { code, out, err } = await install(release);
      expect({ code, err }).toEqual({ code: 0, err: "" });
      expect(out).toContain(`Installed ${prefix}/bin/farhand: farhand-`);
      expect(out).toContain(`Installed ${prefix}/bin/farhandd: farhandd-`);
      expect(await installed()).toEqual(["farhand", "farhandd"]);
      expect(await ask("farhand")).toMatch(/^farhand-\S+ 2\.0\.0\n$/);
      expect(await ask("farhandd")).toMatch(/^farhandd-\S+ 2\.0\.0\n$/);
    });

    test("takes the release's place from FARHAND_INSTALL_FROM, and --from wins over it", async () => {
      const { release, prefix, run, ask } = await setup(shell);
      const env = { FARHAND_INSTALL_FROM: release };
      expect(await run(["--prefix", prefix], env)).toMatchObject({ code: 0 });
      const older = await openRelease("1.0.0");
      expect(await run([`--from=${older}/`, `--prefix=${prefix}/`], env)).toMatchObject({ code: 0 });
      expect(await ask("farhand")).toContain("1.0.0");
    });

    test("installs into ~/.local for people and names it when it is not on PATH", async () => {
      const { release, prefix, run } = await setup(shell);
      const toolbox = await openToolbox(shell, [...tools, "ldd", "sha256sum"], { id: "echo 1000" });
      const bin = join(prefix, ".local/bin");
      const stranger = await run(["--from", release], { PATH: toolbox });
      expect(stranger).toMatchObject({
        code: 0,
        out: expect.stringContaining(`"${bin}" is not on your PATH`),
      });
      expect(await list(bin)).toEqual(["farhand", "farhandd"]);
      const regular = await run(["--from", release], { PATH: `${toolbox}:${bin}` });
      expect(regular).toMatchObject({ code: 0, out: expect.not.stringContaining("PATH") });
    });

    test("accepts spaces and quotes in the name of the prefix", async () => {
      const { release, prefix, run } = await setup(shell);
      const odd = join(prefix, `my "own" $(touch x) 'files' * `);
      expect(await run(["--from", release, "--prefix", odd])).toMatchObject({ code: 0, err: "" });
      expect(await list(join(odd, "bin"))).toEqual(["farhand", "farhandd"]);
      expect(await run(["--version", "--prefix", odd])).toMatchObject({ code: 0 });
      expect(await run(["--uninstall", "--prefix", odd])).toMatchObject({ code: 0 });
      expect(await list(join(odd, "bin"))).toEqual([]);
    });

    for (const downloader of shell.downloaders) {
      const found = shell.findTool(downloader);
      const name = `downloads with ${downloader}, and a damaged or absent file is refused`;
      test.skipIf(!found)(found ? name : `${name}: not tested, it is not installed`, async () => {
        const { release, install, installed, ask } = await setup(shell);
        const env = { PATH: await openToolbox(shell, [...tools, "ldd", "sha256sum", downloader]) };
        using server = serve(release);
        const url = `http://127.0.0.1:${server.port}`;
        expect(await install(url, env)).toMatchObject({ code: 0, err: "" });
        expect(await ask("farhandd")).toContain("2.0.0");

        await replaceFiles(release, "farhandd", (text) => text.replace("padding", "pudding"));
        const damaged = await install(url, env);
        expect(damaged).toMatchObject({
          code: 1,
          err: expect.stringMatching(/Refused "farhandd-\S+": its checksum/),
        });
        await rm(join(release, "SHA256SUMS"));
        const absent = await install(url, env);
        expect(absent).toMatchObject({
          code: 1,
          err: expect.stringContaining(`Cannot download "${url}/SHA256SUMS"`),
        });
        expect(await installed()).toEqual(["farhand", "farhandd"]);
      });

      for (const ending of ["cut with a length", "cut without a length"] as const) {
        test.skipIf(!found)(`refuses a download by ${downloader} that was ${ending}`, async () => {
          const { release, install, installed } = await setup(shell);
          const env = { PATH: await openToolbox(shell, [...tools, "ldd", "sha256sum", downloader]) };
          using server = serveHalf(release, ending);
          const { code, err } = await install(server.url, env);
          expect(code).toBe(1);
          expect(err).toContain("Nothing was installed");
          expect(server.asked()).toBeGreaterThan(0);
          expect(await installed()).toEqual([]);
        });
      }

      for (const [signal, code] of [
        ["SIGTERM", 143],
        ["SIGINT", 130],
        ["SIGHUP", 129],
      ] as const) {
        test.skipIf(!found)(
          `leaves nothing when ${signal} ends it during a download by ${downloader}`,
          async () => {
            const { release, prefix, start, installed } = await setup(shell);
            const env = { PATH: await openToolbox(shell, [...tools, "ldd", "sha256sum", downloader]) };
            using server = serveHalf(release, "silence");
            const child = start(["--from", server.url, "--prefix", prefix], env);
            await eventually(() => server.asked() === 1);
            expect(await installed()).toEqual([expect.stringContaining(".farhand-install.")]);
            child.kill(signal);
            expect(await child.exited).toBe(code);
            expect(await installed()).toEqual([]);
            await eventually(() => server.connections() === 0);
          },
        );
      }
    }

    test("keeps the installed pair when the second file of a new one is corrupted", async () => {
      const { release, install, installed, ask } = await setup(shell);
      await install(await openRelease("1.0.0"));
      await replaceFiles(release, "farhandd", (text) => text.slice(0, -1));
      const { code, out, err } = await install(release);
      expect({ code, out }).toEqual({ code: 1, out: "" });
      expect(err).toContain("The download is damaged or incomplete. Nothing was installed");
      expect(await installed()).toEqual(["farhand", "farhandd"]);
      expect([await ask("farhand"), await ask("farhandd")].join()).not.toContain("2.0.0");
    });

    test("refuses a file that SHA256SUMS has no line for", async () => {
      const { release, install, installed } = await setup(shell);
      await replaceFiles(release, "SHA256SUMS", (text) => text.replace(/^.*  farhandd-.*\n/gm, ""));
      const { code, err } = await install(release);
      expect(code).toBe(1);
      expect(err).toMatch(/Cannot verify "farhandd-\S+": SHA256SUMS has no line for it/);
      expect(await installed()).toEqual([]);
    });

    test("refuses an executable that does not start here, and repeats what it said", async () => {
      const { release, install, installed } = await setup(shell);
      await replaceFiles(
        release,
        "farhandd",
        () => "#!/bin/sh\necho libmissing.so is not here >&2\nexit 127\n",
      );
      await replaceSums(release);
      const { code, err } = await install(release);
      expect(code).toBe(1);
      expect(err).toMatch(/Refused "farhandd-\S+": it does not start here: libmissing\.so is not here\./);
      expect(await installed()).toEqual([]);
    });

    test("verifies with sha256sum, shasum or openssl, whichever is there", async () => {
      const { release, install, installed } = await setup(shell);
      const checksummers = ["sha256sum", "shasum", "openssl"].filter((name) => shell.findTool(name));
      expect(checksummers).not.toBeEmpty();
      for (const checksummer of checksummers) {
        const env = { PATH: await openToolbox(shell, [...tools, "ldd", checksummer]) };
        expect(await install(release, env), checksummer).toMatchObject({ code: 0, err: "" });
      }
      await replaceFiles(release, "farhand-", (text) => `${text}#\n`);
      for (const checksummer of checksummers) {
        const env = { PATH: await openToolbox(shell, [...tools, "ldd", checksummer]) };
        expect((await install(release, env)).err, checksummer).toContain("its checksum is");
      }
      expect(await installed()).toEqual(["farhand", "farhandd"]);
    });

    test("installs nothing where no checksum can be computed or nothing can download", async () => {
      const { release, install, installed } = await setup(shell);
      const bare = { PATH: await openToolbox(shell, tools) };
      expect((await install(release, bare)).err).toContain("sha256sum, shasum or openssl is needed");
      const offline = { PATH: await openToolbox(shell, [...tools, "sha256sum"]) };
      expect((await install("http://127.0.0.1:1", offline)).err).toContain("curl or wget is needed");
      expect((await install("ftp://127.0.0.1", offline)).err).toContain(
        "an http or https URL or a directory",
      );
      expect(await installed()).toEqual([]);
    });

    test("picks the files of the system, the CPU and the C library", async () => {
      const cases = [
        ["Linux", "x86_64", "ldd (GNU libc) 2.36", "linux-x64"],
        ["Linux", "aarch64", "ldd (Debian GLIBC 2.36) 2.36", "linux-arm64"],
        ["Linux", "x86_64", "musl libc (x86_64)", "linux-x64-musl"],
        ["Linux", "aarch64", "musl libc (aarch64)", "linux-arm64-musl"],
        ["Darwin", "x86_64", "", "darwin-x64"],
        ["Darwin", "arm64", "", "darwin-arm64"],
      ];
      for (const [os, cpu, ldd, platform] of cases) {
        const { release, install, ask } = await setup(shell);
        const uname = `case $1 in -s) echo ${os} ;; -m) echo ${cpu} ;; esac`;
        const fakes = { uname, ldd: `echo "${ldd}" >&2; exit 1` };
        const env = { PATH: await openToolbox(shell, [...tools, "sha256sum"], fakes) };
        expect(await install(release, env)).toMatchObject({ code: 0 });
        expect(await ask("farhand")).toBe(`farhand-${platform} 2.0.0\n`);
      }
    });

    test("tells people on Windows and on unknown systems what there is", async () => {
      const { release, install, installed } = await setup(shell);
      const answers = {
        "MINGW64_NT-10.0 x86_64": "farhand-windows-x64.exe",
        "Linux riscv64": "riscv64",
        "Plan9 x86_64": "Plan9",
      };
      for (const [machine, sentence] of Object.entries(answers)) {
        const [os, cpu] = machine.split(" ");
        const uname = `case $1 in -s) echo ${os} ;; -m) echo ${cpu} ;; esac`;
        const env = { PATH: await openToolbox(shell, [...tools, "sha256sum"], { uname }) };
        expect(await install(release, env)).toMatchObject({
          code: 1,
          err: expect.stringContaining(sentence),
        });
      }
      expect(await installed()).toEqual([]);
    });

    test("says which versions are installed, and removes them", async () => {
      const { release, prefix, install, installed, run } = await setup(shell);
      const absent = {
        code: 1,
        out: `Not installed: neither farhand nor farhandd is in ${prefix}/bin\n`,
        err: "",
      };
      expect(await run(["--version", "--prefix", prefix])).toEqual(absent);
      await install(release);
      await Bun.write(join(prefix, "bin/neighbour"), "");
      const { code, out } = await run(["--version", "--prefix", prefix]);
      expect(code).toBe(0);
      expect(out).toMatch(
        /^\S.*\/bin\/farhand: farhand-\S+ 2\.0\.0\n\S.*\/bin\/farhandd: farhandd-\S+ 2\.0\.0\n$/,
      );

      const removed = await run(["--uninstall", "--prefix", prefix]);
      expect(removed).toMatchObject({
        code: 0,
        out: expect.stringContaining(`Removed ${prefix}/bin/farhandd\n`),
      });
      expect(await installed()).toEqual(["neighbour"]);
      const again = await run(["--uninstall", "--prefix", prefix]);
      expect(again).toMatchObject({ code: 0, out: expect.stringContaining("Nothing to remove") });
    });

    test("refuses what it does not understand, and names what is missing", async () => {
      const { release, prefix, run, installed } = await setup(shell);
      const cases = [
        [["--from", release, "--prefix", prefix, "--force"], `Unknown option "--force"`],
        [["--from", release, "--prefix", prefix, "extra"], `Unknown option "extra"`],
        [["--from", release, "--prefix"], "--prefix needs a value"],
        [["--from", release, "--prefix="], "--prefix needs a value"],
        [["--prefix", prefix], "--from is missing"],
      ] as const;
      for (const [args, sentence] of cases) {
        expect(await run([...args])).toMatchObject({ code: 2, err: expect.stringContaining(sentence) });
      }
      const nowhere = await run(["--from", join(release, "nowhere"), "--prefix", prefix]);
      expect(nowhere).toMatchObject({ code: 1, err: expect.stringContaining("Cannot find") });
      expect(await installed()).toEqual([]);
    });

    test("says so when the prefix cannot be made", async () => {
      const { release, prefix, run } = await setup(shell);
      await Bun.write(join(prefix, "file"), "");
      const { code, err } = await run(["--from", release, "--prefix", join(prefix, "file")]);
      expect(code).toBe(1);
      expect(err).toContain(`Cannot create "${prefix}/file/bin". Choose another directory with --prefix`);
    });

    test("does nothing when the script itself was cut off on its way", async () => {
      const { release, prefix } = await setup(shell);
      const text = await Bun.file(script).text();
      const ends = Array.from({ length: 40 }, (_, index) => Math.floor((text.length * index) / 40));
      const half = join(prefix, "half.sh");
      const [command = "", ...rest] = shell.argv;
      for (const end of [...ends, text.lastIndexOf("main")]) {
        await Bun.write(half, text.slice(0, end));
        const child = Bun.spawn(
          [Bun.which(command) ?? command, ...rest, half, "--from", release, "--prefix", prefix],
          {
            stdout: "ignore",
            stderr: "ignore",
          },
        );
        await child.exited;
        expect(await list(prefix), `cut at ${end}`).toEqual(["half.sh"]);
      }
    });

    test("prints its usage", async () => {
      const { run } = await setup(shell);
      const { code, out, err } = await run(["--help"]);
      expect({ code, err }).toEqual({ code: 0, err: "" });
      for (const option of ["--from", "--prefix", "--version", "--uninstall", "--help"])
        expect(out).toContain(option);
    });
  });
}

const shellcheck = Bun.which("shellcheck");
if (!shellcheck) console.log(`install.sh and .ci/run: not checked, "shellcheck" is not installed`);

test.skipIf(!shellcheck)("install.sh and .ci/run pass shellcheck", async () => {
  const scripts = [script, resolve(import.meta.dir, "../.ci/run")];
  const child = Bun.spawn([shellcheck ?? "", ...scripts], { stdout: "pipe" });
  expect(await child.stdout.text()).toBe("");
  expect(await child.exited).toBe(0);
});
