import { describe, expect, setDefaultTimeout } from "bun:test";
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { ACCOUNT, asRoot, openOtherWorld, type OtherWorld } from "../support/account.ts";
import { eventually } from "../support/eventually.ts";
import { RawClient, type Received } from "../support/raw.ts";
import { isRunning, openWorld, readProcess } from "../support/world.ts";

setDefaultTimeout(120_000);

/** What he is called, who has no name. */
const name = `${ACCOUNT.uid}`;
const own = `${ACCOUNT.uid}:${ACCOUNT.gid}`;

/** Whose a file is. */
function ownerOf(path: string): string {
  const { uid, gid } = statSync(path);
  return `${uid}:${gid}`;
}

/** Pids of the processes that do calls as the other user for this world's server. */
function runners(front: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => / runner \{/.test(readProcess(pid, "cmdline")))
    .filter((pid) => new RegExp(`^PPid:\\s+${front}$`, "m").test(readProcess(pid, "status")));
}

/** Whether a process has a file open that is not whole yet. */
function isWritingFile(pid: number): boolean {
  return readdirSync(`/proc/${pid}/fd`).some((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).includes("/.farhand-");
    } catch {
      return false; // closed meanwhile
    }
  });
}

async function pidOf(world: OtherWorld): Promise<number> {
  return (await world.status()).pid;
}

