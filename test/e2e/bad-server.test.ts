import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { builtins, type Builtins } from "../../src/commands/index.ts";
import type { Welcome } from "../../src/protocol/hello.ts";
import { openFakeServer } from "../support/fake-server.ts";
import { HOSTILE, OBEYED, toHostile } from "../support/hostile.ts";
import { type Heard, type ServerPeer, toExit, toRecord } from "../support/server-peer.ts";
import { hasTmux, openScreen } from "../support/terminal.ts";
import { testIf } from "../support/test-if.ts";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(120_000);

/** Limits as they would be if the client kept to those of a server. */
const LIMITLESS = { controlFrameBytes: 2 ** 50, dataFrameBytes: 2 ** 50, controlWindowFrames: 2 ** 50 };

type Call = Extract<Heard, { type: "call" }>;

/** A world whose client talks to a server that answers calls so. */
function setup(
  answer: (call: Call, peer: ServerPeer) => void,
  agent = { name: "farhandd", version: "9.9.9" },
  changes: Partial<Welcome> = {},
) {
  const world = openWorld();
  const server = openFakeServer({
    answer(frame, peer) {
      if (frame.type === "hello") peer.welcome({ agent, ...changes });
      if (frame.type === "call") answer(frame, peer);
    },
  });
  const farhand = (args: readonly string[], stdin = "") =>
    world.farhand(["-H", server.url, "--reconnect-timeout", "0s", ...args], {
      stdin,
      env: { FARHAND_TOKEN: undefined },
    });
  return { ...world, server, farhand };
}

/** Answers with a result, and events before it, whose every text is hostile. */
function answerHostile(number?: number) {
  return ({ call, command, events, job }: Call, peer: ServerPeer) => {
    const definition = Object.values(builtins).find(({ name }) => name === command);
    if (definition === undefined || definition.kind === "background")
      return peer.say({ type: "failed", call, error: { code: "not_found", message: `${HOSTILE} ${job}` } });
    if (events !== undefined) {
      if (definition.event !== undefined)
        peer.data(events.channel, toRecord("value", 0, toHostile(definition.event, number) as object));
      peer.end(events.channel);
    }
    // Of lists there is no other page.
    const value = Object.assign(toHostile(definition.result, number) as object, { more: false });
    peer.say({ type: "result", call, result: { encoding: "json", value } });
  };
}

/** What to type for each command; a name that is missing is a command of which nobody thought. */
const TYPED: Readonly<Record<keyof Builtins, readonly string[] | undefined>> = {
  exec: ["exec", "--", "true"],
  jobs: ["jobs"],
  wait: ["wait", "1"],
  result: ["result", "1"],
  kill: ["kill", "1"],
  "is-alive": ["is-alive", "1"],
  "send-input": ["send-input", "1", "x"],
  "job-show": ["job", "show", "1"],
  "job-label": ["job", "label", "1", "a=b"],
  "job-remove": ["job", "remove", "1"],
  "job-prune": ["job", "prune", "--dry-run"],
  "job-changes": undefined, // `jobs --watch` asks for it
  "module-put": undefined, // of each of these `task` asks for what it needs
  "task-start": undefined,
  "task-exec": undefined,
  "task-await": undefined,
  "task-stop": undefined,
  "task-list": undefined,
  "task-show": undefined,
  "task-restart": undefined,
  cd: ["cd", "/"],
  cwd: ["cwd"],
  env: ["env"],
  "workspace-list": ["workspace", "list"],
  "workspace-remove": ["workspace", "remove", "x"],
  ls: ["ls"],
  stat: ["stat", "x"],
  find: ["find", "x"],
  rdfile: undefined, // what a file holds is passed on as it is
  mkdir: ["mkdir", "x"],
  mkdirs: ["mkdirs", "x"],
  rm: ["rm", "x"],
  mv: ["mv", "x", "y"],
  cp: ["cp", "x", "y"],
  touch: ["touch", "x"],
  wrfile: ["wrfile", "x", "y"],
  df: ["df"],
  ps: ["ps"],
  which: ["which", "x"],
  "os-info": ["os-info"],
  "user-name": ["user-name"],
  reboot: ["reboot"],
  shutdown: ["shutdown"],
  sleep: ["sleep"],
  commands: ["commands"],
  "close-server": ["close-server"],
  ping: ["ping", "-c", "1"],
};
const typed = Object.values(TYPED).filter((words) => words !== undefined);

