import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AppError, ClientError, Pool } from "../../src/sdk.ts";
import { openConnected } from "../support/connected.ts";
import { eventually } from "../support/eventually.ts";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

// The examples of the page by which conplyent's client is known, in our words, and what it says of each.

const caught = (promise: Promise<unknown>) => promise.catch((error: unknown) => error);
const textOf = (packets: readonly { readonly type: string; readonly bytes?: Uint8Array }[]) =>
  packets.map(({ type, bytes }) => (type === "stdout" ? new TextDecoder().decode(bytes) : "")).join("");

describe("Client Pool", () => {
  test("connection = client.add(host, port); connection.connect(timeout); connection.close()", async () => {
    await using world = openWorld();
    const { port } = new URL((await world.start(), world.local().url));
    await using pool = new Pool({});
    const member = pool.add("127.0.0.1", { port: Number(port), token: world.local().token });
    expect(member.connection).toBeUndefined(); // adding a client connects nothing
    const connection = await member.connect({ timeout: 240_000 });
    expect((await connection.exec("echo here")).text).toBe("here\n");
    await member.disconnect();
    expect(await connection.heartbeat()).toBe(false);
    const again = await member.connect({ timeout: 240_000 });
    expect(await again.heartbeat()).toBe(true);
    await member.close();
    expect(await caught(member.connect())).toMatchObject({ code: "cancelled" });
  });

  test("with client.add(host, port, enter_connect_timeout) as connection", async () => {
    await using world = openWorld();
    await world.start();
    const { url, token } = world.local();
    const pool = new Pool({});
    let left;
    {
      await using connection = await pool.add(url, { token }).connect({ timeout: 240_000 });
      expect(await connection.heartbeat()).toBe(true);
      left = connection;
    }
    expect(left.state.state).toBe("closed");
  });

  test("a server that does not answer within the timeout is an error, and no wait for ever", async () => {
    const silent = Bun.listen({ port: 0, hostname: "127.0.0.1", socket: { data() {} } });
    await using pool = new Pool({});
    const connecting = pool.add("127.0.0.1", { port: silent.port, token: "t" }).connect({ timeout: 300 });
    const error = await caught(connecting);
    expect(error).toBeInstanceOf(ClientError);
    expect(error).toMatchObject({ code: "timed_out", message: expect.stringContaining("127.0.0.1") });
    silent.stop(true);
    const nobody = pool.add("127.0.0.1", { port: silent.port, token: "t" }).connect();
    expect(await caught(nobody)).toMatchObject({ name: "ClientError", code: "connection_refused" });
  });

  test("any number of clients share a server, each with connections of its own", async () => {
    await using stage = await openConnected();
    const { url, token } = stage.world.local();
    const pools = Array.from({ length: 5 }, () => new Pool({}));
    const others = await Promise.all(
      pools.map((pool) => pool.add(url, { token }).connect({ timeout: 20_000 })),
    );
    const said = await Promise.all([stage.web1, ...others].map((web, at) => web.exec(`echo ${at}`)));
    expect(said.map(({ text }) => text)).toEqual(["0\n", "1\n", "2\n", "3\n", "4\n", "5\n"]);
    await Promise.all(pools.map((pool) => pool.close()));
  });
});

describe("Server Commands", () => {
  test("complete: by default the output is what is answered; without, a listener whose id names the job", async () => {
    await using stage = await openConnected();
    const output = await stage.web1.exec("seq 1 3");
    expect(textOf(output)).toBe("1\n2\n3\n");
    await using listener = await stage.web1.exec("sleep 600", { complete: false });
    expect((await stage.web1.kill(listener.id)).result?.outcome).toMatchObject({ type: "cancelled" });
  });

  test("timeout: without, the call waits until completion; with, no longer than that, and the job goes on", async () => {
    await using stage = await openConnected();
    expect((await stage.web1.exec("sleep 0.5; echo done")).text).toBe("done\n");
    const error = await caught(stage.web1.exec("sleep 600", { timeout: 200 }));
    expect(error).toBeInstanceOf(ClientError);
    expect(error).toMatchObject({ code: "timeout", details: { job: expect.any(String) } });
    expect((await stage.web1.jobs({ filter: { states: ["running"] } })).result?.jobs).toHaveLength(1);
  });

  test("max_interval: a silence throws a ClientError from a waiting call, and of a command that talks nothing", async () => {
    await using stage = await openConnected();
    const silent = await caught(stage.web1.exec("sleep 600", { maxInterval: 200 }));
    expect(silent).toBeInstanceOf(ClientError);
    expect(silent).toMatchObject({ code: "listener_timeout" });
    const talking = await stage.web1.exec("for i in 1 2 3 4 5 6; do echo $i; sleep 0.2; done", {
      maxInterval: 5_000.5,
    });
    expect(talking.exitCode).toBe(0);
  });

  test("raise_error: a missing file is in the output by default, and thrown when asked for", async () => {
    await using stage = await openConnected();
    const missing = join(stage.world.home, "missing");
    const { error, result } = await stage.web1.ls(missing);
    expect(result).toBeUndefined();
    expect(error).toMatchObject({ code: "os_error", details: { os: "ENOENT", path: missing } });
    const thrown = await caught(stage.web1.ls(missing, { raiseError: true }));
    expect(thrown).toBeInstanceOf(AppError);
    expect(thrown).toMatchObject({ code: "os_error", details: { os: "ENOENT" }, message: error?.message });
  });

  test("exec: a list is a program with its arguments, a string is a line for the server's shell", async () => {
    await using stage = await openConnected();
    expect((await stage.web1.exec(["echo", "a  b", "$HOME", "*"])).text).toBe("a  b $HOME *\n");
    expect((await stage.web1.exec("echo 'a  b' | tr a c; exit 1")).text).toBe("c  b\n");
  });

  test("ls and rdfile: files of the server, as typed values and as bytes", async () => {
    await using stage = await openConnected();
    const { home } = stage.world;
    mkdirSync(join(home, "docs"));
    writeFileSync(join(home, "docs", ".hidden"), "");
    writeFileSync(join(home, "docs", "data"), new Uint8Array([0, 255, 10]));
    const plain = await stage.web1.ls("docs", { raiseError: true });
    expect(plain.events).toMatchObject([{ name: "data", type: "file" }]);
    const all = await stage.web1.ls(["docs"], { hidden: true, raiseError: true });
    expect(all.events.map(({ name }) => name)).toEqual([".hidden", "data"]);
    const read = await stage.web1.rdfile("docs/data", { raiseError: true });
    expect([...read.stdout]).toEqual([0, 255, 10]);
    const listener = await stage.web1.ls("docs", { complete: false });
    expect((await Array.fromAsync(listener)).map(({ type }) => type)).toEqual(["value", "result"]);
  });
});

