import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Pool } from "../../src/sdk.ts";
import { eventually } from "../support/eventually.ts";
import { cutAtRandom, openProxy } from "../support/proxy.ts";
import { openWebSocketProxy, type PassingFrame, type Verdict } from "../support/websocket-proxy.ts";
import { isRunning, openWorld } from "../support/world.ts";

setDefaultTimeout(120_000);

const KiB = 1024;

async function setup(...args: string[]) {
  const world = openWorld();
  const status = await world.start(...args);
  const address = String(status.listen[0]);
  const env = { FARHAND_TOKEN: world.local().token };
  /** A client whose way leads through a proxy. */
  const through = (proxy: { address: string }, ...words: string[]) =>
    world.open(["farhand", "-H", proxy.address, "--heartbeat", "1s", ...words], { env });
  const killFront = async () => {
    const { pid } = await world.status();
    process.kill(pid, "SIGKILL");
    await eventually(() => !isRunning(pid), 30_000);
  };
  return { ...world, address, env, through, killFront };
}

/** Bytes that are no text, of which no two stretches are alike. */
function noise(bytes: number): Buffer {
  return randomBytes(bytes);
}

function hash(bytes: Uint8Array | string): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

describe("A connection that is cut again and again", () => {
  test("loses and doubles nothing of 4 MiB through cat, in either direction", async () => {
    await using world = await setup();
    const sent = noise(4 * 1024 * KiB);
    writeFileSync(join(world.home, "sent"), sent);
    await using proxy = await openProxy(world.address, cutAtRandom(512 * KiB));
    const line = `farhand -H ${proxy.address} --connect-timeout 20s exec -- cat < sent | sha256sum`;
    const ran = await world.shell(line, { env: world.env });
    expect(ran).toEqual({ code: 0, signal: null, stdout: `${hash(sent)}  -\n`, stderr: "" });
    expect(proxy.connections.length).toBeGreaterThan(8);
  });

  test("loses and doubles nothing of two streams, however close the cuts", async () => {
    await using world = await setup();
    await using proxy = await openProxy(world.address, cutAtRandom(192 * KiB));
    const script = "seq 1 60000; seq 1 60000 >&2; exit 9";
    const client = world.through(proxy, "--connect-timeout", "20s", "exec", "--shell", script);
    const { code, stdout, stderr } = await client.ran;
    const whole = Array.from({ length: 60_000 }, (_, i) => `${i + 1}\n`).join("");
    expect([code, hash(stdout), hash(stderr)]).toEqual([9, hash(whole), hash(whole)]);
    expect(proxy.connections.length).toBeGreaterThan(3);
  });

  test("under a follower gives it every packet once", async () => {
    await using world = await setup();
    const job = await world.detach("--shell", "seq 1 100000; exit 3");
    await using proxy = await openProxy(world.address, cutAtRandom(192 * KiB));
    const { code, stdout } = await world.through(proxy, "--connect-timeout", "20s", "follow", job).ran;
    const whole = Array.from({ length: 100_000 }, (_, i) => `${i + 1}\n`).join("");
    expect([code, hash(stdout)]).toEqual([3, hash(whole)]);
  });
});

describe("A program's one connection that is cut every tenth of a second", () => {
  test("answers 200 jobs at once, each in full, and starts none twice", async () => {
    await using world = await setup();
    await using proxy = await openProxy(world.address);
    await using pool = new Pool(world.env);
    const connection = await pool.add(proxy.address).connect();
    const script = (i: number) => `echo ${i} >> ran; seq 1 ${i * 20}; sleep 0.${i % 10}; cat; exit ${i % 7}`;
    const numbers = Array.from({ length: 200 }, (_, i) => i);
    const running = Promise.all(
      numbers.map((i) =>
        connection.exec({ shell: script(i) }, { cwd: world.home, stdin: `in ${i}\n`.repeat(i) }),
      ),
    );
    let isDone = false;
    running.finally(() => (isDone = true)).catch(() => {}); // it is awaited below
    for (let cut = 0; !isDone; cut++) {
      await Bun.sleep(30 + Math.random() * 120);
      if (cut % 2 === 0) proxy.reset();
      else proxy.cut();
    }
    for (const [i, { outcome, stdout }] of (await running).entries()) {
      const whole = Array.from({ length: i * 20 }, (_, k) => `${k + 1}\n`).join("") + `in ${i}\n`.repeat(i);
      expect([i, outcome, hash(stdout)]).toEqual([i, { type: "exited", code: i % 7 }, hash(whole)]);
    }
    const ran = readFileSync(join(world.home, "ran"), "utf8").trim().split("\n").map(Number);
    expect(ran.toSorted((a, b) => a - b)).toEqual(numbers);
    expect(proxy.connections.length).toBeGreaterThan(5);
  });
});

