import { describe, expect, setDefaultTimeout } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FARHAND } from "../support/built.ts";
import { eventually } from "../support/eventually.ts";
import { openScreen, type Screen } from "../support/screen.ts";
import { testIf } from "../support/test-if.ts";
import { openWorld, parseShown, readProcess, type World } from "../support/world.ts";

setDefaultTimeout(60_000);

const test = testIf(
  ["tmux", "vi", "less", "top", "python3"].every((tool) => Bun.which(tool) !== null),
  "terminals, which takes tmux, vim-tiny, less, procps and python3",
);

async function setup() {
  const world = openWorld();
  await world.start();
  writeFileSync(join(world.home, ".profile"), "PS1='far> '\n");
  writeFileSync(join(world.home, ".bash_profile"), "PS1='far> '\n");
  const stack = new DisposableStack();
  /** A screen with a local shell on it, in which `f` is the client. */
  const sit = (line = "PS1='near> ' exec sh") => {
    const env = { ...world.env, f: FARHAND, PS1: "near> ", HOME: world.home, ENV: "" };
    return stack.use(openScreen(world.home, line, env));
  };
  const open = async (line = "$f shell") => {
    const screen = sit();
    await screen.see(/near>/);
    screen.type(`stty -g > before; ${line}; echo code $?; stty -g > after`);
    screen.press("Enter");
    return screen;
  };
  /** Waits until the client has ended, and expects the terminal to be as it was. */
  const expectRestored = async () => {
    await eventually(() => read("after").length > 1, 20_000);
    expect(read("after")).toBe(read("before"));
  };
  const read = (name: string) => {
    try {
      return readFileSync(join(world.home, name), "utf8");
    } catch {
      return "";
    }
  };
  return {
    ...world,
    open,
    sit,
    read,
    expectRestored,
    async [Symbol.asyncDispose]() {
      stack.dispose();
      await world[Symbol.asyncDispose]();
    },
  };
}

