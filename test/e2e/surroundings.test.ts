import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FARHAND, FARHANDD } from "../support/built.ts";
import { openWorld, readProcess } from "../support/world.ts";

setDefaultTimeout(60_000);

async function setup() {
  const world = openWorld();
  const trap = (file: string) =>
    `require("node:fs").writeFileSync(${JSON.stringify(join(world.home, file))}, "");`;
  /** Lays out everything that a runtime might pick up by itself; each writes a file if it is. */
  const layTraps = (directory: string) => {
    const modules = ["hono", "valibot", "citty"];
    writeFileSync(join(directory, "trap.cjs"), trap("preloaded"));
    writeFileSync(join(directory, "bunfig.toml"), 'preload = ["./trap.cjs"]\nlogLevel = "debug"\n');
    writeFileSync(join(directory, "package.json"), '{"name":"trap","main":"./trap.cjs","type":"commonjs"}');
    writeFileSync(join(directory, "tsconfig.json"), '{"compilerOptions":{"paths":{"*":["./trap.cjs"]}}}');
    writeFileSync(join(directory, ".npmrc"), "registry=http://127.0.0.1:1/\n");
    const dotenv = "FARHAND_STATE=/no/such/state\nFARHAND_HOST=nowhere.invalid\nDOTENV=read\n";
    for (const name of [".env", ".env.local", ".env.production", ".env.development"])
      writeFileSync(join(directory, name), dotenv);
    for (const name of modules) {
      mkdirSync(join(directory, "node_modules", name), { recursive: true });
      writeFileSync(join(directory, "node_modules", name, "index.js"), trap("imported"));
    }
  };
  const sprung = () => ["preloaded", "imported"].filter((file) => existsSync(join(world.home, file)));
  return { ...world, layTraps, sprung };
}

describe("Started in a hostile directory", () => {
  test("client, server, keeper and job take nothing from it", async () => {
    await using world = await setup();
    world.layTraps(world.home);
    const { listen } = await world.start();
    expect(listen.length).toBe(1);
    const { code, stdout, stderr } = await world.farhand(["exec", "--", "env"]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).not.toContain("DOTENV");
    expect((await world.farhand(["ping"])).code).toBe(0);
    expect(world.sprung()).toEqual([]);
  });

  test("with hostile files beside the executables they take nothing either", async () => {
    await using world = await setup();
    for (const path of [FARHAND, FARHANDD])
      copyFileSync(path, join(world.home, path.split("/").at(-1) ?? ""));
    world.layTraps(world.home);
    const { code, stdout } = await world.shell(
      "./farhandd start --listen 127.0.0.1:0 > started && ./farhand exec -- echo here",
    );
    expect([code, stdout]).toEqual([0, "here\n"]);
    expect(world.sprung()).toEqual([]);
  });
});

test("BUN_* and FARHAND_* of the front reach neither the keeper nor a job", async () => {
  await using world = await setup();
  const env = {
    BUN_OPTIONS: "--smol",
    BUN_CONFIG_VERBOSE_FETCH: "0",
    FARHAND_TOKEN: "secret",
    ORDINARY: "kept",
  };
  const started = await world.farhandd(["start", "--listen", "127.0.0.1:0", "--json"], { env });
  expect(started.code).toBe(0);
  const { keepers } = JSON.parse(started.stdout);
  const inherited = readProcess(keepers[0].pid, "environ");
  expect(inherited).toContain("ORDINARY=kept");
  expect(inherited).not.toMatch(/(^| )(BUN|FARHAND)_/);
  const { stdout } = await world.farhand(["exec", "--", "env"]);
  expect(stdout).toContain("ORDINARY=kept\n");
  expect(stdout).not.toMatch(/^(BUN|FARHAND)_(?!JOB=)/m);
});

test("An environment that would have Bun or Node load, tell, trust or ask more does nothing to either executable", async () => {
  await using world = await setup();
  let asked = 0;
  using proxy = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { open: () => void asked++, data() {} },
  });
  world.layTraps(world.home);
  const trap = join(world.home, "trap.cjs");
  const through = `http://127.0.0.1:${proxy.port}`;
  const env = {
    NODE_OPTIONS: `--require=${trap}`,
    NODE_PATH: join(world.home, "node_modules"),
    BUN_PRELOAD: trap,
    BUN_CONFIG_PRELOAD: trap,
    BUN_INSPECT: "ws://127.0.0.1:0/inspect",
    BUN_INSPECT_PRELOAD: trap,
    BUN_CONFIG_VERBOSE_FETCH: "curl",
    SSLKEYLOGFILE: join(world.home, "keys.log"),
    NODE_TLS_REJECT_UNAUTHORIZED: "0",
    NODE_EXTRA_CA_CERTS: join(world.home, "missing.pem"),
    HTTP_PROXY: through,
    http_proxy: through,
    ALL_PROXY: through,
    NO_PROXY: "",
  };
  const ran = [
    await world.farhandd(["start", "--listen", "127.0.0.1:0"], { env }),
    await world.farhandd(["status"], { env }),
    await world.farhandd(["token", "create", "ci", "--out", join(world.home, "ci.token")], { env }),
    await world.farhandd(["reload"], { env }),
    await world.farhand(["exec", "--", "echo", "here"], { env }),
    await world.farhand(["host", "add", "it", "--address", world.local().url], { env }),
    await world.farhand(["ls"], { env }),
    await world.farhandd(["stop"], { env }),
  ];
  const { stdout: secret } = await world.shell("cat ci.token");
  for (const { stdout, stderr } of ran) {
    expect(stdout + stderr).not.toMatch(/authorization|fh_\w+[._][\w-]{40}/i);
    expect(stdout + stderr).not.toContain(secret.trim());
  }
  expect(ran[4]).toMatchObject({ code: 0, stdout: "here\n", stderr: "" });
  expect(ran.at(-1)?.code).toBe(0);
  expect(world.sprung()).toEqual([]);
  expect(existsSync(env.SSLKEYLOGFILE)).toBe(false);
  expect(asked).toBe(0);
});

