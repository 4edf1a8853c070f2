import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { version } from "../../package.json";
import { FARHANDD } from "../support/built.ts";
import { eventually } from "../support/eventually.ts";
import { testIf } from "../support/test-if.ts";
import { isRunning, openWorld, readProcess } from "../support/world.ts";

setDefaultTimeout(60_000);

/** A world whose server is not yet started. */
async function setup() {
  const world = openWorld();
  const configure = (toml: string) => {
    const path = join(world.home, "farhandd.toml");
    writeFileSync(path, toml);
    return path;
  };
  return { ...world, configure };
}

describe("start", () => {
  test("returns when the server answers, and status tells what it is", async () => {
    await using world = await setup();
    const { code, stdout } = await world.farhandd(["start", "--listen", "127.0.0.1:0"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^farhandd \S+ listens on 127\.0\.0\.1:\d+ with pid \d+\n$/);
    expect((await world.farhand(["exec", "--", "echo", "here"])).stdout).toBe("here\n");
    const status = await world.status();
    const [keeper] = status.keepers;
    const pids = [status.pid, keeper?.pid ?? 0];
    expect(pids.map(isRunning)).toEqual([true, true]);
    expect(new Set(pids).size).toBe(2);
    expect(status).toMatchObject({
      running: true,
      version,
      listen: [expect.stringMatching(/^127\.0\.0\.1:\d+$/)],
      jobs: { running: 0, total: 1 },
    });
  });

  test("leaves address and token where only this user can read them", async () => {
    await using world = await setup();
    await world.start();
    const mode = (path: string) => statSync(path).mode & 0o777;
    expect(mode(world.state)).toBe(0o700);
    expect(mode(join(world.state, "local.json"))).toBe(0o600);
    expect(mode(join(world.state, "ledgers"))).toBe(0o700);
    expect(world.local().url).toBe(`http://${(await world.status()).listen[0]}`);
  });

  test("on both loopback addresses serves both", async () => {
    await using world = await setup();
    const { listen } = await world.start("--listen", "127.0.0.1:0", "--listen", "[::1]:0");
    const { token } = world.local();
    expect(listen.length).toBe(2);
    for (const address of listen) {
      const env = { FARHAND_TOKEN: token, FARHAND_HOST: address };
      expect((await world.farhand(["exec", "--", "echo", "here"], { env })).stdout).toBe("here\n");
    }
  });

  test("on a state directory that another server holds says who holds it", async () => {
    await using world = await setup();
    const { pid, listen } = await world.start();
    const second = await world.farhandd(["start", "--listen", "127.0.0.1:0"]);
    expect([second.code, second.stdout]).toEqual([1, ""]);
    expect(second.stderr).toBe(
      `farhandd: Cannot start: farhandd runs already with pid ${pid} at http://${listen[0]}\n`,
    );
    const serve = await world.farhandd(["serve", "--listen", "127.0.0.1:0"]);
    expect(serve.code).toBe(1);
    expect(serve.stderr).toContain(`farhandd with pid ${pid} at http://${listen[0]} holds it`);
    expect((await world.farhand(["exec", "--", "echo", "here"])).stdout).toBe("here\n");
  });

  test("takes over after kill -9, by a lock that is never stale", async () => {
    await using world = await setup();
    const { pid } = await world.start();
    process.kill(pid, "SIGKILL");
    await eventually(() => !isRunning(pid), 30_000);
    expect((await world.farhandd(["status"])).code).toBe(3);
    const again = await world.start();
    expect(again.pid).not.toBe(pid);
    expect((await world.farhand(["exec", "--", "echo", "here"])).stdout).toBe("here\n");
  });

  test("on a port in use exits with 1 and names the port and its owner", async () => {
    await using world = await setup();
    using other = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const { code, stderr } = await world.farhandd(["start", "--listen", `127.0.0.1:${other.port}`]);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      new RegExp(
        `^farhandd: Cannot listen on 127.0.0.1:${other.port}: the port is in use by \\S+ with pid ${process.pid};.*\\n$`,
      ),
    );
    expect((await world.farhandd(["status"])).code).toBe(3);
  });

  const lowest = Number(readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8"));
  testIf(
    process.getuid?.() === 0 && lowest > 80,
    "becoming somebody else takes root, or any port is free to all",
  )("on a privileged port exits with 1, and says whose it is", async () => {
    await using world = await setup();
    const farhandd = join(world.home, "farhandd");
    copyFileSync(FARHANDD, farhandd);
    for (const path of [join(world.home, ".."), world.home]) chmodSync(path, 0o777);
    const become = "setpriv --reuid 65534 --regid 65534 --clear-groups";
    const { code, stderr } = await world.shell(
      `${become} ${farhandd} start --state ${world.home}/own --listen 127.0.0.1:80`,
    );
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/^farhandd: Cannot listen on 127\.0\.0\.1:80: ports so low are for root.*\n$/),
    ]);
  });

  test("on another server's port exits with 1 and names that server, and does not share the port", async () => {
    await using first = await setup();
    await using second = await setup();
    const { pid, listen } = await first.start();
    const { code, stdout, stderr } = await second.farhandd(["start", "--listen", String(listen[0])]);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toBe(
      `farhandd: Cannot listen on ${listen[0]}: the port is in use by farhandd with pid ${pid}; ` +
        "choose another with --listen\n",
    );
    expect((await second.farhandd(["status"])).code).toBe(3);
    expect((await first.farhand(["exec", "--", "echo", "here"])).stdout).toBe("here\n");
  });

  test("is called farhandd by the system, as its keeper is, also after the file was replaced", async () => {
    await using world = await setup();
    const path = join(world.home, "farhandd");
    copyFileSync(FARHANDD, path);
    const { stdout } = await world.shell("./farhandd start --listen 127.0.0.1:0 --json");
    const { pid, keepers } = JSON.parse(stdout);
    const nameOf = (pid: number | undefined) => readProcess(pid ?? 0, "comm");
    expect([pid, keepers[0].pid].map(nameOf)).toEqual(["farhandd\n", "farhandd\n"]);

    writeFileSync(`${path}.new`, "another version");
    renameSync(`${path}.new`, path);
    process.kill(keepers[0].pid, "SIGKILL");
    await eventually(async () => (await world.farhand(["exec", "--", "true"])).code === 0, 30_000);
    const [next] = (await world.status()).keepers;
    expect([next?.pid === keepers[0].pid, nameOf(next?.pid)]).toEqual([false, "farhandd\n"]);
  });

  test("leaves its words in server.log alone, once each, and no file of its own", async () => {
    await using world = await setup();
    await world.start();
    expect((await world.farhandd(["start", "--listen", "127.0.0.1:0"])).code).toBe(1);
    await world.farhandd(["stop"]);
    await world.start();
    const logs = join(world.state, "logs");
    expect(readdirSync(logs).sort()).toEqual(["keeper.err", "keeper.log", "server.log"]);
    const said = readFileSync(join(logs, "server.log"), "utf8");
    expect(said.match(/listening/g)).toHaveLength(2);
    expect(said.match(/stopping/g)).toHaveLength(1);
  });

  test("of several at once lets one server run, and the others say who runs", async () => {
    await using world = await setup();
    const starts = await Promise.all(
      [1, 2, 3, 4].map(() => world.farhandd(["start", "--listen", "127.0.0.1:0"])),
    );
    const [started, ...refused] = starts.toSorted((a, b) => Number(a.code) - Number(b.code));
    expect(started?.code).toBe(0);
    for (const { code, stderr } of refused) {
      expect(code).toBe(1);
      expect(stderr).toMatch(/^farhandd: Cannot (use state directory|start: farhandd runs already).*\n$/);
    }
    expect((await world.farhandd(["status"])).code).toBe(0);
  });

  test("on a state directory that is a file, or an address that is none, says so", async () => {
    await using world = await setup();
    writeFileSync(world.state, "");
    const file = await world.farhandd(["start", "--listen", "127.0.0.1:0"]);
    expect([file.code, file.stderr]).toEqual([
      1,
      `farhandd: Cannot use state directory "${world.state}": it, or one of its rooms, is a file; ` +
        "name a directory, or one that is still to be made\n",
    ]);
    const address = await world.farhandd(["start", "--listen", "127.999.0.1:0"]);
    expect([address.code, address.stderr]).toEqual([
      1,
      'farhandd: Cannot listen on "127.999.0.1:0": write host:port, such as 127.0.0.1:9922, [::1]:9922 or 0.0.0.0:9922, or unix:/path\n',
    ]);
  });

  test("on an address that is none of this machine's is refused with a sentence", async () => {
    await using world = await setup();
    for (const [address, why] of [
      ["192.0.2.77:9922", "192.0.2.77:9922: this machine has no such address; choose another with --listen"],
      [
        "nosuch.invalid",
        '"nosuch.invalid": no machine of that name is known; name an address of this one, or 0.0.0.0 for all',
      ],
    ]) {
      const { code, stderr } = await world.farhandd(["start", "--listen", String(address)]);
      expect([code, stderr]).toEqual([1, `farhandd: Cannot listen on ${why}\n`]);
    }
  });

  test("reports why the server cannot use its state directory", async () => {
    await using world = await setup();
    mkdirSync(world.state);
    chmodSync(world.state, 0o755);
    const open = await world.farhandd(["start", "--listen", "127.0.0.1:0"]);
    expect([open.code, open.stderr]).toEqual([1, expect.stringContaining("others may enter it")]);

    chmodSync(world.state, 0o700);
    writeFileSync(join(world.state, "state.db"), "this is no database, whatever its name says\n".repeat(100));
    const broken = await world.farhandd(["start", "--listen", "127.0.0.1:0"]);
    expect(broken.code).toBe(1);
    expect(broken.stderr).toMatch(/^farhandd: .*database.*\n$/);
  });
});

