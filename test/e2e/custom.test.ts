import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { openCallers } from "../support/callers.ts";
import { openConnected } from "../support/connected.ts";
import { eventually } from "../support/eventually.ts";
import { installCommands } from "../support/own-commands.ts";
import { hasTmux, openScreen } from "../support/terminal.ts";
import { testIf } from "../support/test-if.ts";
import { openWorld, type Ran } from "../support/world.ts";

setDefaultTimeout(60_000);

async function setup() {
  const world = openWorld();
  installCommands(world, "custom/own.ts");
  await world.start();
  return world;
}

const connect = () => openConnected((world) => installCommands(world, "custom/own.ts"));

const ended = (stdout: string, code = 0, stderr: unknown = ""): Partial<Ran> =>
  ({ code, stdout, stderr }) as Ran;
const lines = ({ stdout }: Ran): unknown[] =>
  stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

describe("commands of a server's own, on the command line,", () => {
  test("are listed, helped with and completed as built-in ones are", async () => {
    await using world = await setup();
    const listed = await world.farhand(["commands"]);
    expect(listed.stdout).toMatch(/^ls +foreground +farhand +read/m);
    expect(listed.stdout).toMatch(/^count-up +background +server +exec +Count$/m);
    expect((await world.farhand(["--help"])).stdout).toMatch(/SERVER'S OWN[^]*^ {2}count-up +Count$/m);
    const help = (await world.farhand(["deploy-all", "--help"])).stdout;
    expect(help).toContain("USAGE farhand deploy-all [OPTIONS] TO [HOSTS ...]");
    expect(help).toMatch(/--to=<to> +Where to; string; required/);
    expect(help).toMatch(/--mode=<mode> +one of fast, slow; default "fast"/);
    const complete = async (...line: string[]) =>
      (await world.farhand(["completion", "zsh", "--", ...line])).stdout
        .split("\n")
        .map((row) => row.split("\t")[1]);
    expect(await complete("depl")).toContain("deploy-all");
    expect(await complete("deploy-all", "--mode", "f")).toContain("fast");
    expect(await complete("count-up", "--max-e")).toContain("--max-exec-time");
  });

  test("answer in the foreground: what they say on the way, bytes as they are, and the result", async () => {
    await using world = await setup();
    const ran = await world.farhand(["deploy_all", "web", "a", "b", "--mode", "slow", "--max-retries", "1"]);
    expect(ran).toMatchObject(
      ended('{"host":"a"}\n{"host":"b"}\nbytes as they are\n{\n  "deployed": 2,\n  "mode": "slow"\n}\n'),
    );
    const { code, ...json } = await world.farhand(["deploy-all", "--json", "web", "a"]);
    expect([code, lines({ code, ...json })]).toMatchObject([
      0,
      [
        { type: "value", index: 0, value: { host: "a" } },
        { type: "stdout", text: "bytes as they are\n" },
        { type: "result", value: { deployed: 1, mode: "fast" } },
      ],
    ]);
    expect(await world.farhand(["deploy-all"])).toMatchObject(
      ended("", 125, expect.stringContaining("to is missing")),
    );
    expect(await world.farhand(["fail-now"])).toMatchObject(ended("", 1, "farhand: RangeError: no tape\n"));
    expect(JSON.parse((await world.farhand(["fail-now", "--json"])).stdout)).toMatchObject({
      type: "error",
      code: "threw",
      name: "RangeError",
      message: "no tape",
    });
  });

  test("become jobs, which are labelled, limited, followed and killed as any", async () => {
    await using world = await setup();
    expect(await world.farhand(["count-up", "2"])).toMatchObject(
      ended('{"n":0}\n{"n":1}\n{\n  "$date": "1970-01-01T00:00:00.000Z"\n}\n'),
    );
    const started = await world.farhand([
      "count-up",
      "1000000",
      "--pause",
      "10",
      "-d",
      "--label",
      "of=me",
      "--info",
      "7",
    ]);
    const job = started.stdout.trim();
    expect(await world.job(job)).toMatchObject({
      labels: { of: "me" },
      info: 7,
      command: "count-up",
      state: "running",
    });
    await eventually(async () =>
      (await world.farhand(["follow", job, "--no-follow"])).stdout.includes('{"n":3}'),
    );
    expect(
      await world.farhand(["follow", job, "--no-follow", "--numbered", "--until", '"n":2']),
    ).toMatchObject(ended('0\t{"n":0}\n1\t{"n":1}\n2\t{"n":2}\n'));
    expect((await world.farhand(["kill", "--all", "--label", "of=me"])).code).toBe(0);
    expect(await world.job(job)).toMatchObject({ outcome: { type: "cancelled" } });
    const late = await world.farhand(["count-up", "1000000", "--pause", "10", "--max-exec-time", "400ms"]);
    expect([late.code, late.stderr]).toEqual([124, expect.stringContaining("it ran longer than 400 ms")]);
    expect(await world.farhand(["fail-later"])).toMatchObject(
      ended("", 1, expect.stringMatching(/^RangeError: no tape\n[^]*farhand: RangeError: no tape\n$/)),
    );
    const key = ["count-up", "1", "-d", "--key", "k"];
    expect((await world.farhand(key)).stdout).toBe((await world.farhand(key)).stdout);
  });

  test("count their values from 0: follow --since, --recent and --numbered", async () => {
    await using world = await setup();
    await world.farhand(["count-up", "5"]);
    const follow = async (...args: string[]) => {
      const { stdout } = await world.farhand(["follow", "@last", ...args]);
      return stdout.split("\n").filter((line) => line.includes('"n"'));
    };
    expect(await follow("--since", "3")).toEqual(['{"n":3}', '{"n":4}']);
    expect(await follow("--recent", "1", "--numbered")).toEqual(['4\t{"n":4}']);
    expect(await follow("--recent", "2", "--no-follow", "--numbered")).toEqual(['3\t{"n":3}', '4\t{"n":4}']);
    expect(await follow("--since", "9", "--no-follow")).toEqual([]);
    expect(await follow("--tail", "6")).toEqual(['{"n":2}', '{"n":3}', '{"n":4}']);
    // The last packets are the fifth value, the exit and the close.
    expect(await follow("--recent", "3", "--unit", "packets")).toEqual(['{"n":4}']);
    expect(lines(await world.farhand(["follow", "@last", "--json", "--since", "4"]))).toMatchObject([
      { type: "value", index: 4, value: { n: 4 } },
      { type: "exit", outcome: { type: "returned", value: { $date: "1970-01-01T00:00:00.000Z" } } },
    ]);
    const returned = { type: "returned", value: { $date: "1970-01-01T00:00:00.000Z" } };
    for (const words of [
      ["wait", "@last"],
      ["job", "show", "@last"],
    ])
      expect(lines(await world.farhand([...words, "--json"]))).toMatchObject([{ outcome: returned }]);
    expect(lines(await world.farhand(["jobs", "@last", "--json"]))).toMatchObject([
      { jobs: [{ outcome: returned }] },
    ]);
    expect(lines(await world.farhand(["result", "@last", "--json"]))).toMatchObject([
      { type: "value", value: returned.value, outcome: returned },
    ]);
    expect(await world.farhand(["result", "@last"])).toMatchObject(
      ended('{"$date":"1970-01-01T00:00:00.000Z"}\n'),
    );
  });

  test("are given input while they run: from send-input, from our stdin, or none", async () => {
    await using world = await setup();
    const job = (await world.farhand(["shout", "-d"])).stdout.trim();
    await world.farhand(["send-input", job, "--newline", "hello"]);
    await world.farhand(["send-input", job, "--newline", "bye"]);
    expect(await world.farhand(["wait", job])).toMatchObject({ code: 0 });
    expect(await world.farhand(["follow", job])).toMatchObject(ended("ready\nHELLO\nBYE\n"));
    expect(await world.farhand(["shout", "--stdin"], { stdin: "a\nb" })).toMatchObject(
      ended("ready\nA\nB\n"),
    );
    expect(await world.farhand(["shout", "--no-stdin"])).toMatchObject(ended("ready\n"));
    const attached = world.open(["farhand", "attach", (await world.farhand(["shout", "-d"])).stdout.trim()], {
      stdin: "bye\n",
    });
    expect(await attached.ran).toMatchObject(ended("ready\nBYE\n"));
  });

  test("are told of Ctrl-C, which cancels one in the foreground", async () => {
    await using world = await setup();
    const polite = world.open(["farhand", "count-up", "1000000", "--pause", "10"]);
    await eventually(() => polite.said().includes('{"n":2}'));
    polite.kill("SIGINT");
    const { code, stdout } = await polite.ran;
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^stopped$/m)]);
    const foreground = world.open(["farhand", "wait-long"]);
    await eventually(() => foreground.said().includes("waiting"));
    foreground.kill("SIGINT");
    expect(await foreground.ran).toMatchObject({ code: 130 });
  });

  test("are called with JSON, and answer with JSON, of anything that a value may be", async () => {
    await using world = await setup();
    const call = (name: string, ...args: string[]) => world.farhand(["call", name, ...args]);
    expect(await call("deploy-all", "-i", '{"to": "web", "hosts": ["a"]}')).toMatchObject(
      ended('{"host":"a"}\nbytes as they are\n{"deployed":1,"mode":"fast"}\n'),
    );
    writeFileSync(join(world.home, "input.json"), '{"value": {"$date": "2026-01-02T03:04:05.000Z"}}');
    const date = '{"$date":"2026-01-02T03:04:05.000Z"}\n';
    expect(await call("echo-back", "--input", "@input.json")).toMatchObject(ended(date));
    expect(
      await world.farhand(["call", "echo-back", "-i", "-"], { stdin: '{"value": {"$bigint": "7"}}' }),
    ).toMatchObject(ended('{"$bigint":"7"}\n'));
    expect(await world.farhand(["echo-back", '{"$date": "2026-01-02T03:04:05.000Z"}'])).toMatchObject({
      code: 0,
    });
    expect(await call("count-up", "-i", '{"to": 1}')).toMatchObject(
      ended('{"n":0}\n{"$date":"1970-01-01T00:00:00.000Z"}\n'),
    );
    expect(await call("count-up", "-i", '{"to": 1}', "--json", "--label", "a=b")).toMatchObject({ code: 0 });
    expect(await world.job("@last")).toMatchObject({ labels: { a: "b" } });
    expect(await call("exec", "-i", '{"argv": ["sh", "-c", "exit 3"]}', "--label", "c=d")).toMatchObject({
      code: 3,
    });
    expect(await world.job("@last")).toMatchObject({ command: "exec", labels: { c: "d" } });
    expect((await call("cwd")).stdout).toBe(`${JSON.stringify({ cwd: world.home })}\n`);
    const refusals = [
      [["deploy-all", "-i", "{}"], '"to"'],
      [["deploy-all", "-i", "{"], "it is no JSON"],
      [["deploy-all", "-d"], "it answers at once"],
      [["nothing-of-it"], "there is no such command"],
    ] as const;
    for (const [[name, ...args], why] of refusals)
      expect(await call(name, ...args)).toMatchObject(ended("", 125, expect.stringContaining(why)));
  });

  test("are told of to whoever may call them, and nothing else, and looking them up uses nothing up", async () => {
    const role = '[roles.deployer]\npermissions = ["exec"]\ncommands = ["deploy-all"]\n';
    await using callers = await openCallers(role, (world) => installCommands(world, "custom/own.ts"));
    const alice = await callers.createToken("alice", "deployer");
    const bob = await callers.createToken("bob", "operator");
    const once = await callers.narrow(bob, "--only", "deploy-all", "--uses", "1");
    for (const token of [alice, once]) {
      const as = (...args: string[]) => callers.farhandAs(token, args);
      expect((await as("commands", "--json")).stdout).toMatch(/^\[\{"name":"deploy-all"[^]*\]\n$/);
      expect(JSON.parse((await as("commands", "--json")).stdout)).toHaveLength(1);
      expect((await as("--help")).stdout).toMatch(/^ {2}deploy-all/m);
      expect(await as("deploy-all", "web")).toMatchObject({ code: 0, stderr: "" });
      expect(await as("count-up", "1")).toMatchObject(
        ended("", 125, expect.stringContaining('Cannot call "count-up"')),
      );
    }
    expect(await callers.farhandAs(once, ["deploy-all", "web"])).toMatchObject({ code: 125 });
    expect(await callers.farhandAs(bob, ["count-up", "1"])).toMatchObject({ code: 0 });
  });

  test("are there for everybody as soon as the server has read them", async () => {
    await using stage = await connect();
    const { world, web1 } = stage;
    expect(await world.farhand(["late-comer"])).toMatchObject({ code: 125 });
    expect((await web1.call("late-comer")).error).toMatchObject({ code: "unknown_command" });
    const source = `import { defineCommand } from "farhand";
      export default defineCommand({ name: "late-comer", summary: "Come late", run: () => "here" });`;
    writeFileSync(join(world.state, "commands", "late.ts"), source);
    expect((await world.farhandd(["reload"])).code).toBe(0);
    expect(await world.farhand(["late-comer"])).toMatchObject(ended("here\n"));
    expect((await web1.call("late-comer")).result).toBe("here");
    expect((await world.farhand(["commands"])).stdout).toContain("late-comer");
    expect((await world.farhand(["completion", "fish", "--", "late"])).stdout).toBe(
      "late-comer\tCome late\n",
    );
    expect(await world.farhand(["console"], { stdin: "late-comer\n" })).toMatchObject(ended("here\n"));
  });

  testIf(hasTmux, "a console with commands of a server's own: there is no tmux")(
    "are called and completed in a console",
    async () => {
      await using world = await setup();
      await using screen = await openScreen(world, "farhand console");
      await screen.shows(/>$/);
      await screen.type("deploy-a");
      await screen.press("Tab");
      await screen.shows(/> deploy-all$/);
      await screen.type(" to=web hosts=a mode=slow");
      await screen.press("Enter");
      await screen.shows('"mode": "slow"');
      await screen.type("count-up 2 --label a=b");
      await screen.press("Enter");
      await screen.shows('{"n":1}');
      await screen.type("exit");
      await screen.press("Enter");
      await screen.shows("[ended 0]");
      expect(await world.job("@last")).toMatchObject({ labels: { a: "b" } });
    },
  );
});