describe("farhand shell", () => {
  test("opens a login shell on a terminal, and exits with its code", async () => {
    await using world = await setup();
    const screen = await world.open();
    await screen.see(/far>/);
    screen.type("tty; stty size; echo $0 $TERM; exit 7\r");
    const seen = await screen.see(/code 7/);
    expect(seen).toMatch(/\/dev\/pts\/\d+\n30 100\n-\w+ tmux/);
    await world.expectRestored();
    const job = await world.job("@last");
    expect(job).toMatchObject({ terminal: { columns: 100, rows: 30 }, outcome: { type: "exited", code: 7 } });
  });

  test("has the modes of a local terminal", async () => {
    await using world = await setup();
    const screen = await world.open("stty -a > near; $f shell");
    await screen.see(/far>/);
    screen.type("stty -a > far; exit\r");
    await screen.see(/code 0/);
    const [, near] = world.read("near").split(/(?=intr =)/);
    const [, far] = world.read("far").split(/(?=intr =)/);
    expect(far?.replace(" iutf8", "")).toBe(
      near?.replace(" -iutf8", "").replace(" iutf8", "").replace("\n-iutf8", "") as string,
    );
  });

  test("passes on Ctrl-C, Ctrl-Z, Ctrl-\\ and Ctrl-D as keys", async () => {
    await using world = await setup();
    const screen = await world.open();
    await screen.see(/far>/);
    screen.type("sleep 1000\r");
    await eventually(() => world.processes(/^sleep 1000/).length > 0);
    screen.press("C-c");
    await screen.see(/\^C\n+far>/);
    screen.type("cat\r");
    await eventually(() => world.processes(/^cat/).length > 0);
    screen.press("C-\\");
    await screen.see(/\^\\.*Quit/s);
    screen.type("sleep 1000\r");
    await eventually(() => world.processes(/^sleep 1000/).length > 0);
    screen.press("C-z");
    await screen.see(/Stopped/);
    screen.type("kill -9 %1; clear; wc -c; echo over\r");
    await eventually(() => world.processes(/^wc -c/).length > 0);
    screen.type("ab\r");
    screen.press("C-d");
    await screen.see(/^3\n+over/m);
    screen.press("C-d");
    await screen.see(/code \d+/);
    await world.expectRestored();
  });

  test("tells the program of a new size", async () => {
    await using world = await setup();
    const screen = await world.open();
    await screen.see(/far>/);
    screen.type("trap 'stty size' WINCH\r");
    screen.resize(77, 21);
    await screen.see(/far>/);
    screen.type("stty size\r");
    await screen.see(/^21 77$/m);
    screen.type("exit\r");
    await screen.see(/code 0/);
    const { stdout } = await world.farhand(["follow", "@last", "--json"]);
    expect(stdout).toContain('"type":"resize"');
    expect(stdout).toContain('"columns":77,"rows":21');
  });

  test("answers Ctrl-C at once though the program floods", async () => {
    await using world = await setup();
    const screen = await world.open();
    await screen.see(/far>/);
    screen.type("yes\r");
    await screen.see(/y\ny\ny\n/);
    const began = performance.now();
    screen.press("C-c");
    await screen.see(/\^C\n*far>|y\n+far>/);
    expect(performance.now() - began).toBeLessThan(10_000);
  });

  test("takes a paste of 1 MB from the keyboard whole, whatever its bytes", async () => {
    await using world = await setup();
    const bytes = Buffer.from(Array.from({ length: 1_000_000 }, (_, index) => (index * 7_919) % 251));
    writeFileSync(join(world.home, "paste"), bytes);
    const take = `stty raw -echo; echo ready; exec head -c ${bytes.length} > pasted`;
    const screen = await world.open(`$f exec -t --escape none -- sh -c '${take}'`);
    await screen.see(/^ready$/m);
    screen.paste(join(world.home, "paste"));
    await screen.see(/code 0/);
    expect(readFileSync(join(world.home, "pasted")).equals(bytes)).toBe(true);
    await world.expectRestored();
  });

  test("gets what is typed before it is there, and shows wide characters", async () => {
    await using world = await setup();
    const screen = world.sit();
    await screen.see(/near>/);
    screen.type("$f shell\recho early-$((1 + 1)) 漢字 äöü\r");
    await screen.see(/^early-2 漢字 äöü$/m);
  });

  test("of one key is typed to by everybody who asks for it", async () => {
    await using world = await setup();
    const one = await world.open("$f exec -t --key one -- sh -c 'stty -echo; cat'");
    await eventually(() => world.processes(/^cat/).length > 0);
    one.type("first\r");
    await one.see(/^first$/m);
    const other = world.sit();
    await other.see(/near>/);
    other.type("$f exec -t --key one -- sh -c 'stty -echo; cat'\r");
    await other.see(/^first$/m);
    other.type("second\r");
    await one.see(/^second$/m);
  });

  test("takes a paste of 1 MB whole", async () => {
    await using world = await setup();
    const text = Array.from({ length: 20_000 }, (_, line) => `line ${line} äöü ${"x".repeat(40)}`).join("\n");
    writeFileSync(join(world.home, "paste"), `${text}\n`);
    const screen = await world.open(
      "(cat paste; sleep 1; printf '\\004') | $f exec -t -- sh -c 'stty -echo; cat > pasted'",
    );
    await screen.see(/code 0/);
    expect(world.read("pasted") === `${text}\n`).toBe(true);
  });
});