describe("Client Commands", () => {
  test("heartbeat: true from a server that answers, false from one that does not, and no exception", async () => {
    await using stage = await openConnected();
    expect(await stage.web1.heartbeat()).toBe(true);
    await stage.world.farhandd(["stop"]);
    expect(await stage.web1.heartbeat({ timeout: 200 })).toBe(false);
  });
});

describe("Listener", () => {
  test("for msg in iter(listener.next, None), interrupted by max_interval where the command waits for input", async () => {
    await using stage = await openConnected();
    const listener = await stage.web1.exec("echo ready; read answer; echo got $answer", {
      complete: false,
      stdin: true,
      maxInterval: 300,
    });
    const messages: string[] = [];
    const listen = async () => {
      for (let packet = await listener.next(); packet !== null; packet = await listener.next())
        messages.push(textOf([packet]));
    };
    expect(await caught(listen())).toBeInstanceOf(ClientError);
    expect([listener.done, messages.join("")]).toEqual([false, "ready\n"]);
    listener.maxInterval = 20_000; // it can be changed by the user directly
    await listener.sendInput("yes", { newline: true });
    await listen();
    expect([listener.done, messages.join(""), await listener.exitCode]).toEqual([
      true,
      "ready\ngot yes\n",
      0,
    ]);
    expect(await listener.next()).toBeNull();
  });

  test("with connection.exec(command, complete=False) as listener", async () => {
    await using stage = await openConnected();
    let job;
    {
      await using listener = await stage.web1.exec("echo said; sleep 600", { complete: false });
      expect(textOf([(await listener.next()) ?? { type: "nothing" }])).toBe("said\n");
      job = listener.id;
    }
    await eventually(async () => (await stage.web1.jobShow(job ?? "")).result?.attached === false);
    expect((await stage.web1.jobShow(job)).result?.state).toBe("running");
  });
});

describe("what went wrong there and must not here:", () => {
  test("a burst of 20,000 lines is complete each time, in order, and nobody waits for ever", async () => {
    await using stage = await openConnected();
    const wanted = Array.from({ length: 20_000 }, (_, at) => `${at + 1}\n`).join("");
    for (let round = 0; round < 20; round++) {
      const { text, exitCode } = await stage.web1.exec("seq 1 20000", { timeout: 60_000 });
      expect([text === wanted, exitCode]).toEqual([true, 0]);
    }
  });

  test("a client that goes forgets no job: its output and exit code are there when it comes again", async () => {
    await using stage = await openConnected();
    const go = join(stage.world.home, "go");
    const line = `seq 1 1000; while [ ! -e ${go} ]; do sleep 0.02; done; seq 1001 2000; exit 6`;
    const listener = await stage.web1.exec(line, { complete: false });
    await listener.next();
    await stage.member.disconnect();
    expect(await caught(listener.clear())).toBeInstanceOf(ClientError);
    const again = await stage.member.connect({ timeout: 20_000 });
    expect((await again.jobs({ filter: { states: ["running"] } })).result?.jobs).toMatchObject([
      { id: listener.job },
    ]);
    writeFileSync(go, "");
    const followed = await again.follow(listener.job);
    const wanted = Array.from({ length: 2_000 }, (_, at) => `${at + 1}\n`).join("");
    expect(textOf(await Array.fromAsync(followed))).toBe(wanted);
    expect(await followed.exitCode).toBe(6);
    expect((await again.result(listener.job)).result).toMatchObject({ outcome: { type: "exited", code: 6 } });
  });

  test("an unknown command is answered, and hangs nobody", async () => {
    await using stage = await openConnected();
    const { error } = await stage.web1.call("no_such_command", {}, { timeout: 20_000 });
    expect(error?.code).toBe("unknown_command");
  });

  test("a server that is killed while a call waits is waited for, or given up when the time is over", async () => {
    await using stage = await openConnected();
    const { pid } = await stage.world.status();
    const { number } = await stage.web1.start(["sleep", "600"]);
    const waiting = caught(stage.web1.wait(number, { timeout: 1_000 }));
    process.kill(pid, "SIGKILL");
    expect(await waiting).toMatchObject({ name: "ClientError", code: "timeout" });
  });
});