describe("commands of a server's own, from TypeScript,", () => {
  test("are methods by their names, with what a value may be, events, results and errors", async () => {
    await using stage = await connect();
    const { commands } = stage.web1;
    const value = new Map([[new Date(0), new Set([1n, undefined])]]);
    expect((await commands["echoBack"]?.({ value }))?.result).toEqual(value);
    const deployed = await commands["deployAll"]?.({ to: "web", hosts: ["a", "b"] });
    expect(deployed).toMatchObject({
      events: [{ host: "a" }, { host: "b" }],
      text: "bytes as they are\n",
      result: { deployed: 2, mode: "fast" },
    });
    const counted = await stage.web1.call("count_up", { to: 3 });
    expect(counted).toMatchObject({
      events: [{ n: 0 }, { n: 1 }, { n: 2 }],
      result: new Date(0),
      exitCode: 0,
    });
    expect((await commands["failNow"]?.())?.error).toMatchObject({
      code: "threw",
      name: "RangeError",
      message: "no tape",
    });
    expect((await commands["failLater"]?.())?.error).toMatchObject({ code: "threw", name: "RangeError" });
    expect((await commands["deployAll"]?.({ to: 3 }))?.error).toMatchObject({ code: "invalid_input" });
    expect((await commands["nothingOfIt"]?.())?.error).toMatchObject({ code: "unknown_command" });
  });

  test("become jobs on the terms that a call says, and take input", async () => {
    await using stage = await connect();
    const { commands } = stage.web1;
    const listener = await commands["shout"]?.(undefined, {
      complete: false,
      labels: { a: "b" },
      limits: { execMs: 60_000 },
    });
    if (listener === undefined) throw new Error("unreachable: it answers a listener");
    await listener.sendInput("hello", { newline: true });
    await listener.sendInput("bye", { newline: true });
    const said: unknown[] = [];
    for await (const packet of listener) if (packet.type === "value") said.push(packet.value);
    expect([said, await listener.exitCode]).toEqual([["ready", "HELLO", "BYE"], 0]);
    expect((await stage.web1.jobShow("@last")).result).toMatchObject({
      labels: { a: "b" },
      limits: { execMs: 60_000 },
    });
    const fed = await commands["shout"]?.({}, { stdin: "x\ny\n" });
    expect(fed?.events).toEqual(["ready", "X", "Y"]);
    const late = await commands["countUp"]?.({ to: 1e6, pause: 10 }, { limits: { execMs: 300 }, key: "k" });
    expect(late?.outcome).toMatchObject({ type: "timed_out" });
    await expect(commands["deployAll"]?.({ to: "x" }, { key: "k" })).rejects.toMatchObject({
      code: "invalid_input",
    });
    await expect(commands["shout"]?.({}, { limits: { execMs: -1 } })).rejects.toMatchObject({
      code: "invalid_input",
    });
  });

  test("are followed by the numbers of their values", async () => {
    await using stage = await connect();
    await stage.web1.call("count-up", { to: 5 });
    const read = async (options: { since?: number; recent?: number; unit?: "packets" | "values" }) => {
      const listener = await stage.web1.follow("@last", options);
      const values: unknown[] = [];
      for await (const packet of listener)
        if (packet.type === "value") values.push([packet.index, packet.value]);
      return values;
    };
    expect(await read({ since: 3 })).toEqual([
      [3, { n: 3 }],
      [4, { n: 4 }],
    ]);
    expect(await read({ recent: 1 })).toEqual([[4, { n: 4 }]]);
    expect(await read({ recent: 1, unit: "packets" })).toEqual([]);
    expect(await read({})).toHaveLength(5);
  });
});