describe("exec -t", () => {
  const looks = [
    ["vi", "vi -n -u NONE -N text", /line 3[\s\S]*text/],
    ["less", "less text", /line 3[\s\S]*text/],
    ["less with colours", "LC_ALL=C.UTF-8 less -R coloured", /line 3[\s\S]*coloured/],
    ["colours", "printf '\\033[31mred\\033[0m äöü 漢字\\n'; sleep 1000", /red äöü 漢字/],
  ] as const;
  for (const [name, line, shown] of looks) {
    test(`shows what ${name} shows here`, async () => {
      await using world = await setup();
      writeFileSync(join(world.home, "text"), Array.from({ length: 99 }, (_, n) => `line ${n}\n`).join(""));
      writeFileSync(
        join(world.home, "coloured"),
        Array.from({ length: 99 }, (_, n) => `\x1b[${31 + (n % 6)}mline ${n}\x1b[0m 漢字 äöü\n`).join(""),
      );
      const near = world.sit(`cd ${world.home}; ${line}`);
      const far = world.sit(`$f exec -t --cwd ${world.home} --shell ${JSON.stringify(line)}`);
      await near.see(shown);
      await far.see(shown);
      const expectSame = async () => {
        await eventually(() => far.paint() === near.paint(), 10_000).catch(() => {});
        expect(far.paint()).toBe(near.paint());
      };
      await expectSame();
      for (const screen of [near, far]) screen.resize(70, 20);
      await expectSame();
    });
  }

  test("runs top, which draws anew by itself and ends at q", async () => {
    await using world = await setup();
    const screen = await world.open("$f exec -t -- top -d 0.5");
    await screen.see(/load average[\s\S]*PID/);
    screen.type("q");
    await screen.see(/code 0/);
    await world.expectRestored();
  });

  test("does not show a password", async () => {
    await using world = await setup();
    const ask = "import getpass; print('got', getpass.getpass('word: ')[::-1])";
    const screen = await world.open(`$f exec -t -- python3 -c "${ask}"`);
    await screen.see(/^word: $|^word:$/m);
    screen.type("secret\r");
    expect(await screen.see(/got terces/)).not.toContain("secret");
  });

  test("without a terminal of ours runs on one of 80 by 24, and ends it at the end of our stdin", async () => {
    await using world = await setup();
    const ran = await world.farhand(["exec", "-t", "--", "sh", "-c", "stty size; echo $TERM; cat"], {
      stdin: "one\ntwo",
      env: { TERM: undefined },
    });
    expect(ran).toMatchObject({ code: 0, stderr: "" });
    expect(ran.stdout).toContain("24 80\r\ndumb\r\n");
    expect(ran.stdout).toEndWith("one\r\ntwo");
  });
});

test("exec -t --json tells packets, and -t -d leaves a job on a terminal", async () => {
  await using world = await setup();
  const { stdout } = await world.farhand(["exec", "-t", "--json", "--", "stty", "size"]);
  expect(parseShown(stdout)).toContainEqual(expect.objectContaining({ type: "stdout", text: "24 80\r\n" }));
  const job = await world.detach("-t", "--", "stty", "size");
  await world.farhand(["wait", job]);
  expect((await world.farhand(["follow", job])).stdout).toBe("24 80\r\n");
});

test("a job on a terminal goes on when a client whose output nobody reads any more was attached to it", async () => {
  await using world = await setup();
  const job = await world.detach(
    "-t",
    "--",
    "sh",
    "-c",
    "while [ ! -e over ]; do echo line; sleep 0.02; done; echo end",
  );
  const script = `"$0" attach ${job} --no-stdin < /dev/null | head -n 1 > first`;
  const client = Bun.spawn(["sh", "-c", script, FARHAND], { cwd: world.home, env: world.env });
  await eventually(() => world.read("first") === "line\r\n");
  expect(await world.job(job)).toMatchObject({ state: "running" });
  writeFileSync(join(world.home, "over"), "");
  await client.exited;
  expect((await world.farhand(["follow", job])).stdout).toEndWith("line\r\nend\r\n");
});

describe("A console", () => {
  test("lends its terminal to a shell and to exec -t, and has it back", async () => {
    await using world = await setup();
    const screen = await world.open("$f console");
    await screen.see(/localhost.*>$/m);
    screen.type("shell\r");
    await screen.see(/^far>/m);
    screen.type("sleep 1000\r");
    await eventually(() => world.processes(/^sleep 1000/).length > 0);
    screen.press("C-c");
    screen.type("stty size; exit\r");
    await screen.see(/^30 100\n[\s\S]*localhost.*>$/m);
    screen.type("exec -t -- head -n 1\r");
    await eventually(() => world.processes(/^head -n/).length > 0);
    screen.type("to head\r");
    await screen.see(/to head\nto head\n+localhost.*>$/m);
    screen.type("exec -- echo back-$((0))\r");
    await screen.see(/^back-/m);
    screen.type("exit\r");
    await screen.see(/code 0/);
    await world.expectRestored();
  });
});