describe("A program in a role with run_as", () => {
  asRoot("is that user's, with the environment of a login, and none of the server's secrets", async () => {
    await using world = await openOtherWorld({}, { SECRET_OF_THE_SERVER: "secret", LANG: "C.UTF-8" });
    const script = "id -u; id -g; id -G; pwd; umask; env; ls /proc/self/fd";
    const { code, stdout } = await world.other(["exec", "--", "sh", "-c", script]);
    expect(code).toBe(0);
    const [uid, gid, groups, cwd, umask, ...rest] = stdout.split("\n");
    expect([uid, gid, groups, cwd, umask]).toEqual([
      name,
      `${ACCOUNT.gid}`,
      `${ACCOUNT.gid}`,
      world.room,
      "0022",
    ]);
    expect(rest).toEqual(
      expect.arrayContaining([`USER=${name}`, `LOGNAME=${name}`, "HOME=/", "SHELL=/bin/sh", "LANG=C.UTF-8"]),
    );
    expect(stdout).not.toContain("SECRET_OF_THE_SERVER");
    expect(rest.filter((line) => /^\d+$/.test(line))).toEqual(["0", "1", "2", "3"]);
    const env = JSON.parse((await world.other(["env", "--json"])).stdout) as { variables: object };
    expect(env.variables).not.toHaveProperty("SECRET_OF_THE_SERVER");
    expect(env.variables).toMatchObject({ HOME: "/", USER: name });
    // What the caller sets reaches the program, and nothing that makes it that user's.
    const hostile = ["BUN_BE_BUN=1", "BUN_OPTIONS=--nope", "LD_PRELOAD=/nope.so"].flatMap((set) => [
      "-e",
      set,
    ]);
    const preloaded = await world.other(["exec", ...hostile, "--", "sh", "-c", "id -u; env"]);
    expect(preloaded.stdout).toMatch(new RegExp(`^${name}\n[^]*BUN_OPTIONS=--nope`));
    const login = await world.other(["shell"], { stdin: "echo $0; id -u; exit 4\n" });
    expect(login.stdout).toContain(name);
  });

  asRoot("reads, signals and finds open nothing of the server", async () => {
    await using world = await openOtherWorld();
    await world.other(["exec", "--", "echo", "said"]);
    const { pid, keepers } = await world.status();
    const files = ["local.json", "auth.db", "state.db", "ledgers", "keeper", "logs"];
    const processes = [pid, keepers[0]?.pid].flatMap((of) =>
      ["environ", "mem", "fd", "maps", "cwd/."].map((name) => `/proc/${of}/${name}`),
    );
    const paths = [world.state, ...files.map((name) => join(world.state, name)), ...processes];
    const script = 'for p; do { ls "$p/" || cat "$p"; } >/dev/null 2>&1 && echo "open: $p"; done; true';
    expect(await world.other(["exec", "--", "sh", "-c", script, "sh", ...paths])).toMatchObject({
      code: 0,
      stdout: "",
    });
    for (const target of [pid, keepers[0]?.pid])
      expect((await world.other(["exec", "--", "sh", "-c", `kill -0 ${target}`])).code).not.toBe(0);
    // The same by commands, which are done in another process.
    for (const path of [join(world.state, "local.json"), `/proc/${pid}/environ`])
      expect((await world.other(["rdfile", path])).stderr).toContain("EACCES");
    expect((await world.other(["ls", world.state])).stderr).toContain("EACCES");
    expect((await world.other(["wrfile", join(world.state, "x"), "x"])).stderr).toContain("EACCES");
  });

  asRoot("has its input, its output by name, and a terminal of his", async () => {
    await using world = await openOtherWorld();
    const script = "cat; echo two > /dev/stdout; echo three > /dev/stderr";
    expect(await world.other(["exec", "--", "sh", "-c", script], { stdin: "one\n" })).toMatchObject({
      code: 0,
      stdout: "one\ntwo\n",
      stderr: "three\n",
    });
    // Who he is takes a moment to find out, in which the job is asked for already, be it another of the same key.
    for (let round = 0; round < 2; round++)
      expect(
        await world.other(["exec", "--key", "once", "--", "sh", "-c", "echo once; echo x >> ran"]),
      ).toMatchObject({
        code: 0,
        stdout: "once\n",
      });
    expect(readFileSync(join(world.room, "ran"), "utf8")).toBe("x\n");
    const line = "stat -L -c %u $(tty); echo typed > /dev/tty; id -u";
    const { stdout } = await world.other(["exec", "-t", "--", "sh", "-c", line]);
    expect(stdout.split(/\r?\n/).filter(Boolean)).toEqual([name, "typed", name]);
  });

  asRoot("that there is none of, that he may not run, or where he may not be, is told so", async () => {
    await using world = await openOtherWorld();
    writeFileSync(join(world.home, "tool"), "#!/bin/sh\n", { mode: 0o700 });
    mkdirSync(join(world.home, "closed"), { mode: 0o700 });
    const run = async (...args: string[]) => (await world.other(["exec", ...args])).code;
    expect(await run("--", "no-such-program")).toBe(127);
    expect(await run("--", join(world.home, "tool"))).toBe(126);
    expect(await run("--cwd", join(world.home, "closed"), "--", "true")).toBe(126);
    // Whether there is one in there is not told.
    const refusals = ["absent", "."].map(async (name) => {
      const cwd = join(world.home, "closed", name, "deep");
      return (await world.other(["exec", "--cwd", cwd, "--", "true"])).stderr.replace(`/${name}/`, "/");
    });
    const [absent, present] = await Promise.all(refusals);
    expect(absent).toContain("EACCES");
    expect(present).toBe(absent ?? "");
  });

  asRoot("is ended by kill and by its limits, with all that came of it", async () => {
    await using world = await openOtherWorld();
    const script = "setsid sleep 1000 & sleep 1000";
    const { stdout } = await world.other(["exec", "-d", "--", "sh", "-c", script]);
    await eventually(() => world.processes(/^sleep 1000/).length === 2, 30_000);
    const job = stdout.trim();
    expect(await world.other(["kill", job])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("3 processes ended"),
    });
    expect((await world.other(["exec", "--max-exec-time", "300ms", "--", "sleep", "1000"])).code).toBe(124);
    const fork = "for i in 1 2 3 4 5 6 7 8; do sleep 0.3 & done; wait";
    const bound = await world.other(["exec", "--max-processes", "4", "--", "sh", "-c", fork]);
    expect(bound.stderr).toMatch(/fork|Resource temporarily unavailable/);
    const hungry = "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}";
    const full = await world.other(["exec", "--max-memory", "32MiB", "--", "sh", "-c", hungry]);
    expect(full.code).not.toBe(0);
    expect(full.stdout).not.toContain("200000000");
  });

  asRoot("goes on while the server is killed, and is that user's for the next as well", async () => {
    await using world = await openOtherWorld();
    const script = "echo one; until [ -e go ]; do sleep 0.05; done; id -u; exit 7";
    const job = (await world.other(["exec", "-d", "--", "sh", "-c", script])).stdout.trim();
    await eventually(async () => (await world.other(["follow", "--no-follow", job])).stdout !== "", 30_000);
    const front = await pidOf(world);
    await world.other(["ls"]);
    const [runner] = runners(front);
    process.kill(front, "SIGKILL");
    await eventually(() => !isRunning(front) && !isRunning(runner ?? 0), 30_000);
    const flags = ["--config", join(world.home, "farhandd.toml"), "--listen", "127.0.0.1:0"];
    expect((await world.farhandd(["start", ...flags])).code).toBe(0);
    writeFileSync(join(world.room, "go"), "");
    expect(await world.other(["follow", job])).toMatchObject({ code: 7, stdout: `one\n${name}\n` });
    expect((await world.other(["exec", "--", "id", "-u"])).stdout).toBe(`${name}\n`);
  });
});

