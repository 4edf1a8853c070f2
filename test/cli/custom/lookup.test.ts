import { describe, expect, test } from "bun:test";
import type { RecordedOutcome } from "../../../src/protocol/outcome.ts";
import { toValue } from "../../../src/protocol/value.ts";
import { run } from "../../support/cli.ts";
import { accept, answer, openCustomServer } from "../../support/custom-server.ts";
import { eventually } from "../../support/eventually.ts";
import { toRecord } from "../../support/server-peer.ts";

const said = [
  toRecord("value", 0, { step: 1 }),
  toRecord("value", 1, '"two"'),
  toRecord("stdout", 2, "bytes\n"),
];

/** A server whose foreground command says something and answers `done`. */
const setup = () => openCustomServer((call, peer) => answer(call, peer, said, { done: true }));

/** A server whose background command ends so. */
const setupJob = (outcome: RecordedOutcome) =>
  openCustomServer((call, peer) =>
    accept(call, peer, [
      toRecord("value", 0, { step: 1 }),
      toRecord("value", 1, '"two"'),
      toRecord("exit", 2, {
        outcome,
        totals: { packets: 2, values: 2, stdoutBytes: 0, stderrBytes: 0 },
        endedAt: "",
      }),
    ]),
  );

describe("A command that only the server knows, on the command line,", () => {
  test("is asked for once, on the connection on which it is then called", async () => {
    await using server = setup();
    const ran = await run(["deploy-all", "web", "a", "b", "--mode", "slow", "--max-retries=3", "--no-deep"], {
      server,
    });
    expect(ran).toEqual({ code: 0, stdout: '{"step":1}\ntwo\nbytes\n{\n  "done": true\n}\n', stderr: "" });
    expect(server.peers).toHaveLength(1);
    const [listed, called, ...others] = server.peers[0]?.of("call") ?? [];
    expect([listed?.command, listed?.input.value, others]).toEqual([
      "commands",
      { names: ["deploy-all"] },
      [],
    ]);
    expect(called).toMatchObject({
      command: "deploy-all",
      input: { value: { to: "web", hosts: ["a", "b"], mode: "slow", maxRetries: 3, deep: false } },
    });
  });

  test("may be named, and its fields too, with underscores, in camelCase, and as name=value", async () => {
    await using server = setup();
    const input = { to: "web", maxRetries: 3, host: "x" };
    for (const line of [
      "deploy_all web --max_retries 3 --field-host x",
      "deploy-all to=web maxRetries=3 host=x",
      "deploy-all --maxRetries 3 --to web host=x",
      "deploy-all max-retries=3 host=x -- web",
    ]) {
      expect(await run(line.split(" "), { server })).toMatchObject({ code: 0, stderr: "" });
      const call = server.peers.at(-1)?.of("call").at(-1);
      expect([call?.command, call?.input.value]).toEqual(["deploy-all", input]);
    }
    await run(["deploy-all", "--", "to=web"], { server });
    expect(server.peers.at(-1)?.of("call").at(-1)?.input.value).toEqual({ to: "to=web" });
  });

  test("takes the options of every verb before it and behind it, and goes to the server that they name", async () => {
    await using server = setup();
    const env = { FARHAND_HOST: "127.0.0.1:1", FARHAND_TOKEN: "t" };
    for (const line of [
      `-H ${server.url} deploy-all web --json`,
      `deploy-all --json web -H ${server.url}`,
      `--json deploy-all web --host=${server.url}`,
    ]) {
      const { code, stdout } = await run(line.split(" "), { env });
      expect(code).toBe(0);
      expect(
        stdout
          .trim()
          .split("\n")
          .map((text) => JSON.parse(text)),
      ).toMatchObject([
        { type: "value", number: 0, value: { step: 1 } },
        { type: "value", number: 1, value: "two" },
        { type: "stdout", text: "bytes\n" },
        { type: "result", value: { done: true } },
      ]);
    }
  });

  test("is called where it was asked for, or not at all", async () => {
    await using server = setup();
    const { code, stderr } = await run(["deploy-all", "--to", "--host", server.url], {
      env: { FARHAND_HOST: server.url, FARHAND_TOKEN: "t" },
    });
    expect([code, stderr]).toEqual([125, expect.stringContaining('Cannot tell what "--host" belongs to')]);
    expect(server.peers[0]?.of("call").map(({ command }) => command)).toEqual(["commands"]);
  });

  test("explains itself from its schema: fields with types, choices, defaults, and what is required", async () => {
    await using server = setup();
    for (const words of [
      ["deploy-all", "--help"],
      ["help", "deploy_all"],
    ]) {
      const { code, stdout } = await run(words, { server });
      expect(code).toBe(0);
      expect(stdout).toContain("USAGE farhand deploy");
      expect(stdout).toContain("TO [HOSTS ...]");
      expect(stdout).toMatch(/--to.*Where to; string; required/);
      expect(stdout).toMatch(/--mode.*one of fast, slow; default "fast"/);
      expect(stdout).toMatch(/--max-retries.*How often it is tried; integer/);
      expect(stdout).toMatch(/--field-host/);
    }
    expect((await run(["nightly", "--help"], { server })).stdout).toMatch(
      /--label=<label> +string[^]*--max-exec-time/,
    );
    expect(server.peers.flatMap((peer) => peer.of("call").map(({ command }) => command))).not.toContain(
      "deploy-all",
    );
  });

  test("is in the help of all, if the server says so", async () => {
    await using server = setup();
    const ask = () => run(["--help"], { server });
    let told = await ask();
    // One that does not answer at once is left out.
    await eventually(async () => told.stdout.includes("deploy-all") || !(told = await ask()));
    expect([told.code, told.stderr]).toEqual([0, ""]);
    expect(told.stdout).toMatch(/^ {2}deploy-all {2}Deploy to everywhere\n {2}nightly {5}Run every night$/m);
    expect((await run(["--help"])).stdout).not.toContain("SERVER'S OWN");
  });

  test.each([
    [["deploy-all"], "to is missing"],
    [["deploy-all", "web", "--mode", "x"], 'Cannot use mode "x": choose one of fast, slow'],
    [["deploy-all", "web", "--max-retries", "x"], 'Cannot use maxRetries "x": write a whole number'],
    [["deploy-all", "web", "--bogus"], '"--bogus"'],
    [["nightly", "a", "b"], 'there is no place for "b"'],
    [["nightly", "--max-exec-time", "x"], "Cannot read duration"],
  ])("refuses %j, naming the field", async (words, why) => {
    await using server = setup();
    const { code, stdout, stderr } = await run(words, { server });
    expect([code, stdout, stderr]).toEqual([125, "", expect.stringContaining(why)]);
    expect(server.peers[0]?.of("call")).toHaveLength(1);
  });

  test("that nobody knows is refused, with what is near it, here and there", async () => {
    await using server = setup();
    const { code, stderr } = await run(["deploy-al"], { server });
    expect([code, stderr]).toEqual([
      125,
      'farhand: Cannot do "deploy-al": there is no such command; did you mean deploy-all?\n',
    ]);
    expect((await run(["jbos"], { server })).stderr).toContain("did you mean jobs?");
    expect((await run(["./x"], { server })).stderr).toContain("there is no such command");
    expect((await run(["jbos"])).stderr).toBe(
      'farhand: Cannot do "jbos", which only the server may know, unless you mean jobs: ' +
        "Cannot connect to http://127.0.0.1:1: connection refused; is farhandd running there?\n",
    );
  });

  test("streams what its job says to stdout, one value a line, and then what that returned", async () => {
    await using server = setupJob({ type: "returned", value: toValue({ n: 2 }) });
    expect(await run(["nightly", "all"], { server })).toEqual({
      code: 0,
      stdout: '{"step":1}\ntwo\n{\n  "n": 2\n}\n',
      stderr: "",
    });
    const json = await run(["nightly", "--json"], { server });
    expect(
      json.stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line)),
    ).toMatchObject([
      { type: "accepted", number: 7 },
      { type: "value", value: { step: 1 } },
      { type: "value", value: "two" },
      { type: "exit", outcome: { type: "returned", value: { n: 2 } } },
    ]);
  });

  test("tells what its job threw by its class and message, and exits with 1", async () => {
    const error = { code: "threw", message: "no tape", name: "TapeError" } as const;
    await using server = setupJob({ type: "threw", error });
    expect(await run(["nightly"], { server })).toEqual({
      code: 1,
      stdout: '{"step":1}\ntwo\n',
      stderr: "farhand: TapeError: no tape\n",
    });
    await using failing = openCustomServer(({ call, events }, peer) => {
      if (events !== undefined) peer.end(events.channel);
      peer.say({ type: "failed", call, error });
    });
    expect(await run(["call", "deploy-all"], { server: failing })).toMatchObject({
      code: 1,
      stderr: "farhand: TapeError: no tape\n",
    });
  });

  test("becomes a job on the terms that its options say, unless they are its own fields", async () => {
    await using server = setupJob({ type: "returned", value: toValue(null) });
    const line =
      "nightly all --max-exec-time 5m --key k --info 7 --keep-output all --on-disconnect kill --label x";
    expect(await run(line.split(" "), { server })).toMatchObject({ code: 0 });
    expect(server.peers[0]?.of("call")[1]).toMatchObject({
      input: { value: { what: "all", label: "x" } },
      terms: { limits: { execMs: 300_000 }, key: "k", info: 7, keepOutput: "all", onDisconnect: "kill" },
    });
    const detached = await run(["nightly", "-d"], { server });
    const call = server.peers[1]?.of("call")[1];
    expect(detached).toEqual({ code: 0, stdout: `${call?.job}\n`, stderr: "" });
    expect([call?.output, call?.input.value]).toEqual([undefined, {}]);
  });

  test("leaves its job's input open to others, or gives it our stdin, or an empty one", async () => {
    await using server = setupJob({ type: "returned", value: toValue(null) });
    const world = { server, stdin: "hello" };
    await run(["nightly"], world);
    await run(["nightly", "--no-stdin"], world);
    await run(["nightly", "--stdin"], world);
    const opened = server.peers.map((peer) => [peer.of("call")[1]?.terms, peer.of("open_input").length]);
    expect(opened).toEqual([
      [{}, 0],
      [{ stdin: false }, 0],
      [{}, 1],
    ]);
  });
});
