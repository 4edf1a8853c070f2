import { describe, expect, setDefaultTimeout } from "bun:test";
import { readdirSync } from "node:fs";
import { resolve } from "node:path";
import { openLibc } from "../../src/process/libc.ts";
import { StartError } from "../../src/process/program.ts";
import { signalGroup } from "../../src/process/signal.ts";
import { type SpawnOptions, spawnProgram } from "../../src/process/spawn.ts";
import { openHostTerminal } from "../../src/process/host-terminal.ts";
import { eventually } from "../support/eventually.ts";
import { testIf } from "../support/test-if.ts";

setDefaultTimeout(60_000);

const onLinux = testIf(process.platform === "linux", "terminals of our own are Linux's");

const launcher = {
  argv: [process.execPath, "--config=/dev/null", resolve(import.meta.dir, "../fixtures/launch.ts")],
  argv0: process.execPath,
};

/** A program on a terminal, and all that it has said so far. */
function start(argv: readonly string[], options: Partial<SpawnOptions> = {}) {
  const child = spawnProgram({
    argv,
    cwd: "/",
    env: { PATH: "/usr/local/bin:/usr/bin:/bin" },
    umask: 0o022,
    merge: false,
    stdin: true,
    libc: openLibc(),
    launcher,
    terminal: { columns: 132, rows: 43 },
    ...options,
  });
  let said = "";
  const read = async () => {
    for (let chunk = await child.stdout.read(); chunk !== undefined; chunk = await child.stdout.read())
      said += Buffer.from(chunk).toString("latin1");
  };
  const ended = read();
  child.exited.then(() => child.stdin?.end());
  return { child, said: () => said, ended };
}

const script = (line: string) => ["bash", "-c", line];

/** What a program says to its end. */
async function saidBy(argv: readonly string[], options?: Partial<SpawnOptions>): Promise<string> {
  const { child, said, ended } = start(argv, options);
  await Promise.all([ended, child.exited]);
  return said();
}

describe("A program on a terminal", () => {
  onLinux(
    "has it for stdin, stdout, stderr and /dev/tty, leads its session, and knows its size",
    async () => {
      const line =
        "tty <&0; tty <&1; tty <&2; stty size; exec 9</dev/tty && echo own; ps -o pid=,sid=,tpgid= $$";
      const [a, b, c, size, own, ids = ""] = (await saidBy(script(line))).split("\r\n");
      expect(a).toMatch(/^\/dev\/pts\/\d+$/);
      expect([b, c, size, own]).toEqual([a, a, "43 132", "own"]);
      const [pid, sid, group] = ids.trim().split(/\s+/);
      expect(sid).toBe(pid as string);
      expect(group).not.toBe("-1");
    },
  );

  onLinux("has the modes that the system gives a new terminal, and UTF-8", async () => {
    const modes = (await saidBy(["stty", "-a"])).split(/\s+/);
    expect(modes).toEqual(expect.arrayContaining(["icanon", "isig", "echo", "onlcr", "iutf8"]));
  });

  onLinux("is told when it gets another size", async () => {
    const line = `trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.1; done`;
    const { child, said, ended } = start(script(line));
    await eventually(() => said().includes("ready"));
    child.terminal?.resize({ columns: 100, rows: 30 });
    await ended;
    expect(said()).toContain("30 100");
  });

  onLinux("gets what is typed, and its signals from keys", async () => {
    const sleeper = "sh -c 'echo asleep; exec sleep 60'";
    const line = `trap 'echo got INT' INT; read -r line; echo "line: $line"; ${sleeper}; echo after`;
    const { child, said, ended } = start(script(line));
    await child.stdin?.write(Buffer.from("h\u00e9llo\r"));
    await eventually(() => said().includes("asleep"));
    expect(said()).toContain("line: h\u00c3\u00a9llo");
    await child.stdin?.write(Buffer.from("\x03"));
    await ended;
    expect(said()).toContain("got INT");
  });

  onLinux("says everything before its exit, fifty times of fifty", async () => {
    const whole = Array.from({ length: 3_000 }, (_, i) => `${i + 1}\r\n`).join("");
    for (let round = 0; round < 50; round++) {
      const { child, said, ended } = start(["seq", "3000"]);
      await child.exited;
      await child.stdout.caughtUp(new AbortController().signal);
      expect(said() === whole).toBe(true);
      await ended;
    }
  });

  onLinux("has said everything at its exit though a grandchild keeps the terminal", async () => {
    const { child, said, ended } = start(script("sleep 600 & seq 2000; exit 3"));
    const { end } = await child.exited;
    expect(end).toEqual({ type: "exited", code: 3 });
    await child.stdout.caughtUp(new AbortController().signal);
    expect(said().endsWith("2000\r\n")).toBe(true);
    signalGroup(child.pid, "SIGKILL");
    await ended;
  });

  onLinux("waits while nobody reads, and loses nothing", async () => {
    const child = spawnProgram({
      argv: ["seq", "200000"],
      cwd: "/",
      env: { PATH: "/usr/bin:/bin" },
      umask: 0o022,
      merge: false,
      stdin: true,
      libc: openLibc(),
      launcher,
      terminal: { columns: 80, rows: 24 },
    });
    let isOver = false;
    child.exited.then(() => (isOver = true));
    await Bun.sleep(500); // what is tested is that time changes nothing
    expect(isOver).toBe(false);
    let bytes = 0;
    for (let chunk = await child.stdout.read(); chunk !== undefined; chunk = await child.stdout.read())
      bytes += chunk.length;
    expect(bytes).toBe(1_288_895 + 200_000);
  });

  onLinux("is found by the file that it is, under any name", async () => {
    expect(await saidBy(["-sh", "-c", "echo $0"], { file: "/bin/sh" })).toBe("-sh\r\n");
  });

  onLinux("leaves no descriptor behind, however it ends", async () => {
    const open = () => readdirSync("/proc/self/fd").length;
    await saidBy(["true"]);
    const before = open();
    for (let round = 0; round < 5; round++) await saidBy(["true"]).then(() => saidBy(["false"]));
    const refused = () => start(["no-such-program"]);
    expect(refused).toThrow(StartError);
    await eventually(() => open() <= before + 2);
  });
});