describe("Files in a role with run_as", () => {
  asRoot("are read, made and removed as that user", async () => {
    await using world = await openOtherWorld();
    const big = Buffer.alloc(3_000_000, "0123456789");
    const done = async (...args: string[]) => {
      const ran = await world.other(args);
      expect([args[0], ran.code, ran.stderr]).toEqual([args[0], 0, ""]);
      return ran.stdout;
    };
    await done("wrfile", "small", "text");
    expect(await world.other(["wrfile", "big"], { stdin: big })).toMatchObject({ code: 0 });
    await done("mkdir", "made");
    await done("touch", "touched");
    await done("cp", "small", "made");
    await done("mv", "touched", "made/moved");
    for (const name of ["small", "big", "made", "made/small", "made/moved"])
      expect([name, ownerOf(join(world.room, name))]).toEqual([name, own]);
    expect(statSync(join(world.room, "small")).mode & 0o777).toBe(0o644);
    expect(readFileSync(join(world.room, "big")).equals(big)).toBe(true);
    expect(await done("rdfile", "big")).toBe(big.toString());
    expect(await done("find", ".", "--name", "small")).toBe("./made/small\n./small\n");
    expect(JSON.parse(await done("stat", "--json", "small"))).toMatchObject({
      files: [{ name: "small", owner: { id: ACCOUNT.uid }, group: { id: ACCOUNT.gid } }],
    });
    expect((await done("ls")).split("\n")).toEqual(["big", "made", "small", ""]);
    await done("rm", "-r", "made");
    expect(existsSync(join(world.room, "made"))).toBe(false);
  });

  asRoot("are written with all that is sent before it is known who he is", async () => {
    await using world = await openOtherWorld();
    // A server that has just started has looked nobody up, as one has after five seconds.
    const flags = ["--config", join(world.home, "farhandd.toml"), "--listen", "127.0.0.1:0"];
    await world.farhandd(["stop"]);
    expect((await world.farhandd(["start", ...flags])).code).toBe(0);
    expect(await world.other(["wrfile", "sent"], { stdin: "at once" })).toMatchObject({ code: 0 });
    expect(readFileSync(join(world.room, "sent"), "utf8")).toBe("at once");
  });

  asRoot("are kept from him as the system keeps them, and so are directories to work in", async () => {
    await using world = await openOtherWorld();
    const closed = join(dirname(world.home), "closed");
    mkdirSync(closed, { mode: 0o700 });
    writeFileSync(join(closed, "secret"), "secret");
    const attempts = [
      ["ls", closed],
      ["rdfile", join(closed, "secret")],
      ["stat", join(closed, "secret")],
      ["wrfile", join(world.home, "new"), "x"],
      ["cp", join(closed, "secret"), "."],
      ["rm", join(world.home, "farhandd.toml")],
      ["mv", join(world.home, "farhandd.toml"), "."],
      ["mkdir", join(world.home, "new")],
      ["cd", closed],
    ];
    for (const args of attempts) {
      const { code, stderr } = await world.other(args);
      expect([args[0], code, stderr]).toEqual([args[0], 125, expect.stringContaining("EACCES")]);
    }
    expect((await world.other(["find", closed])).stderr).toContain("EACCES");
    expect((await world.other(["cwd"])).stdout).toBe(`${world.room}\n`);
    expect(readdirSync(world.room)).toEqual([]);
  });

  asRoot("count from a workspace that begins at his home, and whose directory is judged as him", async () => {
    await using world = await openOtherWorld();
    expect((await world.other(["-w", "fresh", "cwd"])).stdout).toBe("/\n");
    mkdirSync(join(world.room, "inner"));
    chownSync(join(world.room, "inner"), ACCOUNT.uid, ACCOUNT.gid);
    expect((await world.other(["-w", "fresh", "cd", join(world.room, "inner")])).code).toBe(0);
    expect((await world.other(["-w", "fresh", "exec", "--", "pwd"])).stdout).toBe(`${world.room}/inner\n`);
    expect((await world.other(["-w", "fresh", "cd", "-"])).stdout).toBe("/\n");
    expect((await world.other(["-w", "fresh", "cd", "-"])).stdout).toBe(`${world.room}/inner\n`);
    chownSync(join(world.room, "inner"), 0, 0);
    statSync(join(world.room, "inner"));
    await Bun.spawn(["chmod", "700", join(world.room, "inner")]).exited;
    expect((await world.other(["-w", "fresh", "cwd"])).stderr).toContain("EACCES");
    expect((await world.other(["workspace", "list"])).stdout).toMatch(/fresh .*EACCES/);
  });

  asRoot(
    "that are written by a call that is cancelled, or whose server is killed, are not there",
    async () => {
      await using world = await openOtherWorld();
      const front = await pidOf(world);
      for (const signal of ["SIGINT", "SIGKILL"] as const) {
        const client = world.open(
          ["bash", "-c", "{ echo half; exec sleep 1000; } | exec farhand wrfile --json new"],
          { env: world.asOther() },
        );
        await eventually(() => readdirSync(world.room).some((name) => name.startsWith(".farhand-")), 30_000);
        if (signal === "SIGKILL") process.kill(front, signal);
        else for (const pid of world.processes(/farhand wrfile/)) process.kill(pid, signal);
        await eventually(() => readdirSync(world.room).length === 0, 30_000);
        for (const pid of world.processes(/^sleep 1000|farhand wrfile/)) process.kill(pid, "SIGKILL");
        await client.ran;
      }
      await eventually(() => runners(front).length === 0, 30_000);
    },
  );
});

