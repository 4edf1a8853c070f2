import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { openFakeServer } from "../support/fake-server.ts";
import { hasTmux, openScreen, type ScreenOptions } from "../support/terminal.ts";
import { testIf } from "../support/test-if.ts";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

const onTerminal = testIf(hasTmux, "the console on a terminal: there is no tmux");

async function setup() {
  const world = openWorld();
  await world.start();
  return world;
}

/** A console at its first prompt, and a way to type a line of which something is to be shown. */
async function openConsole(line = "farhand console", options: ScreenOptions = {}) {
  const stack = new AsyncDisposableStack();
  const world = stack.use(await setup());
  const screen = stack.use(await openScreen(world, line, options));
  await screen.shows(/>$/);
  const say = async (text: string, shows: string | RegExp) => {
    await screen.type(text);
    await screen.press("Enter");
    await screen.shows(shows);
  };
  /** Lines that were shown since the last prompt of this text. */
  const answerTo = async (text: string) => {
    const lines = (await screen.shown()).split("\n");
    return lines.slice(lines.findLastIndex((shown) => shown.endsWith(`> ${text}`)) + 1);
  };
  return { world, screen, say, answerTo, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

describe("farhand console on a terminal", () => {
  onTerminal("has a prompt that says where it is, and follows cd", async () => {
    await using at = await openConsole();
    mkdirSync(join(at.world.home, "sub"));
    await at.say("cd sub", `localhost:${at.world.home}/sub>`.slice(-40));
    await at.say("exec pwd", new RegExp(`^${at.world.home}/sub$`, "m"));
    // The workspace is the console's own.
    expect((await at.world.farhand(["cwd"])).stdout.trim()).toBe(at.world.home);
    await at.say("exit", "[ended 0]");
  });

  onTerminal("names a workspace that others may use, and is in it", async () => {
    await using at = await openConsole("farhand -w build console");
    await at.screen.shows("localhost[build]:");
    await at.say("cd /", "localhost[build]:/>");
    expect((await at.world.farhand(["-w", "build", "cwd"])).stdout).toBe("/\n");
  });

  onTerminal("shows output as it comes, exit codes that are not 0, and errors in a line", async () => {
    await using at = await openConsole();
    await at.say("exec -- sh -c 'echo one; echo two >&2; exit 3'", "exit code 3");
    expect((await at.answerTo("exec -- sh -c 'echo one; echo two >&2; exit 3'")).slice(0, 3)).toEqual(
      expect.arrayContaining(["one", "two", "exit code 3"]),
    );
    await at.say("stat nowhere", "ENOENT");
    expect((await at.answerTo("stat nowhere"))[0]).toStartWith("farhand: ");
    await at.say("jbos", "did you mean jobs?");
    await at.say("exec 'a", "a ' is not closed");
    await at.say("exec -- printf abc", /^abc%$/m);
    await at.say("help", "exit [CODE]");
    await at.say("help ls", "farhand ls -la /srv");
  });

  onTerminal("Ctrl-C ends the command and not the console, and at the prompt clears the line", async () => {
    await using at = await openConsole();
    await at.say("exec sleep 1000", "exec sleep 1000");
    await eventually(() => at.world.processes(/^sleep 1000/).length === 1, 30_000);
    await at.screen.press("C-c");
    await at.screen.shows("exit code 130");
    expect(at.world.processes(/^sleep 1000/)).toEqual([]);
    await at.say("ping --count 1000 --interval 50ms", /1 ms|\d ms/);
    await at.screen.press("C-c");
    await at.screen.shows(/exit code 130[^]*exit code 130/);
    await at.screen.type("never run");
    await at.screen.press("C-c");
    await at.screen.shows("never run^C");
    await at.say("exec echo still here", /^still here$/m);
    expect(await at.screen.shown()).not.toContain("farhand: ");
  });

  onTerminal(
    "remembers lines: arrow keys bring them back, also in the next console; a space keeps one out",
    async () => {
      await using at = await openConsole("farhand console; farhand console");
      await at.say("exec echo first", /^first$/m);
      await at.say(" exec echo secret", /^secret$/m);
      await at.say("exec echo second", /^second$/m);
      await at.screen.press("Up", "Up", "Enter");
      await at.screen.shows(/^first$[^]*^first\n\S+>$/m);
      await at.screen.press("C-d");
      await at.screen.shows(/first\n\S+>\n\S+>$/);
      await at.screen.press("Up", "Up", "Enter");
      await at.screen.shows(/^second$[^]*^second$/m);
      const path = join(at.world.state, "console-history");
      expect(statSync(path).mode & 0o777).toBe(0o600);
      expect(readFileSync(path, "utf8")).not.toContain("secret");
    },
  );

  onTerminal(
    "completes commands, options, files, jobs and workspaces; hostile names cannot command it",
    async () => {
      await using at = await openConsole();
      const { home } = at.world;
      for (const name of ["my file", "it's", "x$(touch pwned)", "new\nline", "\x1b]0;title\x07", "-dash"])
        writeFileSync(join(home, name), `this is ${JSON.stringify(name)}`);
      mkdirSync(join(home, "directory"));
      const job = await at.world.detach("--", "sleep", "1000");
      const finish = async (typed: string, finished: string) => {
        await at.screen.type(typed);
        await at.screen.press("Tab");
        await eventually(async () => (await at.screen.shown()).endsWith(`> ${finished}`), 30_000);
        await at.screen.press("C-c");
        await at.screen.shows(/>$/);
      };
      await finish("is-al", "is-alive");
      await finish("help send-i", "help send-input");
      await finish("ls --recu", "ls --recursive");
      await finish("rdfile my", "rdfile my\\ file");
      await finish("rdfile 'my f", "rdfile my\\ file");
      await finish("rdfile it", "rdfile it\\'s");
      await finish("rdfile x", "rdfile x\\$\\(touch\\ pwned\\)");
      await finish("rdfile new", "rdfile new$'\\n'line");
      await finish("cd dir", "cd directory/");
      await finish("kill signal=KI", "kill signal=KILL");
      await finish("kill 1", "kill 1");
      await at.screen.type("rdfile ");
      await at.screen.press("Tab");
      await at.screen.press("Tab");
      await at.screen.shows("$'\\e'\\]0\\;title$'\\u0007'");
      await at.screen.shows("./-dash");
      await at.screen.press("C-c");
      await at.screen.shows(/>$/);
      // What was completed means the file, whatever it is called.
      await at.screen.type("rdfile new");
      await at.screen.press("Tab");
      await at.screen.shows(/rdfile new\$'\\n'line$/);
      await at.screen.press("Enter");
      await at.screen.shows('this is "new\\nline"');
      expect(existsSync(join(home, "pwned"))).toBe(false);
      expect(await at.world.job(job)).toMatchObject({ state: "running" });
    },
  );

  onTerminal(
    "takes lines that are pasted at once, one of 100 KB, and many columns wide characters",
    async () => {
      await using at = await openConsole("farhand console", { columns: 80, rows: 24 });
      await at.screen.paste("exec echo one\nexec echo two\nexec echo thr");
      await at.screen.shows(/^two$[^]*> exec echo thr$/m);
      await at.screen.type("ee");
      await at.screen.press("Enter");
      await at.screen.shows(/^three\n\S+>$/m);
      await at.screen.paste(`exec -- sh -c 'echo \${#1}' sh ${"x".repeat(100_000)}\n`);
      await at.screen.shows(/^100000$/m);
      await at.screen.resize(50, 20);
      await at.say("exec echo 日本語 äöü", /^日本語 äöü$/m);
    },
  );

  onTerminal("gives a command what is typed only where that is asked for", async () => {
    await using at = await openConsole();
    await at.say("exec cat", /> exec cat\n\S+>$/);
    await at.say("wrfile notes", /wrfile notes$/m);
    await at.say("some text", "some text");
    await at.screen.press("C-d");
    await at.say("rdfile notes", /^some text\n.*some text$/ms);
    expect(readFileSync(join(at.world.home, "notes"), "utf8")).toBe("some text\n");
    await at.say("wrfile pasted", /wrfile pasted$/m);
    await at.screen.paste("in one go\n\x04rdfile pasted\n");
    await at.screen.shows(/^in one go\nWrote .*\n\S+> rdfile pasted\nin one go\n\S+>$/m);
    await at.say("exec --stdin cat", /exec --stdin cat$/m);
    await eventually(() => at.world.processes(/^cat/).length === 1, 30_000);
    await at.screen.press("C-c");
    await at.screen.shows("exit code 130");
  });

  onTerminal("gives a program its terminal, and takes it back", async () => {
    await using at = await openConsole();
    await at.say("exec -t -- sh -c 'stty size; read a; echo got $a; exit 3'", /^40 100$/m);
    await at.say("typed", /^got typed\nexit code 3\n\S+>$/m);
    await at.say("exec echo back", /^back\n\S+>$/m);
    await at.screen.press("C-d");
    await at.screen.shows("[ended 0]");
  });

  onTerminal(
    "lives on while the server restarts, and when it is gone for good connects anew with the next command",
    async () => {
      await using at = await openConsole("farhand --reconnect-timeout 1s console");
      await at.say("cd /", "localhost:/>");
      await at.world.farhandd(["stop"]);
      await eventually(() => !existsSync(join(at.world.state, "local.json")));
      await at.say("ping", "farhand: ");
      await at.world.start();
      await at.say("exec pwd", /^\/$/m);
      await at.say("exit 7", "[ended 7]");
    },
  );

  onTerminal("says that it is reconnecting while a command waits, and shows its answer then", async () => {
    await using at = await openConsole();
    const { pid } = await at.world.status();
    await at.say("exec -- sh -c 'echo begun; while [ ! -e go ]; do sleep 0.05; done; echo over'", /^begun$/m);
    process.kill(pid, "SIGKILL");
    await at.screen.shows("reconnecting to this machine's server");
    await at.world.start();
    writeFileSync(join(at.world.home, "go"), "");
    await at.screen.shows(/^over$/m);
    expect(await at.screen.shown()).not.toContain("reconnecting");
    await at.say("exec echo on", /^on$/m);
  });

  onTerminal("leaves the terminal as it was, at EOF and by a signal, and ends with it", async () => {
    await using at = await openConsole(
      "stty -a > before; farhand console; stty -a > after; cmp before after",
    );
    await at.screen.press("C-d");
    await at.screen.shows("[ended 0]");
    await using other = await openScreen(at.world, "farhand console");
    await other.shows(/>$/);
    for (const pid of at.world.processes(/^\S*farhand console $/)) process.kill(pid, "SIGTERM");
    await other.shows("[ended 143]");
    await using last = await openScreen(at.world, "farhand console");
    await last.shows(/>$/);
    await last[Symbol.asyncDispose]();
    await eventually(() => at.world.processes(/^\S*farhand console $/).length === 0, 30_000);
  });

  onTerminal("says at once that there is no server", async () => {
    await using world = openWorld();
    await using screen = await openScreen(world, "farhand console");
    await screen.shows("[ended 125]");
    expect(await screen.shown()).toContain("farhand: Cannot find a server");
  });
});

describe("farhand console with a script", () => {
  test("does line after line, without a prompt, and a program reads none of them", async () => {
    await using world = await setup();
    const script =
      "# a comment\n\n  exec echo one\nexec cat\ncd /\nexec pwd\nexec --shell 'echo $((1 + 1))' # no comment\n";
    const ran = await world.farhand(["console"], { stdin: script.replace(" # no comment", "") });
    expect(ran).toMatchObject({ code: 0, stdout: "one\n/\n/\n2\n", stderr: "" });
    expect((await world.farhand(["console"], { stdin: "" })).code).toBe(0);
  });

  test("stops at the first failure with its exit code, naming the line, or goes on if told", async () => {
    await using world = await setup();
    const script = "exec echo one\nexec sh -c 'exit 7'\nstat nowhere\nexec echo two\n";
    const [stops, goesOn] = await Promise.all([
      world.farhand(["console"], { stdin: script }),
      world.farhand(["console", "--keep-going"], { stdin: script }),
    ]);
    expect(stops).toMatchObject({ code: 7, stdout: "one\n" });
    expect(stops.stderr).toBe("farhand: Line 2 failed with exit code 7: exec sh -c 'exit 7'\n");
    expect(goesOn).toMatchObject({ code: 7, stdout: "one\ntwo\n" });
    expect(goesOn.stderr).toContain("farhand: Line 3 failed with exit code 125: stat nowhere");
    expect((await world.farhand(["console"], { stdin: "exit 9\nexec echo no" })).code).toBe(9);
    expect(await world.farhand(["console"], { stdin: "frobnicate" })).toMatchObject({
      code: 125,
      stdout: "",
    });
  });

  test("comes from a file too, and then commands may read stdin", async () => {
    await using world = await setup();
    writeFileSync(join(world.home, "script"), "exec --stdin cat\nwrfile copy text=kept\nrdfile copy\n");
    const ran = await world.farhand(["console", "-f", "script"], { stdin: "from stdin\n" });
    expect(ran).toMatchObject({ code: 0, stdout: expect.stringMatching(/^from stdin\n[^]*kept$/) });
    const refused = await world.farhand(["console"], { stdin: "exec --stdin cat\n" });
    expect([refused.code, refused.stderr]).toEqual([
      125,
      expect.stringContaining("the script comes from there"),
    ]);
    expect((await world.farhand(["console", "-f", "nowhere"])).code).toBe(125);
  });

  test("gives JSON, one value after another", async () => {
    await using world = await setup();
    const ran = await world.farhand(["console", "--json", "-k"], { stdin: "cwd\nfrobnicate\nmkdir a\nls\n" });
    const values = ran.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(values[0]).toMatchObject({ cwd: world.home });
    expect(values[1]).toMatchObject({ type: "error", code: "unknown_command" });
    expect(values).toContainEqual(expect.objectContaining({ name: "a", type: "directory" }));
    expect(ran.code).toBe(125);
  });

  test("takes lines as they come, and is ended by a signal", async () => {
    await using world = await setup();
    const client = world.open(["bash", "-c", "{ echo exec echo one; sleep 1000; } | farhand console"]);
    await eventually(() => client.said() === "one\n", 30_000);
    for (const pid of world.processes(/^\S*farhand console $/)) process.kill(pid, "SIGINT");
    await eventually(() => world.processes(/^\S*farhand console $/).length === 0, 30_000);
  });
});

test("echo hi, which only the server knows, is run in the console as conplyent's clients ran it", async () => {
  await using world = openWorld();
  const schema = {
    type: "object",
    properties: { string: { type: "string" }, times: { type: "integer" } },
    required: ["string"],
  };
  const echo = {
    name: "echo",
    kind: "foreground",
    summary: "Say it again",
    permission: "read",
    positional: ["string"],
    input: schema,
  };
  const asked: unknown[] = [];
  await using server = openFakeServer({
    token: "t",
    answer(frame, peer) {
      if (frame.type === "hello") peer.welcome();
      if (frame.type !== "call") return;
      const { value } = frame.input;
      if (frame.command === "echo") asked.push(value);
      const result = frame.command === "commands" ? [echo] : ((value as { string?: string }).string ?? {});
      peer.say({ type: "result", call: frame.call, result: { encoding: "json", value: result } });
    },
  });
  const env = { FARHAND_HOST: server.url, FARHAND_TOKEN: "t" };
  const script = "echo hi\necho string='two words' times=3\nhelp echo\necho --times x hi\n";
  const ran = await world.farhand(["console"], { stdin: script, env });
  expect(ran.stdout).toStartWith("hi\ntwo words\nSay it again");
  expect(asked).toEqual([{ string: "hi" }, { string: "two words", times: 3 }]);
  expect([ran.code, ran.stderr]).toEqual([
    125,
    expect.stringContaining('Cannot use times "x": write a whole number'),
  ]);
});
