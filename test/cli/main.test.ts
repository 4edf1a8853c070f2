import { describe, expect, test } from "bun:test";
import type { JobId } from "../../src/protocol/id.ts";
import { run, start } from "../support/cli.ts";
import { eventually } from "../support/eventually.ts";
import { openFakeServer } from "../support/fake-server.ts";
import { type Heard, type ServerPeer, toExit, toRecord } from "../support/server-peer.ts";

/** A server that answers exec with these records. */
function serveExec(
  records: readonly Uint8Array[],
  onFrame: (frame: Heard, peer: ServerPeer) => void = () => {},
) {
  return openFakeServer({
    answer(frame, peer) {
      if (frame.type === "hello") peer.welcome();
      if (frame.type === "call" && frame.command === "exec") {
        peer.say({ type: "accepted", call: frame.call, job: frame.job as JobId, number: 7 });
        if (frame.output !== undefined && records.length > 0) peer.data(frame.output.channel, ...records);
      }
      onFrame(frame, peer);
    },
  });
}

const totals = (packets: number, stdoutBytes: number, stderrBytes = 0) => ({
  packets,
  values: 0,
  stdoutBytes,
  stderrBytes,
});

/** Of job 3, which has said so many packets before its exit. */
const summary = (outcome?: object, count?: number) => ({
  id: "01a1fc9b-3803-738e-b699-a640b92559cc",
  number: 3,
  command: "exec",
  argv: ["x"],
  cwd: "/",
  owner: "me",
  state: "closed",
  attached: false,
  startedAt: "2026-01-02T03:04:05.000Z",
  outcome,
  ...(count !== undefined && { totals: totals(count, 0) }),
});

/** A connection that is lost stays lost. */
const ONCE = ["--reconnect-timeout", "0s"];

