import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { testIf } from "../support/test-if.ts";
import { openWebSocketProxy } from "../support/websocket-proxy.ts";
import { isRunning, openWorld, type Running } from "../support/world.ts";

setDefaultTimeout(60_000);

async function setup() {
  const world = openWorld();
  const status = await world.start();
  const address = String(status.listen[0]);
  const killFront = async () => {
    const { pid } = await world.status();
    process.kill(pid, "SIGKILL");
    await eventually(() => !isRunning(pid), 30_000);
  };
  return { ...world, address, killFront };
}

/** Signals that are alike and follow at once are one to the system. */
async function interruptTwice(client: Running, signal: NodeJS.Signals): Promise<void> {
  client.kill(signal);
  await Bun.sleep(200);
  client.kill(signal);
}

const WAIT = "echo one; while [ ! -e go ]; do sleep 0.02; done; exit 6";

describe("A client that is told to stop while its server is gone", () => {
  test.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
    "frees the terminal with the second %s, and names job and server",
    async (signal) => {
      await using world = await setup();
      const words = ["-H", world.address, "exec", "--key", "k", "--shell", WAIT];
      const job = await world.detach("--key", "k", "--shell", WAIT);
      const client = world.open(["farhand", ...words]);
      await eventually(() => client.said() === "one\n", 30_000);
      await world.killFront();
      await interruptTwice(client, signal);
      const late = await Promise.race([client.ran, Bun.sleep(10_000)]);
      expect(late).toEqual({
        code: 125,
        signal: null,
        stdout: "one\n",
        stderr: `farhand: Not waiting any longer: job ${job} may still run; farhand -H ${world.address} kill ${job} ends it\n`,
      });
    },
  );

  test("says so in JSON too", async () => {
    await using world = await setup();
    const client = world.open(["farhand", "--json", "exec", "--shell", WAIT]);
    await eventually(() => client.said().includes("one"), 30_000);
    const { id } = await world.job("@last");
    await world.killFront();
    await interruptTwice(client, "SIGINT");
    const { code, stdout, stderr } = await client.ran;
    expect([code, stderr]).toEqual([125, ""]);
    const last = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
    expect(last).toMatchObject({ type: "error", code: "cancelled", details: { job: id } });
  });

  test.each(["before", "after"])("passes the first signal on that comes %s it notices", async (when) => {
    await using world = await setup();
    const script = "trap 'echo heard; exit 7' TERM; echo one; while :; do sleep 0.02; done 2>/dev/null";
    const client = world.open(["farhand", "exec", "--shell", script]);
    await eventually(() => client.said() === "one\n", 30_000);
    if (when === "before") {
      // What a frozen server is sent it never reads.
      process.kill((await world.status()).pid, "SIGSTOP");
      client.kill("SIGTERM");
      await Bun.sleep(300);
      process.kill(world.local().pid, "SIGKILL");
    } else {
      await world.killFront();
      client.kill("SIGTERM");
    }
    await world.start("--listen", world.address);
    expect(await client.ran).toEqual({ code: 7, signal: null, stdout: "one\nheard\n", stderr: "" });
  });

  test.each([
    ["wait", 143],
    ["follow", 143],
    ["result", 143],
  ] as const)("leaves %s at once", async (verb, code) => {
    await using world = await setup();
    const job = await world.detach("--shell", WAIT);
    const client = world.open(["farhand", verb, ...(verb === "result" ? ["--wait"] : []), job]);
    await eventually(async () => (await world.farhand(["ping"])).code === 0);
    await Bun.sleep(300);
    await world.killFront();
    client.kill("SIGTERM");
    expect(await Promise.race([client.ran, Bun.sleep(10_000)])).toMatchObject({ code });
  });
});

