import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fillDisk, findMountFault, mountOn } from "../support/directory.ts";
import { eventually } from "../support/eventually.ts";
import { testIf } from "../support/test-if.ts";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

type Line = Readonly<Record<string, unknown>> & { readonly n: number; readonly event: string };

function setup() {
  const world = openWorld();
  const directory = join(world.state, "audit");
  const parse = (text: string): Line[] =>
    text.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line)]));
  const show = async (...args: string[]) =>
    parse((await world.farhandd(["audit", "show", "--json", ...args])).stdout);
  const verify = (...args: string[]) => world.farhandd(["audit", "verify", "--json", ...args]);
  return { ...world, directory, show, verify };
}

describe("The audit log", () => {
  test("tells who called what from where, what came of it, and how each job ended", async () => {
    await using world = setup();
    await world.start();
    await world.farhand(["exec", "-e", "PASSWORD=hunter2", "--", "sh", "-c", "exit 3"]);
    const file = join(world.home, "note.txt");
    await world.farhand(["wrfile", "note.txt", "not in the log"]);
    await world.farhand(["mv", "note.txt", "moved.txt"]);
    await world.farhand(["rm", "moved.txt"]);
    await world.farhand(["rm", "no-such"]);
    await world.farhandd(["stop"]);

    const lines = await world.show();
    const who = { user: "local", source: "127.0.0.1", token: "local", session: expect.any(String) };
    const [job] = lines.flatMap(({ event, job }) => (event === "job_ended" ? [job] : []));
    expect(lines).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ event: "server_started" }),
        expect.objectContaining({ event: "session_opened", ...who }),
        expect.objectContaining({
          event: "call",
          ...who,
          command: "exec",
          job,
          argv: ["sh", "-c", "exit 3"],
          cwd: world.home,
        }),
        expect.objectContaining({
          event: "answer",
          ...who,
          command: "exec",
          outcome: "accepted",
          job,
          number: 1,
        }),
        expect.objectContaining({
          event: "job_ended",
          user: "local",
          job,
          outcome: { type: "exited", code: 3 },
        }),
        expect.objectContaining({
          event: "file",
          ...who,
          action: "write",
          path: file,
          bytes: 14,
          created: true,
        }),
        expect.objectContaining({
          event: "file",
          ...who,
          action: "move",
          path: file,
          to: join(world.home, "moved.txt"),
        }),
        expect.objectContaining({
          event: "file",
          ...who,
          action: "remove",
          path: join(world.home, "moved.txt"),
        }),
        expect.objectContaining({ event: "file", action: "remove", outcome: "os_error" }),
        expect.objectContaining({ event: "answer", command: "rm", outcome: "os_error" }),
        expect.objectContaining({ event: "server_stopped" }),
      ]),
    );
    const text = readFileSync(join(world.directory, "000000000001.ndjson"), "utf8");
    expect(text).toContain("PASSWORD");
    expect(text).not.toMatch(/hunter2|not in the log/);
  });

  test("tells of strangers who were refused, those of a minute by their number, and never what they offered", async () => {
    await using world = setup();
    await world.start();
    const { url } = world.local();
    const knock = (token: string) =>
      fetch(`${url}/v1/status`, { headers: { authorization: `Bearer ${token}` } });
    await Promise.all(Array.from({ length: 50 }, (_, index) => knock(`guessed-${index}`)));
    await fetch(`${url}/healthz`, { headers: { host: "evil.example" } });
    await world.farhandd(["stop"]);
    const refused = await world.show("--event", "refused");
    // The first of each kind, that nothing of this source is looked at any more, and how many more there were.
    const told = refused.map(
      ({ outcome, repeated = "once" }) => `${outcome} ${repeated === "once" ? repeated : "again"}`,
    );
    expect(new Set(told)).toEqual(
      new Set([
        "unauthenticated once",
        "too_many once",
        "forbidden once",
        "unauthenticated again",
        "too_many again",
      ]),
    );
    expect(refused.length).toBeLessThan(10);
    const knocks = refused.filter(({ source, outcome }) => source === "127.0.0.1" && outcome !== "forbidden");
    expect(knocks.reduce((sum, { repeated = 1 }) => sum + Number(repeated), 0)).toBe(50);
    expect(JSON.stringify(refused)).not.toContain("guessed");
  });

  test("has its line of a call before the call is done, and of a refused one as well", async () => {
    await using world = setup();
    await world.start();
    const path = join(world.directory, "000000000001.ndjson");
    const { stdout } = await world.farhand([
      "exec",
      "--",
      "sh",
      "-c",
      `grep -c '"event":"call".*"argv":."sh"' ${path}`,
    ]);
    expect(stdout).toBe("1\n");
  });

  test("is one line per event whatever names hold, and shows them harmlessly", async () => {
    await using world = setup();
    await world.start();
    const hostile = '\x1b]52;c;aGk=\x07\r\n{"n":1,"event":"forged"}\n\u202e\x9b2J';
    await world.farhand(["exec", "--", "echo", hostile]);
    await world.farhand(["touch", hostile]);
    await world.farhand(["exec", "--", "true", "x".repeat(100_000)]);
    const { stdout } = await world.farhandd(["audit", "show"]);
    const raw = readFileSync(join(world.directory, "000000000001.ndjson"), "utf8");
    for (const text of [stdout, raw]) expect(text).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
    const lines = await world.show();
    expect(lines.map(({ n }) => n)).toEqual(lines.map((_, index) => index + 1));
    expect(lines.some(({ event }) => event === "forged")).toBe(false);
    expect(raw.split("\n").every((line) => line.length < 32 * 1024)).toBe(true);
    expect(JSON.stringify(lines)).toMatch(/x…\(\d+ more\)/);
  });

  test("tells of a job that ended while no server ran, once", async () => {
    await using world = setup();
    await world.start();
    const job = await world.detach("--", "sleep", "1");
    await world.farhandd(["stop"]);
    const isOver = () => world.processes(/^sleep 1/).length === 0;
    await eventually(isOver, 20_000);
    await world.start();
    await world.farhandd(["stop"]);
    await world.start();
    const ended = await world.show("--event", "job_ended", "--job", job);
    expect(ended).toMatchObject([{ job, outcome: { type: "exited", code: 0 } }]);
  });

  test("tells what an administrator changes, whether a server runs or not, and who joins and logs in", async () => {
    await using world = setup();
    await world.farhandd(["token", "create", "ci", "--role", "viewer"]);
    await world.start();
    const added = await world.farhandd(["user", "add", "ann", "--role", "operator", "--password-stdin"], {
      stdin: "pass-word-1 is long enough\n",
    });
    await world.farhandd(["token", "revoke", "ci"]);
    await world.farhandd(["token", "revoke", "ci"]);
    await world.farhandd(["token", "list"]);
    const { url } = world.local();
    const login = (password: string) =>
      fetch(`${url}/v1/login`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ user: "ann", password, client: "here" }),
      });
    expect((await login("pass-word-1 is long enough")).status).toBe(200);
    expect((await login("pass-word-2 is long enough")).status).toBe(401);
    await world.farhandd(["stop"]);
    expect(await world.show("--event", "changed")).toMatchObject([
      { what: "token create", name: "ci", role: ["viewer"], source: "local", outcome: "ok" },
      { what: "user add", name: "ann", outcome: "ok" },
      { what: "token revoke", name: "ci", outcome: "ok" },
      { what: "token revoke", name: "ci", outcome: "not_found" },
    ]);
    expect(await world.show("--event", "logged_in")).toMatchObject([{ user: "ann", source: "127.0.0.1" }]);
    expect(await world.show("--event", "refused")).toMatchObject([{ outcome: "unauthenticated" }]);
    const text = readFileSync(join(world.directory, "000000000001.ndjson"), "utf8");
    expect(text).not.toMatch(/pass-word|fh_[\w.-]{30}/);
    expect(added.code).toBe(0);
    expect((await world.verify()).code).toBe(0);
  });

  test("tells what a reload has changed and what it could not read, and who asked for it", async () => {
    await using world = setup();
    const config = join(world.home, "farhandd.toml");
    const configure = (text: string) => writeFileSync(config, `listen = "127.0.0.1:0"\n${text}`);
    configure("");
    const { pid } = await world.start("--config", config);
    configure('[roles.deploy]\npermissions = ["read"]\n');
    await world.farhandd(["reload"]);
    const changed = () => world.show("--event", "changed");
    const asked = { user: "local", source: "127.0.0.1", token: "local" };
    expect(await changed()).toMatchObject([
      { ...asked, what: "reload configuration", now: "read", outcome: "ok" },
      { ...asked, what: "reload roles", now: expect.stringContaining("deploy"), outcome: "ok" },
    ]);
    await world.farhandd(["reload"]);
    expect(await changed()).toHaveLength(2); // nothing was different
    configure("colour = 7");
    process.kill(pid, "SIGHUP");
    await eventually(async () => (await changed()).length === 3);
    const told = (await changed())[2];
    expect(told).toMatchObject({ source: "signal", what: "reload configuration", outcome: "failed" });
    expect(told).toMatchObject({ message: expect.stringContaining("colour") });
  });

  test("belongs to its owner alone, and a caller's umask changes nothing about that", async () => {
    await using world = setup();
    await world.shell("umask 000; farhandd start --listen 127.0.0.1:0");
    expect(statSync(world.directory).mode & 0o777).toBe(0o700);
    for (const name of readdirSync(world.directory))
      expect(statSync(join(world.directory, name)).mode & 0o777).toBe(0o600);
  });
});