describe("Configuration", () => {
  test("in a file is used, and flags come before it", async () => {
    await using world = await setup();
    const config = world.configure('listen = "127.0.0.1:0"\n[log]\nlevel = "debug"\n');
    const { listen } = await world.start("--config", config);
    expect(listen[0]).toMatch(/^127\.0\.0\.1:/);
    await world.farhandd(["stop"]);
    const { stdout } = await world.farhandd(["start", "--config", config, "--listen", "[::1]:0", "--json"]);
    expect(JSON.parse(stdout).listen[0]).toMatch(/^\[::1\]:/);
  });

  test("with an unknown key or a wrong value is refused by the key's path", async () => {
    await using world = await setup();
    for (const [toml, sentence] of [
      ['lisen = "127.0.0.1:0"', 'at "lisen": this key is unknown'],
      ['[log]\ncolour = "red"', 'at "log.colour": this key is unknown'],
      ['[log]\nlevel = "loud"', 'at "log.level": expected'],
      ["listen = [", "Cannot read configuration"],
    ] as const) {
      const { code, stderr } = await world.farhandd(["start", "--config", world.configure(toml)]);
      expect([toml, code]).toEqual([toml, 1]);
      expect(stderr).toContain(sentence);
    }
  });

  test("that is missing, and a flag that is unknown, are refused", async () => {
    await using world = await setup();
    const missing = await world.farhandd(["start", "--config", "/no/such/file"]);
    expect([missing.code, missing.stderr]).toEqual([1, expect.stringContaining('"/no/such/file"')]);
    const unknown = await world.farhandd(["start", "--colour", "red"]);
    expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringContaining("--colour")]);
  });
});

