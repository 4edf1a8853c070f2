import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { turn } from "../../src/lib/abort.ts";
import { openLibc } from "../../src/process/libc.ts";
import { openOutput, type OutputPipe } from "../../src/process/pipe.ts";
import { signalGroup } from "../../src/process/signal.ts";
import { type Child, spawnProgram } from "../../src/process/spawn.ts";
import { openDirectory } from "../support/directory.ts";
import { eventually } from "../support/eventually.ts";

const KiB = 1024;
const libc = openLibc();
const never = new AbortController().signal;

function setup() {
  const started: Child[] = [];
  return {
    spawn(argv: readonly string[], stdin = false): Child {
      const env = { PATH: process.env["PATH"] ?? "" };
      const child = spawnProgram({ argv, cwd: "/", env, umask: 0o022, merge: false, stdin, libc });
      started.push(child);
      return child;
    },
    [Symbol.dispose]() {
      for (const { pid } of started) signalGroup(pid, "SIGKILL");
    },
  };
}

/** Reads in the background, as a job does: how many bytes came so far. */
function startCounting(pipe: OutputPipe): { bytes: number; ended: Promise<void> } {
  const count = { bytes: 0, ended: Promise.resolve() };
  count.ended = (async () => {
    for (let chunk = await pipe.read(); chunk !== undefined; chunk = await pipe.read())
      count.bytes += chunk.length;
  })();
  return count;
}

describe("OutputPipe.caughtUp", () => {
  test("resolves when all is read that a program wrote before its exit, run after run", async () => {
    using world = setup();
    for (let run = 0; run < 100; run++) {
      // The grandchild keeps the pipe open, so that its end tells nothing.
      const child = world.spawn(["sh", "-c", "sleep 60 & head -c 60000 /dev/zero"]);
      const count = startCounting(child.stdout);
      await child.exited;
      await child.stdout.caughtUp(never);
      expect(count.bytes).toBe(60_000);
      signalGroup(child.pid, "SIGKILL");
      await count.ended;
    }
  }, 60_000);

  test("resolves when all is read of a program whose pipe ends with it, run after run", async () => {
    using world = setup();
    for (let run = 0; run < 100; run++) {
      const child = world.spawn(["head", "-c", "60000", "/dev/zero"]);
      const count = startCounting(child.stdout);
      await child.exited;
      await child.stdout.caughtUp(never);
      expect(count.bytes).toBe(60_000);
    }
  }, 60_000);

  test("is not held back by grandchildren that flood the pipe faster than it is read", async () => {
    using world = setup();
    const child = world.spawn(["sh", "-c", "yes & yes & sleep 0.1"]);
    let bytes = 0;
    // It never finds the pipe empty: only what was counted at the exit can tell that it is done.
    const reading = (async () => {
      for (let chunk = await child.stdout.read(); chunk !== undefined; chunk = await child.stdout.read()) {
        bytes += chunk.length;
        for (let turns = 0; turns < 50; turns++) await turn();
      }
    })();
    await child.exited;
    const before = bytes;
    await child.stdout.caughtUp(never);
    // The 512 KiB that Bun may have read ahead, the 64 KiB of the pipe, and chunks under way.
    expect(bytes - before).toBeLessThan(2_000 * KiB);
    signalGroup(child.pid, "SIGKILL");
    await reading;
  }, 20_000);

  test("does not resolve while whoever reads is still busy with what it got", async () => {
    const whole = new Uint8Array(512 * KiB);
    const stream = new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(whole) });
    const pipe = openOutput(stream);
    let isCaughtUp = false;
    const caughtUp = pipe.caughtUp(never).then(() => (isCaughtUp = true));
    expect(await pipe.read()).toHaveLength(whole.length);
    for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
    expect(isCaughtUp).toBe(false);
    const next = pipe.read();
    await caughtUp;
    await pipe.close();
    expect(await next).toBeUndefined();
  });

  test("resolves at once for a pipe that has ended", async () => {
    using world = setup();
    const child = world.spawn(["true"]);
    await startCounting(child.stdout).ended;
    await child.stdout.caughtUp(never);
    expect(await child.stdout.read()).toBeUndefined();
  });
});