describe("What a role with run_as asks of the machine", () => {
  asRoot(
    "is answered as that user: who he is, what there is to run, which processes are of jobs",
    async () => {
      await using world = await openOtherWorld();
      expect((await world.other(["user-name"])).stdout).toBe(`${name}\n`);
      writeFileSync(join(world.room, "tool"), "#!/bin/sh\n", { mode: 0o700 });
      expect((await world.other(["which", "./tool"])).code).toBe(1);
      chownSync(join(world.room, "tool"), ACCOUNT.uid, ACCOUNT.gid);
      expect((await world.other(["which", "./tool"])).stdout).toBe(`${world.room}/tool\n`);
      expect((await world.other(["df", "."])).code).toBe(0);
      expect(await world.other(["reboot", "--dry-run"])).toMatchObject({ stderr: "" });
      const job = (await world.other(["exec", "-d", "--", "sleep", "1000"])).stdout.trim();
      // One of somebody else, whom he may not see.
      await world.detach("--", "sleep", "1001");
      await eventually(() => world.processes(/^sleep 100[01]/).length === 2, 30_000);
      const { stdout } = await world.other(["ps", "--json", "sleep"]);
      const shown = stdout
        .split("\n")
        .filter(Boolean)
        .map((line): { uid: number; argv: string[]; job?: { id: string } } => JSON.parse(line));
      // Whoever else sleeps on this machine is not ours to count.
      expect(shown.filter((found) => found.job !== undefined)).toMatchObject([
        { uid: ACCOUNT.uid, argv: ["sleep", "1000"], job: { id: job } },
      ]);
      expect(shown.some(({ argv }) => argv.join(" ") === "sleep 1001")).toBe(true);
      expect((await world.other(["ps", "--json", "--job", job])).stdout.trim().split("\n")).toHaveLength(1);
      expect((await world.other(["ps", "--job", "99"])).code).toBe(125);
      await world.other(["kill", job]);
    },
  );
});