describe("A connection that is restored", () => {
  for (const [name, line, shown] of [
    ["a shell", "$f shell", /far>$/],
    ["vi", "$f exec -t -- vi -n -u NONE -N text", /line 3[\s\S]*text/],
    ["less", "$f exec -t -- less text", /line 3[\s\S]*text/],
  ] as const)
    test(`leaves ${name} on the screen as it was, apart from what its last line tells`, async () => {
      await using world = await setup();
      writeFileSync(join(world.home, "text"), Array.from({ length: 99 }, (_, n) => `line ${n}\n`).join(""));
      const screen = await world.open(line);
      const before = await screen.see(shown);
      await world.farhandd(["stop"]);
      await screen.see(/farhand: reconnecting/);
      await world.start();
      const rows = (text: string) => text.split("\n").slice(0, 29);
      await eventually(() => !/reconnecting/.test(screen.read()), 20_000);
      const isSame = () => Bun.deepEquals(rows(screen.read()), rows(before));
      // Once: the program may be drawing anew just then.
      await eventually(isSame, 20_000).catch(() => expect(rows(screen.read())).toEqual(rows(before)));
    });
});

describe("An escape at the beginning of a line", () => {
  test("is another character, or none, where that is asked for", async () => {
    await using world = await setup();
    const screen = await world.open("$f shell --escape ^B");
    await screen.see(/far>/);
    screen.type("~.\r");
    await screen.see(/~\.: .*not found/);
    screen.press("C-b", "d");
    await screen.see(/code 75/);
    screen.type("$f exec -t --escape none -- cat\r");
    await eventually(() => world.processes(/^cat/).length > 0);
    screen.type("~d\r");
    await screen.see(/^~d\n~d$/m);
  });

  test("is heeded while the connection is being restored, of which a line tells", async () => {
    await using world = await setup();
    const screen = await world.open("$f shell");
    await screen.see(/far>/);
    await world.farhandd(["stop"]);
    await screen.see(/farhand: reconnecting to .*\(\d+ s\)/);
    screen.type("~.");
    await screen.see(/Disconnected from job [\s\S]*code 75/);
    await world.expectRestored();
  });

  test("disconnects from a job that is to end with its client, and ends it by a hangup", async () => {
    await using world = await setup();
    const trap = "trap 'echo hup > hup; exit' HUP; echo ready; while :; do sleep 0.1; done";
    const screen = await world.open(`$f exec -t --on-disconnect kill -- sh -c "${trap}"`);
    await screen.see(/^ready$/m);
    screen.type("~.");
    await screen.see(/which ends[\s\S]*code 75/);
    await eventually(() => world.read("hup") === "hup\n");
  });

  for (const [how, stop] of [
    ["~^Z", (screen: Screen) => (screen.type("~"), screen.press("C-z"))],
    ["SIGTSTP", (_: Screen, client: number) => process.kill(client, "SIGTSTP")],
    ["SIGSTOP", (_: Screen, client: number) => process.kill(client, "SIGSTOP")],
  ] as const)
    test(`${how} suspends the client, which goes on as it was, at the size of then`, async () => {
      await using world = await setup();
      const screen = await world.open("$f shell");
      await screen.see(/far>/);
      const [client = 0] = world.processes(/farhand shell/);
      stop(screen, client);
      await screen.see(/code 1\d\d/);
      if (how !== "SIGSTOP") await world.expectRestored(); // of what no program sees, its shell must take care
      screen.resize(90, 25);
      screen.type("fg\n");
      await eventually(() => isRaw(screen) && !readProcess(client, "stat").includes(") T "));
      screen.type("stty size\r");
      await screen.see(/^25 90$/m);
      screen.type("~d");
      await screen.see(/Detached/);
      screen.type("stty -g > last\r");
      await eventually(() => world.read("last").length > 1);
      expect(world.read("last")).toBe(world.read("before"));
    });

  for (const [key, word] of [
    ["d", "Detached"],
    [".", "Disconnected"],
  ] as const)
    test(`~${key} leaves the job running and says how to come back`, async () => {
      await using world = await setup();
      const screen = await world.open();
      await screen.see(/far>/);
      screen.type(`~${key}`);
      expect(await screen.see(/code 75/)).toMatch(new RegExp(`${word} from job [\\s\\S]*attach`));
      await world.expectRestored();
      expect(await world.job("@last")).toMatchObject({ state: "running", attached: false });
    });

  test("~? lists, ~~ is one, and others are none", async () => {
    await using world = await setup();
    const screen = await world.open();
    await screen.see(/far>/);
    screen.type("~?");
    await screen.see(/~d +detach/);
    screen.type("\recho a~d\r~~x\r");
    await screen.see(/^a~d$/m);
    await screen.see(/~x: .*not found/);
  });
});