describe("farhandd audit", () => {
  test("verify proves the chain also while the server writes, and tells the newest hash", async () => {
    await using world = setup();
    await world.start();
    await using flood = { [Symbol.asyncDispose]: async () => void (await pings) };
    const pings = world.shell("for i in $(seq 30); do farhand cwd > /dev/null; done");
    const first = await world.verify();
    expect(first).toMatchObject({ code: 0, stderr: "" });
    const { hash } = JSON.parse(first.stdout);
    void flood;
    await pings;
    const later = await world.verify("--expect", hash);
    expect([later.code, JSON.parse(later.stdout).holds]).toEqual([0, true]);
  });

  test("verify names the line that was changed, and shows a cut tail to who kept the hash", async () => {
    await using world = setup();
    await world.start();
    await world.farhand(["cwd"]);
    await world.farhandd(["stop"]);
    const path = join(world.directory, "000000000001.ndjson");
    const { hash } = JSON.parse((await world.verify()).stdout);
    const lines = readFileSync(path, "utf8").split("\n");
    writeFileSync(path, lines.with(1, lines[1]?.replace("127.0.0.1", "127.0.0.2") ?? "").join("\n"));
    const changed = await world.farhandd(["audit", "verify"]);
    expect(changed.code).toBe(1);
    expect(changed.stdout).toStartWith("The audit log is changed at line 2 (000000000001.ndjson:2)");
    writeFileSync(path, `${lines.slice(0, -2).join("\n")}\n`);
    expect((await world.farhandd(["audit", "verify"])).code).toBe(0);
    const cut = await world.farhandd(["audit", "verify", "--expect", hash]);
    expect([cut.code, cut.stdout]).toEqual([1, expect.stringContaining("The audit log is cut")]);
  });

  test("show --follow goes on until it is stopped, and says what it cannot read of its options", async () => {
    await using world = setup();
    await world.start();
    const following = world.open(["farhandd", "audit", "show", "--follow", "--json", "--event", "call"]);
    await world.farhand(["cwd"]);
    await eventually(() => following.said().includes('"command":"cwd"'), 20_000);
    await world.farhand(["which", "sh"]);
    await eventually(() => following.said().includes('"command":"which"'), 20_000);
    following.kill("SIGINT");
    expect(await following.ran).toMatchObject({ code: 0, stderr: "" });
    for (const [args, why] of [
      [["verify", "--since", "1h"], "goes with show"],
      [["show", "--event", "nonsense"], "choose one of"],
      [["show", "--since", "yesterday"], "write how long ago"],
      [["verify", "--expect", "abc"], "64 hexadecimal digits"],
      [[], "write farhandd audit"],
    ] as const) {
      const { code, stderr } = await world.farhandd(["audit", ...args]);
      expect([code, stderr]).toEqual([1, expect.stringContaining(why)]);
    }
  });

  test("a server that was killed leaves a chain that the next goes on with", async () => {
    await using world = setup();
    for (let round = 0; round < 5; round++) {
      const { pid } = await world.start();
      const before = (await world.show()).length;
      const calls = world.shell(
        "for i in 1 2 3 4 5; do farhand --reconnect-timeout 0s cwd; done > /dev/null 2>&1",
      );
      const said = () =>
        readFileSync(join(world.directory, "000000000001.ndjson"), "utf8").split("\n").length - 1;
      await eventually(() => said() >= before + 2 * round); // each time amid another of its calls
      process.kill(pid, "SIGKILL");
      await calls;
    }
    const { code, stdout } = await world.verify();
    expect([code, JSON.parse(stdout).holds]).toEqual([0, true]);
  });
});

