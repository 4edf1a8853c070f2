import { describe, expect, setDefaultTimeout } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FARHAND } from "../support/built.ts";
import { eventually } from "../support/eventually.ts";
import { openScreen } from "../support/screen.ts";
import { testIf } from "../support/test-if.ts";
import { openWorld } from "../support/world.ts";

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
    ["colours", "printf '\\033[31mred\\033[0m äöü\\n'; sleep 1000", /red äöü/],
  ] as const;
  for (const [name, line, shown] of looks) {
    test(`shows what ${name} shows here`, async () => {
      await using world = await setup();
      writeFileSync(join(world.home, "text"), Array.from({ length: 99 }, (_, n) => `line ${n}\n`).join(""));
      const near = world.sit(`cd ${world.home}; ${line}`);
      const far = world.sit(`$f exec -t --cwd ${world.home} --shell ${JSON.stringify(line)}`);
      const wanted = await near.see(shown);
      await far.see(shown);
      await eventually(() => far.read() === near.read(), 10_000).catch(() => {});
      expect(far.read()).toBe(wanted);
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

describe("An escape at the beginning of a line", () => {
  for (const [key, word] of [
    ["d", "Detached"],
    [".", "Disconnected"],
  ] as const)
    test(`~${key} leaves the job running and says how to come back`, async () => {
      await using world = await setup();
      const screen = await world.open();
      await screen.see(/far>/);
      screen.type(`~${key}`);
      expect(await screen.see(/code 0/)).toMatch(new RegExp(`${word} from job [\\s\\S]*attach`));
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