describe("A server that is frozen", () => {
  test("is named by status, stop and start within seconds, each of which exits with 1", async () => {
    await using world = await setup();
    const { pid } = await world.start();
    process.kill(pid, "SIGSTOP");
    const ran = await Promise.all(["status", "stop", "start"].map((verb) => world.farhandd([verb])));
    for (const { code, stdout, stderr } of ran) {
      expect([code, stdout]).toEqual([1, ""]);
      expect(stderr).toMatch(new RegExp(`^farhandd: Cannot reach farhandd: pid ${pid} runs but .*\\n$`));
    }
    process.kill(pid, "SIGCONT");
    expect((await world.farhandd(["status"])).code).toBe(0);
  });

  test("is not seen where one that was killed left its address, and now somebody else is silent", async () => {
    await using world = await setup();
    using other = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    mkdirSync(world.state, { mode: 0o700 });
    const left = { url: `http://127.0.0.1:${other.port}`, token: "old", pid: process.pid, version };
    writeFileSync(join(world.state, "local.json"), JSON.stringify(left));
    expect((await world.farhandd(["status"])).code).toBe(3);
  });
});

test("--help tells of --version and the exit codes, and -V tells the version, before a command and after it", async () => {
  await using world = await setup();
  for (const args of [["--help"], ["-h"], ["help"], []]) {
    const { code, stdout } = await world.farhandd(args);
    expect([args, code]).toEqual([args, 0]);
    expect(stdout).toContain("-V, --version");
    expect(stdout).toContain("EXIT CODES");
  }
  const one = await world.farhandd(["status", "--help"]);
  expect([one.code, one.stdout]).toEqual([0, expect.stringContaining("farhandd status")]);
  expect(one.stdout).toContain("EXIT CODES");
  for (const args of [["dance"], ["dance", "--help"], ["--json", "status"]]) {
    const { code, stderr } = await world.farhandd(args);
    expect([args, code, stderr]).toEqual([
      args,
      1,
      `farhandd: Cannot do "${args[0]}": see farhandd --help\n`,
    ]);
  }
  for (const args of [["--version"], ["-V"], ["status", "-V"]]) {
    const { code, stdout } = await world.farhandd(args);
    expect([args, code, stdout]).toEqual([
      args,
      0,
      expect.stringMatching(new RegExp(`^farhandd ${version} \\(.+\\)\n$`)),
    ]);
  }
});