describe("farhand exec", () => {
  test("writes each stream to its own, and exits with the program's code", async () => {
    await using server = serveExec([
      toRecord("stdout", 0, "out\n"),
      toRecord("stderr", 1, "err\n"),
      toExit(2, { code: 3, stdoutBytes: 4, stderrBytes: 4 }),
    ]);
    expect(await run(["exec", "--", "prog", "--help"], { server })).toEqual({
      code: 3,
      stdout: "out\n",
      stderr: "err\n",
    });
    const [peer] = server.peers;
    expect(peer?.of("call")[0]?.input.value).toMatchObject({ argv: ["prog", "--help"], stdin: true });
    await eventually(() => peer?.of("goodbye").length === 1);
    expect(peer?.of("close")).toHaveLength(1);
  });

  test("with --json writes one object per line", async () => {
    await using server = serveExec([toRecord("stdout", 0, "x"), toExit(1, { stdoutBytes: 1 })]);
    const { stdout, code } = await run(["exec", "--json", "prog"], { server });
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines).toMatchObject([
      { type: "accepted", number: 7 },
      { type: "stdout", number: 0, text: "x" },
      { type: "exit", outcome: { type: "exited", code: 0 } },
    ]);
    expect(code).toBe(0);
  });

  test("exits 125 when the connection is lost before all of a detached job's stdin is sent", async () => {
    await using server = serveExec([], (frame, peer) => {
      if (frame.type === "open_input")
        peer.sayBare({ type: "credit", channel: frame.channel, received: 0, limit: 3 });
      if (frame.type === "data")
        peer.sayBare({ type: "goodbye", error: { code: "shutting_down", message: "The server stops" } });
    });
    const world = { server, stdin: "abcdef" };
    const { code, stdout, stderr } = await run([...ONCE, "exec", "-d", "--stdin", "cat"], world);
    expect([code, stderr]).toEqual([125, "farhand: The server stops\n"]);
    expect(stdout.trim()).toBe(server.peers[0]?.of("call")[0]?.job ?? "");
  });

  test("exits 125 when fewer bytes came than the program wrote", async () => {
    await using server = serveExec([toRecord("stdout", 0, "x"), toExit(1, { stdoutBytes: 2 })]);
    const { code, stderr } = await run(["exec", "prog"], { server });
    expect(code).toBe(125);
    expect(stderr).toMatch(/^farhand: Output is incomplete: 1 bytes of stdout .*\n$/);
  });

  test("exits 125 and says how to go on when the connection is lost", async () => {
    await using server = serveExec([toRecord("stdout", 0, "x")], (frame, peer) => {
      if (frame.type === "credit" && frame.received > 0) {
        peer.sayBare({ type: "goodbye", error: { code: "shutting_down", message: "The server stops" } });
      }
    });
    const { code, stdout, stderr } = await run([...ONCE, "exec", "prog"], { server });
    const job = server.peers[0]?.of("call")[0]?.job;
    expect([code, stdout]).toEqual([125, "x"]);
    expect(stderr).toBe(`farhand: The server stops; to read on: farhand follow ${job} --since 1\n`);
  });

  test("does not claim to know of a job that the server never accepted", async () => {
    await using server = openFakeServer({
      answer: (_frame, peer) =>
        peer.sayBare({ type: "goodbye", error: { code: "shutting_down", message: "Bye" } }),
    });
    const { code, stdout } = await run([...ONCE, "--json", "exec", "prog"], { server });
    expect(code).toBe(125);
    expect(JSON.parse(stdout)).toMatchObject({
      type: "error",
      code: "outcome_unknown",
      details: { job: expect.any(String) },
    });
  });

  test("tells the job that nobody reads its stdout any more, and goes on", async () => {
    await using server = serveExec([toRecord("stdout", 0, "x")], (frame, peer) => {
      if (frame.type === "discard") peer.data(frame.channel, toExit(1, { stdoutBytes: 1 }));
    });
    expect(await run(["exec", "prog"], { server, failWith: "EPIPE" })).toEqual({
      code: 0,
      stdout: "",
      stderr: "",
    });
    expect(server.peers[0]?.of("discard")).toMatchObject([{ stream: "stdout" }]);
  });

  test("exits 74 when our own stdout cannot be written, without claiming the packet", async () => {
    await using server = serveExec([toRecord("stdout", 0, "x"), toExit(1, { stdoutBytes: 1 })]);
    const { code, stderr } = await run(["exec", "prog"], { server, failWith: "ENOSPC" });
    expect(code).toBe(74);
    expect(stderr).toMatch(
      /^farhand: Cannot write to stdout: no space is left on the device; .* --since 0\n$/,
    );
  });

  test("passes the first signal on, cancels with the second, and stops waiting with the third", async () => {
    await using server = serveExec([]);
    const { code, written, interrupts } = start(["exec", "prog"], { server });
    const kills = () => server.peers[0]?.of("call").filter(({ command }) => command === "kill") ?? [];
    await eventually(() => server.peers[0]?.of("call").length === 1);
    interrupts.raise("TERM");
    await eventually(() => kills().length === 1);
    interrupts.raise("INT");
    await eventually(() => kills().length === 2);
    interrupts.raise("INT");
    expect(await code).toBe(125);
    const job = server.peers[0]?.of("call")[0]?.job as JobId;
    expect(kills().map(({ input }) => input.value)).toEqual([
      { job, signal: "TERM" },
      { job, grace: 5_000 },
    ]);
    expect(written.stderr).toContain(job);
  });

  test("stops waiting with the second signal when the server is silent", async () => {
    await using server = serveExec([]);
    const { code, interrupts } = start(["exec", "prog"], { server });
    await eventually(() => server.peers[0]?.of("call").length === 1);
    interrupts.raise("INT");
    interrupts.raise("INT");
    expect(await code).toBe(125);
  });

  test("feeds stdin, and none with --no-stdin", async () => {
    await using server = serveExec([], (frame, peer) => {
      if (frame.type === "open_input")
        peer.sayBare({ type: "credit", channel: frame.channel, received: 0, limit: 9 });
      if (frame.type === "end") peer.data(1, toExit(0));
    });
    expect((await run(["exec", "cat"], { server, stdin: "hi" })).code).toBe(0);
    expect(Buffer.concat(server.peers[0]?.of("data").map(({ bytes }) => bytes) ?? []).toString()).toBe("hi");
    await using empty = serveExec([toExit(0)]);
    expect((await run(["exec", "--no-stdin", "cat"], { server: empty, stdin: "hi" })).code).toBe(0);
    expect(empty.peers[0]?.of("open_input")).toEqual([]);
  });

  describe("with a stdin that cannot be read to its end", () => {
    const world = { stdin: "the first part", stdinFault: "EIO: i/o error, read" };
    /** Takes stdin, and ends a job that is cancelled. */
    const serve = () =>
      serveExec([], (frame, peer) => {
        if (frame.type === "open_input")
          peer.sayBare({ type: "credit", channel: frame.channel, received: 0, limit: 100 });
        if (frame.type !== "call" || frame.command !== "kill") return;
        peer.data(1, toExit(0, { code: 0 }));
        const value = summary({ type: "cancelled", by: "me" });
        peer.say({ type: "result", call: frame.call, result: { encoding: "json", value } });
      });

    test("cancels the job, which must not take what came for the whole, and exits 125", async () => {
      await using server = serve();
      expect(await run(["exec", "cat"], { server, ...world })).toEqual({
        code: 125,
        stdout: "",
        stderr: "farhand: Cannot read stdin: EIO: i/o error, read\n",
      });
      const [peer] = server.peers;
      const [exec, kill] = ["exec", "kill"].map((name) =>
        peer?.of("call").find(({ command }) => command === name),
      );
      expect(kill?.input.value).toEqual({ job: exec?.job, grace: 5_000 });
      expect(peer?.of("end")).toEqual([]);
    });

    test("does so with -d too, and with --json says it in JSON", async () => {
      await using server = serve();
      const { code, stdout, stderr } = await run(["exec", "-d", "--stdin", "--json", "cat"], {
        server,
        ...world,
      });
      expect([code, stderr]).toEqual([125, ""]);
      expect(JSON.parse(stdout.split("\n")[1] ?? "")).toMatchObject({ type: "error", code: "invalid_input" });
      expect(server.peers[0]?.of("call").map(({ command }) => command)).toEqual(["exec", "kill"]);
      expect(server.peers[0]?.of("end")).toEqual([]);
    });
  });

  test("with -d prints the job's id alone and leaves it", async () => {
    await using server = serveExec([]);
    const { code, stdout } = await run(["exec", "-d", "--", "prog"], { server });
    const [call] = server.peers[0]?.of("call") ?? [];
    expect([code, stdout]).toEqual([0, `${call?.job}\n`]);
    expect(call?.output).toBeUndefined();
    expect(call?.input.value).toMatchObject({ stdin: false });
  });
});