describe("The process that does a call for another user", () => {
  asRoot("fails that call alone when it ends, and the others go on", async () => {
    await using world = await openOtherWorld();
    const front = await pidOf(world);
    const write = (name: string) =>
      world.open(
        ["bash", "-c", `{ echo one; until [ -e go ]; do sleep 0.05; done; } | farhand wrfile ${name}`],
        {
          env: world.asOther(),
        },
      );
    const first = write("a");
    const isWriting = (count: number) => eventually(() => readdirSync(world.room).length === count, 30_000);
    await isWriting(1);
    const [victim] = runners(front).filter(isWritingFile);
    if (victim === undefined) throw new Error("Nobody writes the file that is there"); // 0 would be ourselves
    const second = write("b");
    await isWriting(2);
    process.kill(victim, "SIGKILL");
    writeFileSync(join(world.home, "go"), "");
    expect(await first.ran).toMatchObject({
      code: 125,
      stderr: expect.stringContaining('Cannot tell what came of "wrfile"'),
    });
    expect(await second.ran).toMatchObject({ code: 0 });
    expect((await world.other(["rdfile", "b"])).stdout).toBe("one\n");
    expect((await world.status()).pid).toBe(front);
  });

  asRoot("is there once for each call that is under way, and waits for the next", async () => {
    await using world = await openOtherWorld();
    const front = await pidOf(world);
    const ran = await Promise.all(Array.from({ length: 24 }, () => world.other(["stat", "."])));
    expect(ran.map(({ code }) => code)).toEqual(Array(24).fill(0));
    await eventually(() => runners(front).length <= 2, 30_000);
    const before = runners(front);
    for (let round = 0; round < 5; round++) await world.other(["ls"]);
    const after = runners(front);
    expect(after).not.toEqual([]);
    expect(before).toEqual(expect.arrayContaining(after)); // one that was not needed may have ended
    await world.farhandd(["stop"]);
    await eventually(() => before.every((pid) => !isRunning(pid)), 30_000);
  });
});