describe("A terminal of Bun's", () => {
  onLinux("carries a program's output to its end, what is typed, and sizes", async () => {
    const host = { libc: undefined, launcher: undefined };
    const { child, said, ended } = start(script("stty size; read -r x; echo got $x; stty size"), host);
    await eventually(() => said().includes("43 132"));
    child.terminal?.resize({ columns: 90, rows: 20 });
    await child.stdin?.write(Buffer.from("words\r"));
    const { end } = await child.exited;
    await ended;
    expect(end).toEqual({ type: "exited", code: 0 });
    expect(said()).toMatch(/got words\r\n20 90\r\n$/);
  });

  onLinux("loses nothing that is said right before the exit, a hundred times of a hundred", async () => {
    const host = { libc: undefined, launcher: undefined };
    for (let round = 0; round < 100; round++) {
      const { child, said, ended } = start(script("read -r x; echo got $x; stty size"), host);
      await child.stdin?.write(Buffer.from("words\r"));
      await ended;
      expect(said()).toEndWith("got words\r\n43 132\r\n");
    }
  });

  onLinux("keeps nobody waiting who types what its program does not read", async () => {
    const host = { libc: undefined, launcher: undefined };
    const { child, ended } = start(script("stty raw -echo; echo; read -r -n 1"), host);
    await child.stdin?.write(new Uint8Array(100_000).fill(65));
    await ended;
    const late = child.stdin?.write(Uint8Array.of(65));
    await expect(late).rejects.toThrow("program has exited");
  });

  onLinux("takes what is typed at its own pace", async () => {
    const argv = script("stty raw -echo; echo; head -c 200000 | wc -c");
    const host = openHostTerminal({ columns: 80, rows: 24 }, (terminal) => Bun.spawn(argv, { terminal }));
    const reader = host.output.getReader();
    await reader.read(); // by then it takes bytes as they are
    await host.write(new Uint8Array(200_000).fill(65));
    expect(Buffer.from((await reader.read()).value ?? []).toString()).toContain("200000");
  });
});