describe("farhand", () => {
  test.each<[string[], string]>([
    [[], "name a command"],
    [["bogus"], 'Cannot do "bogus"'],
    [["help", "bogus"], 'Cannot do "bogus"'],
    [["exec"], "Cannot run nothing"],
    [["exec", "--bogus"], '"--bogus"'],
    [["exec", "-e", "=x", "prog"], "NAME=VALUE"],
    [["--connect-timeout", "5", "jobs"], "Cannot read duration"],
    [["jobs", "--log-level", "loud"], "--log-level"],
    [["kill"], "name a job, or say --all"],
    [["kill", "--all"], "--yes"],
    [["kill", "--all", "3"], "not both"],
    [["kill", "--label", "x", "3"], "only --all"],
    [["follow"], "name a job"],
    [["follow", "1", "--since", "1", "--recent", "2"], "more than one of"],
    [["follow", "1", "--until", "("], "Cannot use --until"],
    [["wait"], "name a job"],
    [["wait", "1", "--timeout", "5"], "Cannot read duration"],
    [["job"], 'Cannot do "job" alone: say what, one of show, label, remove, prune'],
    [["job", "bogus"], 'Cannot do "job bogus"'],
    [["job", "show"], "JOB is missing"],
    [["job", "label", "3"], "name=value or name-"],
    [["job", "remove"], "name a job"],
    [["job", "prune"], "--yes"],
    [["job", "prune", "--older-than", "old"], "Cannot use --older-than"],
    [["jobs", "--state", "bogus"], "Cannot use --state"],
    [["jobs", "--columns", "job,bogus"], 'Cannot show column "bogus"'],
    [["jobs", "--limit", "0"], "Cannot use --limit"],
    [["jobs", "--since", "yesterday"], "Cannot use --since"],
    [["jobs", "--watch", "3"], "Cannot filter, limit or watch named jobs"],
    [["exec", "prog"], "connection refused"],
  ])("refuses %j with one line on stderr and 125", async (words, why) => {
    const { code, stdout, stderr } = await run(words);
    expect([code, stdout]).toEqual([125, ""]);
    expect(stderr).toMatch(/^farhand: [A-Z][^\n]*\n$/);
    expect(stderr).toContain(why);
  });

  test("with --json puts failures on stdout, bad usage included", async () => {
    for (const words of [
      ["jobs", "--json"],
      ["--json", "jobs"],
      ["--json", "bogus"],
    ]) {
      const { code, stdout, stderr } = await run(words);
      expect([code, stderr]).toEqual([125, ""]);
      expect(JSON.parse(stdout)).toMatchObject({ type: "error", message: expect.stringContaining("Cannot") });
    }
    expect((await run(["exec", "prog", "--json"])).stdout).toBe("");
  });

  test.each([
    ["--help"],
    ["exec --help"],
    ["kill -h"],
    ["help wait"],
    ["-H web1 ping --help"],
    ["help"],
    ["job --help"],
    ["job show -h"],
    ["help job label"],
  ])("explains itself with %s", async (line) => {
    const { code, stdout, stderr } = await run(line.split(" "));
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("USAGE farhand");
    expect(stdout).toContain("EXAMPLES");
    expect(stdout).not.toMatch(/undefined|\x1b|[ \t]\n|\n\n\n/);
  });

  test("passes --help on to a program", async () => {
    await using server = serveExec([toExit(0)]);
    for (const words of [
      ["exec", "ls", "--help"],
      ["exec", "--", "--help"],
    ]) {
      expect((await run(words, { server })).stdout).toBe("");
    }
  });

  test("shows its version, and the server's if one answers", async () => {
    await using server = openFakeServer();
    const ask = () => run(["--version"], { server });
    let told = await ask();
    // One that does not answer at once is left out.
    await eventually(async () => told.stdout.includes("server") || !(told = await ask()));
    expect(told).toEqual({
      code: 0,
      stdout: expect.stringMatching(/^farhand \d+\.\d+\.\d+ \(.+\)\nserver 9\.9\.9\n$/),
      stderr: "",
    });
    const alone = await run(["--version"]);
    expect([alone.code, alone.stderr, alone.stdout.split("\n").length]).toEqual([0, "", 2]);
  });

  test("stops at a signal though no server welcomes it", async () => {
    await using server = openFakeServer({ answer: () => {} });
    const { code, interrupts } = start(["ping"], { server });
    await eventually(() => server.peers[0]?.of("hello").length === 1);
    interrupts.raise("INT");
    expect(await code).toBe(130);
  });

  test("pings", async () => {
    await using server = openFakeServer();
    const { code, stdout } = await run(["ping", "-c", "2", "-i", "1ms", "--json"], { server });
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ count: 2, times: [expect.any(Number), expect.any(Number)] });
    const text = await run(["ping", "-c2", "-i1ms"], { server });
    expect(text.stdout).toMatch(/2 round trips: min [\d.]+, median [\d.]+, max [\d.]+ ms\n$/);
  });

  test.each<["INT" | "TERM" | "HUP", number]>([
    ["INT", 130],
    ["TERM", 143],
    ["HUP", 129],
  ])("ends quietly by SIG%s while it waits", async (signal, code) => {
    await using server = openFakeServer({
      answer: (frame, peer) => {
        if (frame.type === "hello") peer.welcome();
      },
    });
    const { code: ending, written, interrupts } = start(["wait", "3"], { server });
    await eventually(() => server.peers[0]?.of("call").length === 1);
    interrupts.raise(signal);
    expect(await ending).toBe(code);
    expect(written).toEqual({ stdout: "", stderr: "" });
  });
});