describe("A reader that goes while the connection is gone", () => {
  test("is told of to the job over the next one: that gets SIGPIPE", async () => {
    await using world = await setup();
    await using proxy = await openProxy(world.address);
    const script = "echo one; while [ ! -e go ]; do sleep 0.02; done; yes; echo $? >&2";
    const line = `farhand -H ${proxy.address} exec --shell '${script}' | head -1`;
    const client = world.open(["bash", "-c", line], { env: world.env });
    await eventually(() => client.said() === "one\n", 30_000);
    proxy.refuse();
    proxy.reset();
    writeFileSync(join(world.home, "go"), "");
    await Bun.sleep(300);
    proxy.accept();
    expect(await client.ran).toMatchObject({ code: 0, stdout: "one\n", stderr: "141\n" });
  });
});

describe("exec -d with a stdin of its own", () => {
  test("feeds all of it over one connection after another", async () => {
    await using world = await setup();
    await using proxy = await openProxy(world.address);
    const source = "for i in $(seq 1 200); do echo $i; sleep 0.01; done";
    const line = `{ ${source}; } | farhand -H ${proxy.address} exec -d --stdin --shell 'cat > got'`;
    const client = world.open(["bash", "-c", line], { env: world.env });
    let isDone = false;
    client.ran.finally(() => (isDone = true)).catch(() => {}); // it is awaited below
    for (let cut = 0; !isDone; cut++) {
      await Bun.sleep(200);
      if (cut % 2 === 0) proxy.reset();
      else proxy.cut();
    }
    const { code, stdout, stderr } = await client.ran;
    expect([code, stderr]).toEqual([0, ""]);
    expect(await world.farhand(["wait", stdout.trim()])).toMatchObject({ code: 0 });
    const whole = Array.from({ length: 200 }, (_, i) => `${i + 1}\n`).join("");
    expect(readFileSync(join(world.home, "got"), "utf8")).toBe(whole);
  });
});

describe("A server that is killed again and again", () => {
  test("loses and doubles nothing of what goes through an attached job", async () => {
    await using world = await setup();
    const source = "for i in $(seq 1 400); do echo line $i; sleep 0.01; done";
    const client = world.open(["bash", "-c", `{ ${source}; } | farhand exec --shell 'cat; exit 5'`]);
    await eventually(() => client.said() !== "", 30_000);
    for (let round = 0; round < 3; round++) {
      const before = client.said().length;
      await world.killFront();
      await world.start();
      await eventually(() => client.said().length > before, 30_000);
    }
    const whole = Array.from({ length: 400 }, (_, i) => `line ${i + 1}\n`).join("");
    expect(await client.ran).toEqual({ code: 5, signal: null, stdout: whole, stderr: "" });
  });

  test("leaves a job attached: it is held for its reader over the restart", async () => {
    await using world = await setup();
    const client = world.open([
      "farhand",
      "exec",
      "--shell",
      "echo one; while [ ! -e go ]; do sleep 0.02; done",
    ]);
    await eventually(() => client.said() === "one\n", 30_000);
    await world.killFront();
    await world.start();
    await eventually(async () => (await world.job("@last")).attached, 30_000);
    writeFileSync(join(world.home, "go"), "");
    expect((await client.ran).code).toBe(0);
  });
});