describe("A terminal is restored", () => {
  for (const [name, leave] of [
    ["left", (screen: Screen) => screen.type("\r~d")], // what the terminal answered to vi was typed before
    ["given up", (_: Screen, world: Pick<World, "farhandd">) => void world.farhandd(["stop"])],
  ] as const)
    test(`to its own screen when a program that has another is ${name}`, async () => {
      await using world = await setup();
      writeFileSync(join(world.home, "text"), "in the file\n");
      const screen = await world.open("$f --reconnect-timeout 0s exec -t -- vi -n -u NONE -N text");
      await screen.see(/^in the file[\s\S]*"text"/);
      leave(screen, world);
      expect(await screen.see(/code \d+/)).toMatch(/^near> stty[\s\S]*farhand: /);
      expect(screen.read()).not.toContain("in the file");
      await world.expectRestored();
    });

  for (const [signal, code] of [
    ["SIGTERM", 143],
    ["SIGHUP", 129],
    ["SIGINT", 130],
    ["SIGQUIT", 131],
    ["SIGUSR1", 138],
  ] as const)
    test(`when the client gets ${signal}`, async () => {
      await using world = await setup();
      const screen = await world.open("$f exec -t -- sleep 1000");
      await eventually(() => world.processes(/^sleep 1000/).length > 0);
      await eventually(() => isRaw(screen));
      const [client = 0] = world.processes(/farhand exec -t/);
      process.kill(client, signal);
      await screen.see(new RegExp(`code ${code}`));
      await world.expectRestored();
    });

  test("when the client fails in a way that nobody foresaw", async () => {
    await using world = await setup();
    const module = JSON.stringify(join(import.meta.dir, "../../src/cli/raw-mode.ts"));
    const script = `
      const { openLocalTerminal } = await import(${module});
      openLocalTerminal(() => ({ [Symbol.dispose]() {} })).enterRaw();
      process.stdout.write("raw\\r\\n");
      process.stdin.on("data", () => { throw new Error("unforeseen"); });`;
    writeFileSync(join(world.home, "fail.ts"), script);
    const screen = await world.open(`${process.execPath} fail.ts`);
    await screen.see(/^raw$/m);
    screen.type("x");
    await screen.see(/unforeseen[\s\S]*code 1$/m);
    await world.expectRestored();
  });

  test("when the client is told to end, and when its job is killed", async () => {
    await using world = await setup();
    const screen = await world.open("$f exec -t -- sleep 1000");
    await eventually(async () => (await world.processes(/sleep 1000/)).length > 1);
    await world.farhand(["kill", "@last"]);
    await screen.see(/code 130/);
    await world.expectRestored();
  });

  test("when the server is gone for good", async () => {
    await using world = await setup();
    const screen = await world.open("$f --reconnect-timeout 0s shell");
    await screen.see(/far>/);
    await world.farhandd(["stop"]);
    await screen.see(/code 125/);
    await world.expectRestored();
  });
});

describe("The end of a terminal's client", () => {
  test("is told to the job by nothing, and by SIGHUP only where it is to end", async () => {
    await using world = await setup();
    const screen = await world.open(
      "$f exec -t -- sh -c 'trap \"echo hup > hup\" HUP; echo ready; while :; do sleep 0.1; done'",
    );
    await screen.see(/^ready$/m);
    for (const pid of world.processes(/exec -t/)) process.kill(pid, "SIGKILL");
    await screen.see(/code 137/);
    expect(await world.job("@last")).toMatchObject({ state: "running" });
    expect(world.read("hup")).toBe("");
    await world.farhand(["kill", "@last"]);
    expect(world.read("hup")).toBe("hup\n");
  });
});

/** Whether keys reach programs on it as they are typed. */
function isRaw({ device }: Screen): boolean {
  return Bun.spawnSync(["stty", "-a", "-F", device]).stdout.includes("-icanon");
}