describe("farhand follow", () => {
  function serveFollow(records: readonly Uint8Array[], count?: number) {
    return openFakeServer({
      answer(frame, peer) {
        if (frame.type === "hello") peer.welcome();
        if (frame.type === "call") {
          const value =
            frame.command === "jobs"
              ? { jobs: [summary()], more: false }
              : summary({ type: "exited", code: 4 }, count);
          peer.say({ type: "result", call: frame.call, result: { encoding: "json", value } });
        }
        if (frame.type === "open_output") {
          if (records.length > 0) peer.data(frame.channel, ...records);
          peer.end(frame.channel);
        }
      },
    });
  }

  test("reads to the close and exits with the job's code", async () => {
    await using server = serveFollow([
      toRecord("stdout", 0, "a\n"),
      toExit(1, { code: 5, stdoutBytes: 2 }),
      toRecord("stderr", 2, "late\n"),
      toRecord("closed", 3, {
        totals: totals(3, 2, 5),
        exit: { outcome: { type: "exited", code: 5 }, totals: totals(1, 2), endedAt: "then" },
      }),
    ]);
    expect(await run(["follow", "3"], { server })).toEqual({ code: 5, stdout: "a\n", stderr: "late\n" });
    expect(server.peers[0]?.of("open_output")).toMatchObject([{ from: { type: "since", number: 0 } }]);
  });

  test("begins each line with its time when told to", async () => {
    await using server = serveFollow([toRecord("stdout", 0, "a\nb\n"), toExit(1, { stdoutBytes: 4 })]);
    const { stdout } = await run(["follow", "3", "--timestamps"], { server });
    expect(stdout).toBe("2026-01-02T03:04:05.000Z a\n2026-01-02T03:04:05.000Z b\n");
  });

  test("says what is missing, and exits 125", async () => {
    await using server = serveFollow([
      toRecord("gap", 0, { next: 10, totals: totals(10, 500, 20) }),
      toRecord("stdout", 10, "end\n"),
      toExit(11, { stdoutBytes: 504, stderrBytes: 20 }),
    ]);
    expect(await run(["follow", "3"], { server })).toEqual({
      code: 125,
      stdout: "end\n",
      stderr:
        "farhand: Output of job 3 is incomplete: 10 packets are gone (500 bytes of stdout, 20 bytes of stderr)\n",
    });
  });

  test("asks how the job ended when it began behind the exit", async () => {
    await using server = serveFollow([]);
    const { code } = await run(["follow", "3", "--since", "99"], { server });
    expect(code).toBe(4);
    expect(server.peers[0]?.of("open_output")).toMatchObject([{ from: { type: "since", number: 99 } }]);
  });

  test("exits 125 when what the server has ends before the exit", async () => {
    await using server = serveFollow([toRecord("stdout", 0, "a\n")], 5);
    expect(await run(["follow", "3"], { server })).toEqual({
      code: 125,
      stdout: "a\n",
      stderr: "farhand: Output of job 3 is incomplete: it ends before packet 1, the exit is packet 5\n",
    });
    await using whole = serveFollow([], 5);
    expect((await run(["follow", "3", "--since", "6"], { server: whole })).code).toBe(4);
  });

  test("says that the record was removed, and gives no advice to read on", async () => {
    await using server = openFakeServer({
      answer(frame, peer) {
        if (frame.type === "hello") peer.welcome();
        if (frame.type === "call") {
          const value = { jobs: [summary()], more: false };
          peer.say({ type: "result", call: frame.call, result: { encoding: "json", value } });
        }
        const error = { code: "not_found", message: "Cannot read job 3: its record was removed" } as const;
        if (frame.type === "open_output") peer.say({ type: "broken", channel: frame.channel, error });
      },
    });
    expect(await run(["follow", "3"], { server })).toEqual({
      code: 125,
      stdout: "",
      stderr: "farhand: Cannot read job 3: its record was removed\n",
    });
  });
});