describe("A client whose server comes back with another token", () => {
  test("ends at once, and names the job that it asked for and how it reads on", async () => {
    await using world = await setup();
    const env = { FARHAND_TOKEN: world.local().token };
    const client = world.open(["farhand", "exec", "--shell", WAIT], { env });
    await eventually(() => client.said() === "one\n", 30_000);
    const { id } = await world.job("@last");
    await world.killFront();
    await world.start("--listen", world.address);
    const { code, stderr } = await client.ran;
    expect(code).toBe(125);
    expect(stderr).toStartWith(
      "farhand: Connection lost: it broke off, and cannot be restored: Cannot connect to ",
    );
    expect(stderr).toEndWith(
      `: it refuses the token; set FARHAND_TOKEN to a valid one; to read on: farhand follow ${id} --since 1\n`,
    );
  });

  test("never says of a call that was not answered that it failed", async () => {
    await using world = await setup();
    await using proxy = await openWebSocketProxy(world.address, ({ direction, json }) =>
      direction === "toClient" && json?.["type"] !== "welcome" ? "drop" : "pass",
    );
    const words = ["-H", proxy.address, "--json", "exec", "--shell", WAIT];
    const client = world.open(["farhand", ...words], { env: { FARHAND_TOKEN: world.local().token } });
    await eventually(async () => (await world.farhand(["jobs", "@last"])).code === 0, 30_000);
    const { id } = await world.job("@last");
    await world.killFront();
    await world.start("--listen", world.address);
    proxy.reset();
    const { code, stdout } = await client.ran;
    expect([code, JSON.parse(stdout)]).toMatchObject([
      125,
      { code: "outcome_unknown", details: { job: id } },
    ]);
    expect(stdout).toContain(`whether the job runs tells farhand -H ${proxy.address} jobs ${id}`);
  });

  test("goes on where the token is that of local.json, however long that is missing", async () => {
    await using world = await setup();
    const client = world.open(["farhand", "exec", "--shell", WAIT]);
    await eventually(() => client.said() === "one\n", 30_000);
    await world.killFront();
    rmSync(join(world.state, "local.json"), { force: true });
    await Bun.sleep(1_000);
    // On another port, too.
    await world.start();
    writeFileSync(join(world.home, "go"), "");
    expect(await client.ran).toEqual({ code: 6, signal: null, stdout: "one\n", stderr: "" });
  });
});

testIf(Bun.which("script") !== null, "only script(1) gives a terminal")(
  "On a terminal the line is written anew each second, and cleared when there is a connection again",
  async () => {
    await using world = await setup();
    const command = `farhand exec --shell '${WAIT}'`;
    const client = world.open(["script", "-qec", command, "/dev/null"]);
    await eventually(() => client.said() === "one\r\n", 30_000);
    await world.killFront();
    const line = /\r\x1b\[Kfarhand: reconnecting to this machine's server \(\d s\)…/g;
    await eventually(() => (client.said().match(line) ?? []).length >= 2, 30_000);
    await world.start("--listen", world.address);
    await eventually(() => client.said().endsWith("…\r\x1b[K"), 30_000);
    writeFileSync(join(world.home, "go"), "");
    const { code, stdout } = await client.ran;
    expect([code, stdout.replace(line, "")]).toEqual([6, "one\r\n\r\x1b[K"]);
  },
);

describe("Clients that wait and watch", () => {
  test("go on over one restart of their server after another", async () => {
    await using world = await setup();
    const script = "seq 1 100; while [ ! -e go ]; do sleep 0.02; done; echo found; exit 3";
    const job = await world.detach("--shell", script);
    const open = (...words: string[]) => world.open(["farhand", ...words]);
    const watch = open("jobs", "--watch", "--json");
    const patient = ["--connect-timeout", "30s"]; // nothing shows when these are connected
    const [wait, result] = [open(...patient, "wait", job), open(...patient, "result", "--wait", job)];
    const [until, tail] = [open("follow", job, "--until", "found"), open("follow", job, "--tail", "2")];
    await eventually(() => watch.said() !== "" && until.said() !== "" && tail.said() !== "", 30_000);
    for (let round = 0; round < 3; round++) {
      await world.killFront();
      await world.start("--listen", world.address);
    }
    writeFileSync(join(world.home, "go"), "");
    const numbers = Array.from({ length: 100 }, (_, i) => `${i + 1}\n`).join("");
    expect(await until.ran).toEqual({ code: 0, signal: null, stdout: `${numbers}found\n`, stderr: "" });
    expect(await tail.ran).toEqual({ code: 3, signal: null, stdout: "99\n100\nfound\n", stderr: "" });
    expect(await wait.ran).toMatchObject({ code: 3, stderr: "" });
    expect(await result.ran).toMatchObject({ stderr: "farhand: Job 1 failed: exited 3\n" });
    await eventually(() => watch.said().includes('"exited"'), 30_000);
    watch.kill("SIGINT");
    expect((await watch.ran).code).toBe(130);
  });
});

describe("--reconnect-timeout 0s", () => {
  test("ends with the connection, with the job's id and the command that goes on", async () => {
    await using world = await setup();
    const client = world.open(["farhand", "--reconnect-timeout", "0s", "exec", "--shell", WAIT]);
    await eventually(() => client.said() === "one\n", 30_000);
    const { id } = await world.job("@last");
    await world.killFront();
    expect(await client.ran).toEqual({
      code: 125,
      signal: null,
      stdout: "one\n",
      stderr: `farhand: Connection lost: it broke off; to read on: farhand follow ${id} --since 1\n`,
    });
  });
});