/** What must be true of everything that the client says itself, whoever it talks to. */
function expectHarmless(
  { stdout, stderr }: { readonly stdout: string; readonly stderr: string },
  what: string,
): void {
  expect(OBEYED.exec(stdout)?.index, `${what}: ${JSON.stringify(stdout.slice(0, 500))}`).toBeUndefined();
  expect(OBEYED.exec(stderr)?.index, `${what}: ${JSON.stringify(stderr.slice(0, 500))}`).toBeUndefined();
  expect(`\n${stdout}\n${stderr}`, what).not.toContain("\nforged: line");
}

describe("A server that means ill cannot command our terminal", () => {
  test("by anything that a result or an event says, as text or as JSON", async () => {
    await using world = setup(answerHostile());
    await using _server = world.server;
    let shown = 0;
    for (const words of typed)
      for (const flags of [[], ["--json"]]) {
        const ran = await world.farhand([...words, ...flags]);
        expectHarmless(ran, [...words, ...flags].join(" "));
        if (/52;c;cGFzdGU=/.test(ran.stdout + ran.stderr)) shown++;
      }
    // Hostile text does arrive: what is shown of it is escaped, and not left out.
    expect(shown).toBeGreaterThan(30);
    expect(readdirSync(world.home)).toEqual([]);
  });

  test("by an error's message, details or code", async () => {
    await using world = setup(({ call, events }, peer) => {
      if (events !== undefined) peer.end(events.channel);
      const failures = [{ path: HOSTILE, message: HOSTILE, code: HOSTILE }];
      const details = { path: HOSTILE, os: HOSTILE, failures, [HOSTILE]: HOSTILE };
      peer.say({
        type: "failed",
        call,
        error: { code: "os_error", message: HOSTILE.repeat(500), details, name: HOSTILE },
      });
    });
    await using _server = world.server;
    for (const words of typed)
      for (const flags of [[], ["--json"]]) {
        const ran = await world.farhand([...words, ...flags]);
        expect(ran.code, words.join(" ")).not.toBe(0);
        expectHarmless(ran, [...words, ...flags].join(" "));
      }
  });

  test("by its name and version, or as it ends a session, also in what is logged", async () => {
    await using world = setup(
      ({ call }, peer) => {
        if (call === 1) peer.say({ type: "result", call, result: { encoding: "json", value: {} } });
        peer.sayBare({ type: "goodbye", error: { code: "shutting_down", message: HOSTILE.repeat(100) } });
      },
      { name: HOSTILE.slice(0, 60), version: HOSTILE.slice(0, 60) },
    );
    await using _server = world.server;
    for (const words of [
      ["ping", "-c", "2", "-i", "10ms"],
      ["--version"],
      ["--version", "--json"],
      ["cwd"],
      ["exec", "--", "true"],
    ])
      expectHarmless(await world.farhand(["--log-level", "debug", ...words]), words.join(" "));
  });

  test("by what it says besides a job's own streams", async () => {
    await using world = setup(({ call, job, output }, peer) => {
      if (output === undefined || job === undefined) return;
      peer.say({ type: "accepted", call, job, number: 1 });
      const reason = { code: "start_failed", message: HOSTILE };
      const exit = {
        outcome: { type: "not_started", reason },
        totals: { packets: 1, values: 0, stdoutBytes: 2, stderrBytes: 0 },
        endedAt: HOSTILE,
      };
      peer.data(output.channel, toRecord("stdout", 0, "\x1b7"), toRecord("exit", 1, exit));
      peer.end(output.channel);
    });
    await using _server = world.server;
    const { stdout, stderr, code } = await world.farhand(["exec", "--", "x"]);
    expect([code, stdout]).toEqual([126, "\x1b7"]); // raw, and nothing else
    expectHarmless({ stdout: "", stderr }, "exec");
    expectHarmless(await world.farhand(["exec", "--json", "--", "x"]), "exec --json");
  });

  test("by commands that only it knows, in a console", async () => {
    const input = { type: HOSTILE, properties: { field: { type: "string", description: HOSTILE } } };
    const zap = { name: "zap", kind: "foreground", summary: HOSTILE, positional: ["field"], input };
    const named = { ...zap, input: { properties: { [HOSTILE]: { type: "string" } } }, positional: [HOSTILE] };
    for (const offered of [[zap], [{ ...zap, name: HOSTILE }], [named], {}, null]) {
      await using world = setup(({ call, command }, peer) => {
        const value = command === "commands" ? offered : { cwd: HOSTILE, [HOSTILE]: HOSTILE };
        peer.say({ type: "result", call, result: { encoding: "json", value } });
      });
      await using _server = world.server;
      for (const line of ["help", "help zap", "zap 1", "zap field=1", "zap --nonsense", "commands"]) {
        const ran = await world.farhand(["console"], `${line}\n`);
        expectHarmless(ran, line);
        expect(ran.stderr, line).not.toContain("unexpectedly");
      }
    }
  });

  test("by commands that only it knows, on the command line", async () => {
    const schema = {
      type: HOSTILE,
      description: HOSTILE,
      default: HOSTILE,
      examples: [HOSTILE],
      enum: [HOSTILE],
    };
    const input = { properties: { field: schema, [HOSTILE]: {} }, required: [HOSTILE], examples: [HOSTILE] };
    const zap = {
      name: "zap",
      kind: "foreground",
      summary: HOSTILE,
      custom: true,
      positional: ["field"],
      input,
    };
    const zup = { ...zap, name: "zup", kind: "background", input: {} };
    const results = [
      [zap, zup],
      [{ ...zap, name: HOSTILE }],
      [{ ...zap, input: { properties: { field: schema }, examples: [HOSTILE] } }, zup],
      {},
      null,
    ];
    for (const offered of results) {
      await using world = setup(({ call, command, events, job }, peer) => {
        if (job !== undefined)
          return peer.say({ type: "failed", call, error: { code: "internal", message: HOSTILE } });
        const value = command === "commands" ? offered : { [HOSTILE]: HOSTILE };
        if (events !== undefined) {
          peer.data(events.channel, toRecord("value", 0, { [HOSTILE]: HOSTILE }));
          peer.end(events.channel);
        }
        peer.say({ type: "result", call, result: { encoding: "json", value } });
      });
      await using _server = world.server;
      for (const line of [
        "--help",
        "zap --help",
        "zap 1",
        "zap --nonsense",
        "zup",
        "zap",
        "call zap",
        "zap --json",
        "call zup",
      ]) {
        const ran = await world.farhand(line.split(" "));
        expectHarmless(ran, line);
        expect(ran.stderr, line).not.toContain("unexpectedly");
      }
    }
  });

  test("by candidates of completion, which are words and nothing more", async () => {
    await using world = setup(answerHostile());
    await using _server = world.server;
    for (const shell of ["bash", "zsh", "fish"])
      for (const words of [
        ["farhand", "follow", ""],
        ["farhand", "ls", ""],
        ["farhand", "-w", ""],
        ["farhand", "rdfile", "x"],
      ]) {
        const ran = await world.shell(
          `farhand completion --shell ${shell} --complete -- ${words.map((word) => `'${word}'`).join(" ")}`,
          {
            env: { FARHAND_HOST: world.server.url },
          },
        );
        expectHarmless(ran, words.join(" "));
      }
  });
});