describe("stop", () => {
  test("ends the server, and the keeper when it has no jobs", async () => {
    await using world = await setup();
    const { pid, keepers } = await world.start();
    expect(await world.farhandd(["stop"])).toMatchObject({ code: 0 });
    await eventually(() => !isRunning(pid) && !isRunning(keepers[0]?.pid ?? 0), 30_000);
    expect((await world.farhandd(["status"])).code).toBe(3);
    expect(JSON.parse((await world.farhandd(["status", "--json"])).stdout)).toMatchObject({ running: false });
  });

  test("without a server says so and exits with 1", async () => {
    await using world = await setup();
    const { code, stderr } = await world.farhandd(["stop"]);
    expect([code, stderr]).toEqual([1, expect.stringContaining("no farhandd answers")]);
  });
});

describe("serve", () => {
  test("runs in the foreground until a signal, and exits with 0", async () => {
    await using world = await setup();
    const server = world.open(["farhandd", "serve", "--listen", "127.0.0.1:0"]);
    const reached = await world.farhand(["--connect-timeout", "30s", "exec", "--", "echo", "here"]);
    expect(reached).toMatchObject({ code: 0, stdout: "here\n" });
    server.kill("SIGTERM");
    const { code, stderr } = await server.ran;
    expect(code).toBe(0);
    expect(stderr).toContain("listening");
  });
});

test("Neither stderr nor the logs ever hold the token", async () => {
  await using world = await setup();
  await world.start("--log-level", "debug");
  const { token } = world.local();
  await world.farhand(["exec", "--log-level", "debug", "--", "true"]);
  const { code } = await world.shell(`grep -rqF '${token}' "$FARHAND_STATE/logs" "$FARHAND_STATE/ledgers"`);
  expect(code).toBe(1);
});