asRoot(
  "Who has all his calls done at once as another user keeps nobody else waiting for that user",
  async () => {
    await using world = await openOtherWorld({ roots: ["/tmp"] });
    const front = await pidOf(world);
    const config = join(world.home, "farhandd.toml");
    const made = await world.farhandd(["token", "create", "second", "--role", "other", "--config", config]);
    using greedy = await RawClient.open({
      url: world.local().url,
      token: world.asOther()["FARHAND_TOKEN"] ?? "",
    });
    // Each waits for bytes that never come.
    for (let call = 1; call <= 20; call++) greedy.call(call, "wrfile", { path: join(world.room, `${call}`) });
    await eventually(() => readdirSync(world.room).length === 16, 60_000);
    const others = { env: { FARHAND_TOKEN: made.stdout.trim() } };
    expect(await world.farhand(["user-name"], others)).toMatchObject({ code: 0, stdout: `${name}\n` });
    expect(runners(front).length).toBe(17);
    // Nor does what he has started wait for long, or anybody for that.
    const job = `1${crypto.randomUUID().slice(1)}`;
    greedy.call(21, "exec", { argv: ["true"], cwd: world.room }, { job });
    for (const ref of ["@last", "1"])
      expect((await world.farhand(["kill", ref])).stderr).toContain(`Cannot find job "${ref}"`);
    const isRefusal = (got: Received) =>
      got.type === "control" && got.frame.type === "failed" ? got.frame : undefined;
    expect(await greedy.next(isRefusal, 60_000)).toMatchObject({ call: 21, error: { code: "unavailable" } });
  },
);

describe("A user who cannot be become", () => {
  asRoot("is refused, and nothing is done as anybody else", async () => {
    await using world = await openOtherWorld({ run_as: "fh-no-such-user" });
    for (const args of [["exec", "--", "id"], ["ls"], ["cd", "/"], ["user-name"], ["wrfile", "/tmp/x", "x"]])
      expect(await world.other(args)).toMatchObject({
        code: 125,
        stdout: "",
        stderr: expect.stringContaining('Cannot run as "fh-no-such-user": this machine knows no such user'),
      });
    // What is the server's own is told all the same.
    expect((await world.other(["exec", "-d", "--", "id"])).code).toBe(125);
    expect((await world.farhand(["jobs", "--json"])).stdout).not.toContain('"id"');
  });

  asRoot("keeps a server that is not root from starting", async () => {
    const account = ["setpriv", `--reuid=${ACCOUNT.uid}`, `--regid=${ACCOUNT.gid}`, "--clear-groups"];
    await using world = openWorld({ inside: account });
    await Bun.spawn(["chown", "-R", own, dirname(world.home)]).exited;
    const config = join(world.home, "farhandd.toml");
    writeFileSync(config, '[roles.other]\npermissions = ["exec"]\nrun_as = "64521:64521"\n');
    const { code, stderr } = await world.farhandd(["start", "--config", config, "--listen", "127.0.0.1:0"]);
    expect([code, stderr]).toEqual([1, expect.stringContaining("only a server that runs as root")]);
  });

  asRoot("by a name that is made while the server runs is known soon, with his groups and home", async () => {
    const name = `fh${crypto.randomUUID().slice(0, 8)}`;
    await using world = await openOtherWorld({ run_as: name });
    expect((await world.other(["exec", "--", "id"])).code).toBe(125);
    const home = join(dirname(world.home), name);
    const add = [
      "useradd",
      "--create-home",
      "--home-dir",
      home,
      "--groups",
      "games",
      "--shell",
      "/bin/sh",
      name,
    ];
    await eventually(async () => (await Bun.spawn(add, { stderr: "ignore" }).exited) === 0, 30_000);
    try {
      const script = 'id -un; id -Gn; echo "$HOME $USER $LOGNAME $SHELL"; pwd';
      expect((await world.other(["exec", "--", "sh", "-c", script])).stdout).toBe(
        `${name}\n${name} games\n${home} ${name} ${name} /bin/sh\n${home}\n`,
      );
      expect((await world.other(["user-name"])).stdout).toBe(`${name}\n`);
    } finally {
      await eventually(
        async () => (await Bun.spawn(["userdel", "-f", name], { stderr: "ignore" }).exited) === 0,
        30_000,
      );
    }
    await eventually(async () => (await world.other(["exec", "--", "id"])).code === 125, 30_000);
  });
});