testIf(hasTmux, "a terminal: there is no tmux(1)")(
  "A server whose job has a terminal, and which then breaks off, leaves ours in the modes that it had",
  async () => {
    await using world = openWorld();
    await using server = openFakeServer({
      answer(frame, peer) {
        if (frame.type === "hello") peer.welcome();
        if (frame.type === "call") {
          const terminal = { columns: 80, rows: 24, term: "xterm" };
          const job = toHostile(builtins["job-show"].result) as object;
          const value = { ...job, outcome: undefined, state: "running", terminal };
          peer.say({ type: "result", call: frame.call, result: { encoding: "json", value } });
        }
        if (frame.type === "open_output")
          peer.data(frame.channel, toRecord("stdout", 0, "\x1b[?1049h\x1b[?1003h\x1b[?1h\x1b[?25lmine now"));
        if (frame.type === "open_input")
          peer.sayBare({ type: "credit", channel: frame.channel, received: 0, limit: 1_000 });
        if (frame.type === "data") peer.sayBare({ type: "run", argv: ["touch", "owned"] });
      },
    });
    const line = `stty -g > before; FARHAND_TOKEN=x farhand -H ${server.url} --reconnect-timeout 0s attach 1; stty -g > after`;
    const screen = await openScreen(world, line);
    await screen.shows("mine now");
    await screen.press("x");
    await screen.shows("[ended 0]");
    const [before, after] = ["before", "after"].map((name) => readFileSync(join(world.home, name), "utf8"));
    expect(after).toBe(String(before));
    expect(await screen.settled()).toMatch(
      /cursor_flag=1 alternate_on=0 keypad_cursor_flag=0[^]*mouse_any_flag=0/,
    );
    expect(readdirSync(world.home)).not.toContain("owned");
  },
);

