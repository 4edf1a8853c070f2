import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { dirname, join } from "node:path";
import { ACCOUNT, asRoot } from "../support/account.ts";
import { eventually } from "../support/eventually.ts";
import { installCommands } from "../support/own-commands.ts";
import { isRunning, openWorld, type Ran, type World } from "../support/world.ts";

setDefaultTimeout(60_000);

async function setup() {
  const world = openWorld();
  installCommands(world, "custom/procedures.ts");
  await world.start();
  return world;
}

const ended = (stdout: string, code = 0, stderr: unknown = "") => ({ code, stdout, stderr });
/** What a command line's `--json` says went wrong. */
const refusal = ({ stdout }: Ran): unknown => JSON.parse(stdout);

/** Milliseconds that something takes. */
async function time(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

/** The job is there that a command line has started, and has said something. */
async function hasBegun(world: World, pattern: RegExp): Promise<void> {
  await eventually(
    async () => pattern.test((await world.farhand(["follow", "@last", "--no-follow"])).stdout),
    30_000,
  );
}

describe("what harpd does for its callers", () => {
  test("a procedure answers its result, null if it has none", async () => {
    await using world = await setup();
    expect(await world.farhand(["add", "1", "2"])).toMatchObject(ended("3\n"));
    expect(await world.farhand(["call", "add", "-i", '{"a": 1, "b": 2}'])).toMatchObject(ended("3\n"));
    expect(await world.farhand(["nothing"])).toMatchObject(ended(""));
    expect(await world.farhand(["nothing", "--json"])).toMatchObject(ended("null\n"));
  });

  test("a streaming procedure says its records, and then its result, if it has one", async () => {
    await using world = await setup();
    expect(await world.farhand(["call", "records", "-i", '{"count": 2}'])).toMatchObject(
      ended('{"record":0}\n{"record":1}\n{"total":2}\n'),
    );
    expect(await world.farhand(["bare-records"])).toMatchObject(ended("a\nb\n"));
    expect(await world.farhand(["result", "@last"])).toMatchObject(ended("null\n"));
    // Of a result that nobody has waited for it is told as often as anybody asks.
    const job = (await world.farhand(["records", "3", "--pause", "100", "-d"])).stdout.trim();
    const early = await world.farhand(["result", job]);
    expect(early.code).toBe(75);
    expect(await world.farhand(["result", job, "--wait"])).toMatchObject(ended('{"total":3}\n'));
    expect(await world.farhand(["result", job])).toMatchObject(ended('{"total":3}\n'));
  });

  test("positional and named arguments are the same; too few, too many and wrong ones are refused, naming the field", async () => {
    await using world = await setup();
    expect(await world.farhand(["add", "--b", "2", "--a", "1"])).toMatchObject(ended("3\n"));
    const wrong = [
      [["add", "1"], "b is missing"],
      [["add", "1", "2", "3"], 'no place for "3"'],
      [["add", "1", "x"], "Cannot use b"],
      [["call", "add", "-i", '{"a": 1}'], '"b"'],
      [["call", "add", "-i", '{"a": 1, "b": 2, "c": 3}'], '"c"'],
      [["call", "add", "-i", '{"a": 1, "b": "x"}'], '"b"'],
    ] as const;
    for (const [words, why] of wrong) {
      expect(refusal(await world.farhand([...words, "--json"]))).toMatchObject({
        type: "error",
        code: "invalid_input",
        message: expect.stringContaining(why),
      });
    }
  });

  test("each failure has its code: what there is not, what is no data, what was thrown, who may not", async () => {
    await using world = await setup();
    const said = async (...words: string[]) => refusal(await world.farhand([...words, "--json"]));
    expect(await said("no-such-procedure")).toMatchObject({ code: "unknown_command" });
    expect(await said("raise")).toMatchObject({ code: "threw", name: "TapeError", message: "no tape" });
    expect(await said("refuse")).toMatchObject({
      code: "not_found",
      message: "No such tape",
      details: { reel: 3 },
    });
    expect(await said("unsayable")).toMatchObject({
      type: "error",
      message: expect.stringMatching(/function/),
    });
    const record = await world.farhand(["unsayable-record"]);
    expect([record.code, record.stdout, record.stderr]).toEqual([
      1,
      "1\n",
      expect.stringMatching(/function/),
    ]);
    const other = { env: { FARHAND_HOST: world.local().url, FARHAND_TOKEN: "wrong" } };
    expect(refusal(await world.farhand(["add", "1", "2", "--json"], other))).toMatchObject({
      code: "unauthenticated",
    });
    expect(await said("follow", "99")).toMatchObject({ code: "not_found" });
    expect((await world.farhandd(["stop"])).code).toBe(0);
    expect(await said("add", "1", "2")).toMatchObject({
      code: expect.stringMatching(/connection_refused|unavailable/),
    });
  });

  test("a procedure knows who calls it", async () => {
    await using world = await setup();
    const caller = refusal(await world.farhand(["caller", "--json"]));
    expect(caller).toMatchObject({ user: "local", source: expect.any(String), role: expect.any(String) });
  });

  test("many calls at once are all answered: 60 of them, each of a process of their own", async () => {
    await using world = await setup();
    const calls = Array.from({ length: 60 }, (_, index) => world.farhand(["add", `${index}`, "1"]));
    expect((await Promise.all(calls)).map(({ stdout }) => stdout)).toEqual(
      Array.from({ length: 60 }, (_, index) => `${index + 1}\n`),
    );
  });
});

describe("what harpd's users missed", () => {
  test("a time limit ends a procedure, streaming or not, at work or idle, and in milliseconds", async () => {
    await using world = await setup();
    for (const name of ["hang", "spin"]) {
      const ran = await world.farhand([name, "--json"]);
      expect([ran.code, refusal(ran)]).toMatchObject([124, { code: "timed_out" }]);
    }
    const { code, stdout } = await world.farhand(["endless"]);
    expect([code, stdout.startsWith("0\n1\n")]).toEqual([124, true]);
    // The caller's own limit counts too, and as soon as it is over.
    const own = () =>
      world.farhand(["records", "1000000", "--pause", "10", "--max-exec-time", "300ms", "--grace", "100ms"]);
    expect(await time(own)).toBeLessThan(10_000);
    expect((await world.job("@last")).outcome).toMatchObject({ type: "timed_out", limit: 300 });
    const [start, end] = [(await world.job("@last")).startedAt, (await world.job("@last")).endedAt ?? ""];
    expect(Date.parse(end) - Date.parse(start)).toBeLessThan(3_000);
    expect(await world.farhand(["add", "1", "2"])).toMatchObject(ended("3\n"));
  });

  test("to cancel a procedure ends it with all that it has started, though it heeds no signal", async () => {
    await using world = await setup();
    const job = (await world.farhand(["stubborn", "-d"])).stdout.trim();
    await hasBegun(world, /^\d+$/m);
    const child = Number((await world.farhand(["follow", job, "--no-follow"])).stdout);
    expect(isRunning(child)).toBe(true);
    expect((await world.farhand(["kill", job, "--grace", "100ms"])).code).toBe(0);
    expect(isRunning(child)).toBe(false);
    expect(await world.farhand(["result", job])).toMatchObject({ code: 130 });
  });

  test("a second Ctrl-C ends what heeds no first one", async () => {
    await using world = await setup();
    const client = world.open(["farhand", "stubborn"]);
    await eventually(() => /^\d+$/m.test(client.said()));
    client.kill("SIGINT");
    await hasBegun(world, /^\d+$/m);
    client.kill("SIGINT");
    expect(await client.ran).toMatchObject({ code: 130 });
    expect(isRunning(Number(client.said()))).toBe(false);
  });

  test("a caller that goes away cancels its procedure, which is told", async () => {
    await using world = await setup();
    const path = join(world.home, "left");
    const client = world.open(["farhand", "when-left", path]);
    await eventually(() => client.said().includes("waiting"));
    client.kill("SIGHUP");
    await client.ran;
    await eventually(() => existsSync(path));
  });

  test("a record that was seen is kept: the server and its keeper may die right after", async () => {
    await using world = await setup();
    const job = (await world.farhand(["records", "100000", "--pause", "5", "-d"])).stdout.trim();
    const seen = await world.farhand(["follow", job, "--until", '"record":20}']);
    expect(seen.code).toBe(0);
    for (const pid of world.processes(/farhandd/)) process.kill(pid, "SIGKILL");
    await world.start();
    const kept = await world.farhand(["follow", job, "--no-follow", "--since", "0"]);
    expect(kept.stdout).toStartWith(seen.stdout);
    expect((await world.farhand(["follow", job, "--since", "20", "--no-follow"])).stdout).toStartWith(
      '{"record":20}\n',
    );
    expect((await world.job(job)).outcome).toMatchObject({ type: "lost" });
  });

  test("connections that say nothing, or nothing that makes sense, keep nobody waiting", async () => {
    await using world = await setup();
    const { hostname, port } = new URL(world.local().url);
    const idle = Array.from({ length: 5 }, () => createConnection(Number(port), hostname));
    idle.at(-1)?.write("\x16\x03\x01 this is no request\r\n\r\n");
    for (const socket of idle) socket.on("error", () => {});
    expect(await time(() => world.farhand(["add", "1", "2"]))).toBeLessThan(20_000);
    expect(await world.farhand(["add", "1", "2"])).toMatchObject(ended("3\n"));
    for (const socket of idle) socket.destroy();
  });

  asRoot("run_as is obeyed by streaming procedures too, whoever calls", async () => {
    await using world = openWorld();
    chmodSync(dirname(world.home), 0o755);
    const commands = join(world.state, "commands");
    mkdirSync(commands, { recursive: true, mode: 0o700 });
    const define = (name: string, rest: string) =>
      `defineCommand({ name: "${name}", summary: "Who", runAs: "${ACCOUNT.runAs}", ${rest} })`;
    const whoAmI = "[process.getuid(), process.getgid(), ...process.getgroups()].join()";
    writeFileSync(
      join(commands, "who.ts"),
      `import { defineCommand, v } from "farhand";
      export default [
        ${define("who", `run: () => ${whoAmI}`)},
        ${define("who-streams", `kind: "background", event: v.string(), async *run() { yield ${whoAmI}; }`)},
      ];`,
    );
    await world.start();
    const who = new RegExp(`^${ACCOUNT.uid},${ACCOUNT.gid}(,${ACCOUNT.gid})?\n$`);
    expect(await world.farhand(["who"])).toMatchObject(ended(expect.stringMatching(who)));
    expect(await world.farhand(["who-streams"])).toMatchObject(ended(expect.stringMatching(who)));
  });
});