test("Variables that a call sets for its program reach nothing that starts it", async () => {
  await using world = await setup();
  await world.start();
  const names = ["LD_PRELOAD", "BUN_OPTIONS", "BUN_INSPECT", "NODE_OPTIONS", "SSLKEYLOGFILE"];
  const set = names.flatMap((name) => ["--env", `${name}=/no/such/hostile`]);
  const { code, stdout } = await world.farhand([
    "exec",
    ...set,
    "--max-memory",
    "1GiB",
    "--",
    "/usr/bin/env",
  ]);
  expect(code).toBe(0);
  for (const name of names) expect(stdout).toContain(`${name}=/no/such/hostile\n`);
  await world.detach(...set, "--", "sleep", "60");
  const touched = world
    .processes(/./)
    .filter((pid) => readProcess(pid, "environ").includes("/no/such/hostile"));
  expect(touched.map((pid) => readProcess(pid, "cmdline").trim())).toEqual(["sleep 60"]);
});

test("BUN_BE_BUN of a call reaches the job and nothing else", async () => {
  await using world = await setup();
  await world.start();
  const { stdout } = await world.farhand([
    "exec",
    "--env",
    "BUN_BE_BUN=1",
    "--",
    "sh",
    "-c",
    "echo $BUN_BE_BUN",
  ]);
  expect(stdout).toBe("1\n");
  expect((await world.farhand(["exec", "--", "echo", "here"])).stdout).toBe("here\n");
});

test("The pair works alone in an empty directory, with an empty PATH and no other environment", async () => {
  await using world = await setup();
  const place = join(world.home, "alone");
  mkdirSync(place);
  for (const path of [FARHAND, FARHANDD]) copyFileSync(path, join(place, path.split("/").at(-1) ?? ""));
  const { code, stdout, stderr } = await world.shell(
    `run() { /usr/bin/env -i PATH= HOME="$PWD" FARHAND_STATE="$PWD/state" WORLD_MARK="$WORLD_MARK" "$@"; }
     run ./farhandd start --listen 127.0.0.1:0 > /dev/null &&
     echo input | run ./farhand exec -- /bin/cat &&
     run ./farhand exec -- /bin/sh -c 'exit 7'; echo $?
     run ./farhand exec -- cat; echo $?
     run ./farhandd stop > /dev/null`,
    { cwd: place },
  );
  expect([code, stdout]).toEqual([0, "input\n7\n127\n"]);
  expect(stderr).toContain('Cannot run "cat"');
  expect(readdirSync(place).sort()).toEqual(["farhand", "farhandd", "state"]);
});

/** Namespaces of its own; where there is no root, users' too. */
const UNSHARE = process.getuid?.() === 0 ? "-pmf" : "-Urpmf";

function findChrootFault(): string | undefined {
  if (process.platform !== "linux") return "a root directory of its own is Linux's";
  if (Bun.which("busybox") === null) return "there is no busybox";
  const probe = ["unshare", UNSHARE, "--mount-proc", "true"];
  const { success, stderr } = Bun.spawnSync(probe, { stderr: "pipe" });
  return success ? undefined : `no namespace: ${stderr.toString().trim()}`;
}

const fault = findChrootFault();

test.skipIf(fault !== undefined)(
  `The pair works in a root directory with nothing but libc, busybox, /proc and /dev/null${fault ? ` (skipped: ${fault})` : ""}`,
  async () => {
    await using world = await setup();
    const { code, stdout, stderr } = await world.shell(
      `mkdir -p root/bin root/proc root/dev root/root && touch root/dev/null &&
       cp "$(command -v busybox)" root/bin/busybox && ln -s busybox root/bin/sh && ln -s busybox root/bin/seq &&
       cp ${FARHAND} ${FARHANDD} root/ &&
       for file in $({ ldd "$(command -v busybox)"; ldd ${FARHANDD}; } 2>/dev/null | grep -o '/[^ ]*' | grep -v : | sort -u); do
         mkdir -p "root\${file%/*}" && cp "$file" "root$file"
       done
       unshare ${UNSHARE} sh -c '
         mount -t proc proc root/proc && mount --bind /dev/null root/dev/null &&
         exec chroot root /bin/busybox env -i PATH=/bin HOME=/root WORLD_MARK='"$WORLD_MARK"' /bin/sh -c "
           /farhandd start --listen 127.0.0.1:0 > /dev/null || exit 90
           /farhand exec -- seq 1 20000 | /bin/busybox md5sum
           /farhand exec -- sh -c \\"exit 7\\"; echo \\$?
           /farhandd stop > /dev/null"'`,
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const sum = await world.shell("seq 1 20000 | md5sum");
    expect(stdout).toBe(`${sum.stdout}7\n`);
  },
);