describe("Numbers that lie", () => {
  test.each([-1, 2 ** 53, 1e308, 0.5, Number.POSITIVE_INFINITY])(
    "(%d) end in a clear error, or are shown as they are",
    async (number) => {
      await using world = setup(answerHostile(number));
      await using _server = world.server;
      for (const words of typed) {
        const ran = await world.farhand(words);
        expectHarmless(ran, words.join(" "));
        expect(ran.stderr, words.join(" ")).not.toMatch(/Error:|unexpectedly|\n\s+at /);
        expect(ran.signal).toBeNull();
      }
    },
  );

  test("of bytes that an exit counts and that did not come are missing, and said so", async () => {
    await using world = setup(({ call, job, output }, peer) => {
      if (output === undefined || job === undefined) return;
      peer.say({ type: "accepted", call, job, number: 1 });
      peer.data(output.channel, toRecord("stdout", 0, "one"), toExit(1, { stdoutBytes: 4 }));
      peer.end(output.channel);
    });
    await using _server = world.server;
    const ran = await world.farhand(["exec", "--", "true"]);
    expect([ran.code, ran.stdout]).toEqual([125, "one"]);
  });
});

describe("Text without end", () => {
  test("in one cell of a table makes the others no wider, nor our memory larger", async () => {
    await using world = setup(({ call }, peer) => {
      const mount = toHostile(builtins.df.result.entries.fileSystems.item) as object;
      const fileSystems = Array.from({ length: 500 }, (_, row) => ({
        ...mount,
        source: { name: "x".repeat(row === 7 ? 300_000 : 1) },
      }));
      peer.say({
        type: "result",
        call,
        result: { encoding: "json", value: { fileSystems, unread: { count: 0, errors: [] } } },
      });
    });
    await using _server = world.server;
    const ran = await world.farhand(["df"]);
    expect(ran.stdout).toContain("x".repeat(300_000));
    expect(ran.stdout.length).toBeLessThan(2 ** 20);
  });

  test("of pages of jobs ends as soon as one is offered again", async () => {
    await using world = setup(({ call, command }, peer) => {
      const page = command === "jobs" ? { jobs: [], filtered: true } : { removed: [] };
      peer.say({
        type: "result",
        call,
        result: { encoding: "json", value: { ...page, more: true, next: 7 } },
      });
    });
    await using _server = world.server;
    for (const words of [["jobs"], ["job", "prune", "--older-than", "1d"], ["kill", "--all", "--yes"]]) {
      const { code, stderr } = await world.farhand(words);
      expect([code, stderr], words.join(" ")).toEqual([125, expect.stringContaining("again and again")]);
    }
  });
});

test("A server that says it is older, or says other limits, gets no secret and no program in another place", async () => {
  const older = { version: { major: 1, minor: 0 }, limits: LIMITLESS };
  await using world = setup(() => {}, undefined, older);
  await using _server = world.server;
  for (const [words, why] of [
    [["exec", "--secret", "KEY=hunted", "--", "true"], "too old to know them"],
    [["-w", "build", "exec", "--", "true"], "too old to know workspaces"],
  ] as const) {
    const { code, stderr } = await world.farhand(words);
    expect([code, stderr]).toEqual([125, expect.stringContaining(why)]);
  }
  expect(JSON.stringify(world.server.peers.map(({ heard }) => heard))).not.toMatch(/hunted|"exec"/);
});

test("Output that nobody gave credit for ends the session, before it is in our memory or on our stdout", async () => {
  await using world = setup(({ call, job, output }, peer) => {
    if (output === undefined || job === undefined) return;
    peer.say({ type: "accepted", call, job, number: 1 });
    const text = "x".repeat(60_000);
    for (let number = 0; number < 1_500; number++)
      peer.data(output.channel, toRecord("stdout", number, text));
  });
  await using _server = world.server;
  const { code, stderr, stdout } = await world.farhand(["exec", "--", "true"]);
  expect([code, stderr]).toEqual([125, expect.stringMatching(/^farhand: .*\n$/)]);
  expect(stdout.length).toBeLessThan(16 * 1024 * 1024);
});

test("A call that nobody made, a job that nobody asked for, and frames of no sense end the session with a sentence", async () => {
  for (const frame of [
    { type: "result", seq: 1, call: 99, result: { encoding: "json", value: {} } },
    { type: "accepted", seq: 1, call: 1, job: "not-a-uuid", number: 1 },
    { type: "run", seq: 1, argv: ["touch", "owned"] },
    {
      type: "call",
      seq: 1,
      call: 1,
      command: "exec",
      input: { encoding: "json", value: { argv: ["touch", "owned"] } },
    },
    { type: "credit", channel: 1, received: -5, limit: 2 ** 60 },
    { type: "welcome" },
  ]) {
    await using world = setup((_call, peer) => peer.sayBare(frame));
    await using _server = world.server;
    const { code, stderr } = await world.farhand(["--connect-timeout", "5s", "cwd"]);
    expect([code, stderr]).toEqual([125, expect.stringMatching(/^farhand: .+\n$/)]);
    expect(readdirSync(world.home)).toEqual([]);
  }
});