/** Why a directory that is not writable would be written all the same. */
const mountFault = findMountFault();

describe("While the audit log cannot be written", () => {
  testIf(mountFault === undefined, mountFault ?? "")(
    "its lines are held, and written when there is room",
    async () => {
      await using world = setup();
      mkdirSync(world.directory, { recursive: true, mode: 0o700 });
      chmodSync(world.state, 0o700);
      using _disk = mountOn(world.directory, 64 * 1024);
      await world.start();
      {
        using _full = fillDisk(world.directory);
        await world.shell("for i in $(seq 12); do farhand exec -- true 0123456789; done");
        expect(await world.farhand(["exec", "--", "echo", "works"])).toMatchObject({
          code: 0,
          stdout: "works\n",
        });
        expect(JSON.stringify(await world.show())).not.toContain("works");
      }
      const isWritten = async () => JSON.stringify(await world.show()).includes("works");
      await eventually(isWritten, 20_000);
      expect((await world.verify()).code).toBe(0);
      expect(readFileSync(join(world.state, "logs", "server.log"), "utf8")).toContain(
        "audit log not written",
      );
    },
  );

  testIf(mountFault === undefined, mountFault ?? "")(
    "and the configuration wants nothing done unrecorded, calls are refused and nothing is done",
    async () => {
      await using world = setup();
      mkdirSync(world.directory, { recursive: true, mode: 0o700 });
      chmodSync(world.state, 0o700);
      using _disk = mountOn(world.directory, 4 * 1024 * 1024); // room for all that is held meanwhile, a line for each try
      const config = join(world.home, "config.toml");
      writeFileSync(config, '[audit]\non_failure = "refuse"\n');
      await world.start("--config", config, "--listen", "127.0.0.1:0");
      {
        using _full = fillDisk(world.directory);
        const refused = async () => (await world.farhand(["touch", "made"])).code !== 0;
        await eventually(refused, 20_000); // once the last page of the file is full
        const { code, stderr } = await world.farhand(["exec", "--", "touch", "made-by-a-job"]);
        expect([code, stderr]).toEqual([125, expect.stringContaining("nothing is done unrecorded")]);
        expect(readdirSync(world.home)).not.toContain("made-by-a-job");
      }
      await eventually(async () => (await world.farhand(["cwd"])).code === 0, 20_000);
      expect((await world.verify()).code).toBe(0);
    },
  );
});