test("OutputPipe.close gives the program SIGPIPE, whether somebody reads or not", async () => {
  using world = setup();
  const unread = world.spawn(["yes"]);
  await unread.stdout.close();
  expect((await unread.exited).end).toEqual({ type: "signaled", signal: "SIGPIPE" });
  expect(await unread.stdout.read()).toBeUndefined();

  const read = world.spawn(["yes"]);
  const count = startCounting(read.stdout);
  await eventually(() => count.bytes > 0);
  await read.stdout.close();
  await read.stdout.close();
  await count.ended;
  expect((await read.exited).end).toEqual({ type: "signaled", signal: "SIGPIPE" });

  const waiting = world.spawn(["sh", "-c", "sleep 0.1; echo; echo; sleep 60"]);
  const pending = waiting.stdout.read();
  await waiting.stdout.close();
  expect(await pending).toBeUndefined();
  expect((await waiting.exited).end).toEqual({ type: "signaled", signal: "SIGPIPE" });
});

test("OutputPipe holds a program back while nobody reads it", async () => {
  using world = setup();
  using directory = openDirectory();
  const done = `${directory.path}/done`;
  const child = world.spawn(["sh", "-c", `head -c 3000000 /dev/zero; : > ${done}`]);
  for (let count = 0; count < 10; count++) await world.spawn(["true"]).exited;
  expect(existsSync(done)).toBe(false);
  const count = startCounting(child.stdout);
  await count.ended;
  expect(count.bytes).toBe(3_000_000);
  expect(existsSync(done)).toBe(true);
});

describe("InputPipe", () => {
  test("gives the program every byte, then the end", async () => {
    using world = setup();
    const child = world.spawn(["sha256sum"], true);
    const output = child.stdout.read();
    const piece = crypto.getRandomValues(new Uint8Array(100_000));
    const hasher = new Bun.CryptoHasher("sha256");
    for (let count = 0; count < 30; count++) {
      await child.stdin?.write(piece);
      hasher.update(piece);
    }
    child.stdin?.end();
    child.stdin?.end();
    expect(new TextDecoder().decode(await output)).toBe(`${hasher.digest("hex")}  -\n`);
  });

  test("rejects with EPIPE once nobody will read what is written", async () => {
    using world = setup();
    const child = world.spawn(["sh", "-c", "exec <&-; echo closed; sleep 60"], true);
    await child.stdout.read();
    const write = async () => {
      for (let count = 0; count < 10; count++) await child.stdin?.write(new Uint8Array(10_000));
    };
    await expect(write()).rejects.toMatchObject({ code: "EPIPE" });
  });

  test("waits while the program does not read", async () => {
    using world = setup();
    const child = world.spawn(["sh", "-c", "kill -STOP $$; exec cat > /dev/null"], true);
    let taken = 0;
    const writing = (async () => {
      for (; taken < 20; taken++) await child.stdin?.write(new Uint8Array(64 * KiB));
    })();
    // Whoever could go on has gone on when other programs have come and gone.
    for (let count = 0; count < 5; count++) await world.spawn(["true"]).exited;
    expect(taken).toBeLessThan(5);
    await eventually(() => signalGroup(child.pid, "SIGCONT") && taken === 20);
    await writing;
    child.stdin?.end();
    expect((await child.exited).end).toEqual({ type: "exited", code: 0 });
  });
});

test("OutputPipe of 300 silent children does not slow the output of another", async () => {
  using world = setup();
  const silent = Array.from({ length: 300 }, () => world.spawn(["sleep", "60"]));
  for (const { stdout, stderr } of silent) {
    startCounting(stdout);
    if (stderr !== undefined) startCounting(stderr);
  }
  for (let run = 0; run < 5; run++) {
    const began = performance.now();
    const child = world.spawn(["echo", "heard"]);
    expect(new TextDecoder().decode(await child.stdout.read())).toBe("heard\n");
    await child.exited;
    // 5,004 ms when silent jobs blocked it; 1 ms when not.
    expect(performance.now() - began).toBeLessThan(1_000);
  }
}, 30_000);