describe("A partition", () => {
  /** Says a number every 50 ms and what it is told. */
  const script = "exec 3<&0; cat <&3 & for i in $(seq 1 260); do echo $i >&2; sleep 0.05; done; wait";
  const numbers = Array.from({ length: 260 }, (_, i) => `${i + 1}\n`).join("");

  test("of 10 s loses and repeats nothing in either direction, and says so in one line", async () => {
    await using world = await setup();
    await using proxy = await openProxy(world.address);
    const command = `farhand -H ${proxy.address} --heartbeat 1s exec --shell '${script}'`;
    const source = "for i in $(seq 1 260); do echo $i; sleep 0.05; done";
    const client = world.open(["bash", "-c", `{ ${source}; } | ${command}`], { env: world.env });
    await eventually(() => client.said().startsWith("1\n2\n3\n"), 30_000);
    proxy.blackhole();
    const noticed = (await proxy.connection(0)).closed;
    await Bun.sleep(10_000);
    proxy.heal();
    await noticed;
    const { code, stdout, stderr } = await client.ran;
    const notices = stderr.split("\n").filter((line) => line.includes("reconnecting"));
    expect([code, stdout]).toEqual([0, numbers]);
    expect(stderr.replace(/^farhand: reconnecting .*\n/m, "")).toBe(numbers);
    expect(notices).toEqual([`farhand: reconnecting to ${proxy.address} (3 s)…`]);
  });

  test("longer than the client waits ends it with 125 and the command that goes on; the job is not disturbed", async () => {
    await using world = await setup();
    await using proxy = await openProxy(world.address);
    const wait = "echo one; while [ ! -e go ]; do sleep 0.02; done; echo two; exit 6";
    const client = world.through(proxy, "--reconnect-timeout", "1s", "exec", "--shell", wait);
    await eventually(() => client.said() === "one\n", 30_000);
    proxy.blackhole();
    const { code, stderr } = await client.ran;
    expect(code).toBe(125);
    const loss =
      "farhand: Connection lost: nothing received for 3000 ms, and could not be restored within 1 s";
    expect(stderr).toStartWith(loss);
    const [, command = ""] = /; to read on: (farhand .+)\n$/.exec(stderr) ?? [];
    expect(command).toMatch(/^farhand -H [\d.:]+ follow [0-9a-f-]{36} --since 1$/);
    expect(await world.job("@last")).toMatchObject({ state: "running" });
    proxy.heal();
    writeFileSync(join(world.home, "go"), "");
    expect(await world.shell(command, { env: world.env })).toMatchObject({ code: 6, stdout: "two\n" });
  });

  test("longer than the server keeps the session is survived too", async () => {
    await using world = await setup();
    await world.farhandd(["stop"]);
    const config = join(world.home, "config.toml");
    writeFileSync(config, `listen = "${world.address}"\n[session]\ngrace = "200ms"\n`);
    await world.start("--config", config);
    const env = { FARHAND_TOKEN: world.local().token };
    await using proxy = await openProxy(world.address);
    const wait = "echo one; while [ ! -e go ]; do sleep 0.02; done; echo two; exit 6";
    const words = ["-H", proxy.address, "exec", "--shell", wait];
    const client = world.open(["farhand", ...words], { env });
    await eventually(() => client.said() === "one\n", 30_000);
    proxy.refuse();
    proxy.reset();
    await eventually(async () => !(await world.job("@last")).attached, 30_000);
    // Two graces and more: the hold has ended with the session, and the job runs on without a reader.
    await Bun.sleep(1_000);
    proxy.accept();
    await eventually(async () => (await world.job("@last")).attached, 30_000);
    writeFileSync(join(world.home, "go"), "");
    expect(await client.ran).toEqual({ code: 6, signal: null, stdout: "one\ntwo\n", stderr: "" });
  });

  test("in one direction only is noticed by either side", async () => {
    for (const direction of ["toServer", "toClient"] as const) {
      await using world = await setup();
      await using proxy = await openProxy(world.address);
      const client = world.through(
        proxy,
        "exec",
        "--shell",
        "echo one; while [ ! -e go ]; do sleep 0.02; done",
      );
      await eventually(() => client.said() === "one\n", 30_000);
      (await proxy.connection(0)).blackhole(direction);
      await proxy.connection(1);
      writeFileSync(join(world.home, "go"), "");
      expect(await client.ran).toMatchObject({ code: 0, stdout: "one\n" });
    }
  });
});

describe("Frames that are", () => {
  /** Spoils one in ten of the frames that the first few connections carry, but no hello: nothing is understood before it. */
  const spoil = (verdict: Verdict) => (frame: PassingFrame) =>
    frame.connection < 6 && frame.json?.["type"] !== "hello" && Math.random() < 0.1 ? verdict : "pass";

  test.each<[string, Verdict]>([
    ["dropped", "drop"],
    ["duplicated", "duplicate"],
    ["swapped", "swap"],
  ])("%s lose and repeat nothing", async (_what, verdict) => {
    await using world = await setup();
    await using proxy = await openWebSocketProxy(world.address, spoil(verdict));
    const script = "while read line; do echo $line; echo $line >> ran; done; exit 4";
    const source = "for i in $(seq 1 100); do echo $i; sleep 0.005; done";
    const command = `farhand -H ${proxy.address} --heartbeat 1s --connect-timeout 30s exec --shell '${script}'`;
    const ran = await world.shell(`{ ${source}; } | ${command}`, { env: world.env });
    const whole = Array.from({ length: 100 }, (_, i) => `${i + 1}\n`).join("");
    expect(ran).toMatchObject({ code: 4, stdout: whole });
    expect(await Bun.file(join(world.home, "ran")).text()).toBe(whole);
  });

  test("replayed from an earlier connection change nothing", async () => {
    await using world = await setup();
    const whole = Array.from({ length: 50 }, (_, i) => `${i + 1}\n`).join("");
    await using proxy = await openWebSocketProxy(world.address);
    const script = "while read line; do echo $line; done; exit 4";
    const source = "for i in $(seq 1 50); do echo $i; sleep 0.02; done";
    const command = `farhand -H ${proxy.address} --heartbeat 1s exec --shell '${script}'`;
    const client = world.open(["bash", "-c", `{ ${source}; } | ${command}`], { env: world.env });
    await eventually(() => client.said() !== "", 30_000);
    const from = (connection: number, direction: string) =>
      proxy.frames.filter((frame) => frame.connection === connection && frame.direction === direction);
    const [up, down] = [from(0, "toServer"), from(0, "toClient")];
    proxy.cut();
    await proxy.connection(1);
    await eventually(() => from(1, "toServer").length > 2, 30_000);
    // All that has a number was taken before; a greeting of old proves nothing any more.
    const isNumbered = ({ json }: PassingFrame) => json?.["seq"] !== undefined;
    proxy.replay(1, "toServer", up.filter(isNumbered));
    proxy.replay(1, "toClient", down.filter(isNumbered));
    expect(await client.ran).toMatchObject({ code: 4, stdout: whole });
  });
});
