import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { AppError, ClientError } from "../../src/sdk.ts";
import { openConnected } from "../support/connected.ts";
import { eventually } from "../support/eventually.ts";

setDefaultTimeout(60_000);

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytes = (text: string) => new TextEncoder().encode(text);
const caught = (promise: Promise<unknown>) => promise.catch((error: unknown) => error);

describe("a call with complete: true", () => {
  test("answers the array of packets, and what they amount to", async () => {
    await using stage = await openConnected();
    const reply = await stage.web1.exec("echo hello; echo oops >&2; exit 3");
    expect(Array.isArray(reply)).toBe(true);
    expect(reply.map(({ type }) => type).toSorted()).toEqual(["exit", "stderr", "stdout"]);
    expect(reply).toMatchObject({
      outcome: { type: "exited", code: 3 },
      exitCode: 3,
      text: "hello\n",
      error: undefined,
      number: 1,
    });
    expect(text(reply.stderr)).toBe("oops\n");
    expect((await stage.web1.jobShow(reply.job)).result?.number).toBe(1);
    const waited = await stage.web1.wait(1);
    expect(waited.map(({ type }) => type)).toEqual(["result"]);
    expect(waited.result?.outcome).toEqual({ type: "exited", code: 3 });
  });

  test("has the server's error in it, or with raiseError throws that", async () => {
    await using stage = await openConnected();
    const { web1 } = stage;
    const reply = await web1.wait(99);
    expect(reply.map(({ type }) => type)).toEqual(["error"]);
    expect(reply.error).toMatchObject({ name: "AppError", code: "not_found" });
    expect(reply.outcome).toMatchObject({ type: "threw", error: { code: "not_found" } });
    const error = await caught(web1.wait(99, { raiseError: true }));
    expect(error).toBeInstanceOf(AppError);
    expect(error).not.toBeInstanceOf(ClientError);
    expect(error).toMatchObject({ code: "not_found", message: reply.error?.message });
  });

  test("throws a program's failure only with raiseError, whatever its code, and then as an error", async () => {
    await using stage = await openConnected();
    for (const code of [1, 3, 255]) {
      expect((await stage.web1.exec(`exit ${code}`)).outcome).toEqual({ type: "exited", code });
      const error = await caught(stage.web1.exec(`echo why; exit ${code}`, { raiseError: true }));
      expect(error).toBeInstanceOf(AppError);
      expect(error).toMatchObject({
        code: "job_failed",
        message: expect.stringMatching(new RegExp(`^Job \\d+ failed: exited ${code}$`)),
        details: { outcome: { type: "exited", code }, job: expect.any(String), number: expect.any(Number) },
      });
    }
    const fine = await stage.web1.exec(["echo", "fine"], { raiseError: true });
    expect([fine.outcome.type, fine.text]).toEqual(["exited", "fine\n"]);
  });

  test("says of a program that is not there what the server says, once and in the array", async () => {
    await using stage = await openConnected();
    const reply = await stage.web1.exec(["no-such-program", "at all"]);
    expect(reply.map(({ type }) => type)).toEqual(["exit", "error"]);
    expect(reply.outcome).toMatchObject({ type: "not_started", reason: { code: "program_not_found" } });
    expect(reply.error).toMatchObject({
      code: "job_failed",
      message: expect.stringContaining("no-such-program"),
    });
    expect(reply.exitCode).toBeUndefined();
    await expect(stage.web1.exec(["no-such-program"], { raiseError: true })).rejects.toThrow(
      "no-such-program",
    );
  });

  test("has in it what is refused here, before anything is sent", async () => {
    await using stage = await openConnected();
    const large = "x".repeat(2_000_000);
    for (const reply of [await stage.web1.exec([large]), await stage.web1.wait(large)])
      expect(reply.error).toMatchObject({
        code: "invalid_input",
        message: expect.stringContaining("1048576 bytes"),
      });
    const refused = await stage.web1.exec(["a\0b"]);
    expect(refused).toMatchObject({
      error: { code: "invalid_input" },
      outcome: undefined,
      number: undefined,
    });
    expect((await stage.web1.jobs()).result?.jobs).toEqual([]);
  });
});

describe("timeout", () => {
  test("bounds the whole call, names the job, and leaves it running", async () => {
    await using stage = await openConnected();
    const begun = performance.now();
    const error = await caught(stage.web1.exec("echo begun; sleep 600", { timeout: 300 }));
    expect(performance.now() - begun).toBeLessThan(10_000);
    expect(error).toBeInstanceOf(ClientError);
    expect(error).toMatchObject({ name: "ClientError", code: "timeout" });
    const job = String((error as ClientError).details?.["job"]);
    const { result } = await stage.web1.jobShow(job);
    expect(result).toMatchObject({ state: "running", number: 1 });
    await eventually(async () => (await stage.web1.jobShow(job)).result?.attached === false);
    const listener = await stage.web1.follow(job);
    expect(await listener.next()).toMatchObject({ type: "stdout", bytes: bytes("begun\n") });
  });

  test("cancels a foreground call, and hinders no other", async () => {
    await using stage = await openConnected();
    const { number } = await stage.web1.start(["sleep", "600"]);
    const [error, alive] = await Promise.all([
      caught(stage.web1.wait(number, { timeout: 200 })),
      stage.web1.jobShow(number, { timeout: 20_000 }),
    ]);
    expect(error).toMatchObject({ name: "ClientError", code: "timeout", details: undefined });
    expect(alive.result?.state).toBe("running");
    expect(await stage.web1.heartbeat()).toBe(true);
  });

  test("bounds a listener too", async () => {
    await using stage = await openConnected();
    const listener = await stage.web1.exec("echo begun; sleep 600", { complete: false, timeout: 400 });
    const reading = Array.fromAsync(listener);
    await expect(reading).rejects.toMatchObject({ code: "timeout", details: { job: listener.job } });
    await expect(listener.next()).rejects.toMatchObject({ code: "timeout" });
    expect((await stage.web1.jobShow(listener.job)).result?.state).toBe("running");
  });
});

describe("a listener", () => {
  test("comes at once, and tells as the job does", async () => {
    await using stage = await openConnected();
    await using listener = await stage.web1.exec("echo one; read go; echo two; exit 4", {
      complete: false,
      stdin: true,
    });
    expect([listener.done, listener.number, listener.id]).toEqual([false, 1, listener.job]);
    const first = await listener.next();
    expect(first).toMatchObject({ type: "stdout", bytes: bytes("one\n") });
    await listener.sendInput("go", { newline: true });
    expect(await listener.next()).toMatchObject({ type: "stdout", bytes: bytes("two\n") });
    expect(await listener.next()).toMatchObject({ type: "exit" });
    expect(listener.done).toBe(true);
    listener.detach(); // changes nothing any more
    expect([await listener.next(), await listener.next()]).toEqual([null, null]);
    expect([await listener.exitCode, await listener.outcome]).toEqual([4, { type: "exited", code: 4 }]);
  });

  test("throws listener_timeout while the job is silent, and goes on with it", async () => {
    await using stage = await openConnected();
    await using listener = await stage.web1.exec("printf 'name? '; read name; echo hello $name", {
      complete: false,
      stdin: true,
      maxInterval: 300.5,
    });
    const seen: string[] = [];
    const listen = async () => {
      for await (const packet of listener) if (packet.type === "stdout") seen.push(text(packet.bytes));
    };
    const error = await caught(listen());
    expect(error).toBeInstanceOf(ClientError);
    expect(error).toMatchObject({ code: "listener_timeout", details: { job: listener.job, number: 1 } });
    expect((await stage.web1.jobShow(listener.id)).result?.state).toBe("running");
    listener.maxInterval = 20_000;
    await listener.sendInput("Ada\n");
    await listen();
    expect(seen.join("")).toBe("name? hello Ada\n");
  });

  test("sends exactly the bytes given, and the end of input", async () => {
    await using stage = await openConnected();
    const odd = new Uint8Array([0, 255, 10, 13, 27]);
    await using listener = await stage.web1.exec(["cat"], { complete: false, stdin: true });
    await listener.sendInput(odd);
    await listener.sendInput("é", { eof: true });
    const packets = await Array.fromAsync(listener);
    const said = Buffer.concat(packets.flatMap((packet) => (packet.type === "stdout" ? [packet.bytes] : [])));
    expect([...said]).toEqual([...odd, ...bytes("é")]);
    expect(await listener.exitCode).toBe(0);
    await expect(listener.sendInput("more")).rejects.toMatchObject({ code: "input_closed" });
  });

  test("waited for without a loop reads on, also past what a job may run ahead, and follow has it all", async () => {
    await using stage = await openConnected();
    const listener = await stage.web1.exec(["seq", "1", "2000000"], { complete: false });
    expect(await listener.outcome).toEqual({ type: "exited", code: 0 });
    const followed = await stage.web1.follow(listener.job);
    let length = 0;
    for await (const packet of followed) if (packet.type === "stdout") length += packet.bytes.length;
    expect(length).toBe(14_888_896);
  });

  test("unread keeps no other call of its connection waiting, whatever it is of", async () => {
    await using stage = await openConnected();
    const { web1, world } = stage;
    const path = join(world.home, "big");
    writeFileSync(path, Buffer.alloc(5_000_000, "x"));
    await using job = await web1.exec("yes", { complete: false });
    await using call = await web1.rdfile(path, { complete: false });
    expect([(await job.next())?.type, (await call.next())?.type]).toEqual(["stdout", "stdout"]);
    expect((await web1.exec(["echo", "hi"], { timeout: 20_000 })).text).toBe("hi\n");
    expect((await web1.rdfile(path, { timeout: 20_000 })).stdout.length).toBe(5_000_000);
  });

  test("says not finished, and later the value", async () => {
    await using stage = await openConnected();
    const listener = await stage.web1.exec("read go; exit 5", {
      complete: false,
      stdin: true,
      maxInterval: 200,
    });
    expect(await caught(listener.outcome)).toMatchObject({ code: "listener_timeout" });
    expect((await stage.web1.result(listener.id)).result?.type).toBe("not_finished");
    await listener.sendInput("\n");
    listener.maxInterval = 20_000;
    expect(await listener.outcome).toEqual({ type: "exited", code: 5 });
    expect((await stage.web1.result(listener.id)).result?.type).toBe("failed");
  });

  test("ends its job by kill, and tells what that took", async () => {
    await using stage = await openConnected();
    await using listener = await stage.web1.exec("trap '' TERM; sleep 600 & echo up; wait", {
      complete: false,
    });
    expect(await listener.next()).toMatchObject({ type: "stdout" });
    expect(await listener.kill({ grace: 200 })).toMatchObject({ signal: "SIGTERM" });
    expect(await listener.outcome).toMatchObject({ type: "cancelled" });
    // No shell: one that is about to fork, or to become another program, may miss the signal.
    await using other = await stage.web1.exec(["sleep", "600"], { complete: false });
    expect(await other.kill({ signal: "INT" })).toBeUndefined();
    expect(await other.outcome).toEqual({ type: "signaled", signal: "SIGINT" });
    expect(await other.exitCode).toBeUndefined();
  });

  test("that is detached or disposed lets its job run on, and another can attach", async () => {
    await using stage = await openConnected();
    const { web1 } = stage;
    const listener = await web1.exec("echo begun; read go; echo on", { complete: false, stdin: true });
    await listener.next();
    listener.detach();
    expect(await caught(listener.next())).toMatchObject({ name: "ClientError", code: "cancelled" });
    await eventually(async () => (await web1.jobShow(listener.job)).result?.attached === false);
    await using again = await web1.attach(listener.job);
    await eventually(async () => (await web1.jobShow(listener.job)).result?.attached === true);
    await again.sendInput("go\n");
    const said = await Array.fromAsync(again);
    expect(said.map(({ type }) => type)).toEqual(["stdout", "stdout", "exit"]);
  });

  test("of a foreground call has its result for a packet, and is cancelled by kill", async () => {
    await using stage = await openConnected();
    const { number } = await stage.web1.start(["sleep", "600"]);
    await using listener = await stage.web1.wait(number, { complete: false });
    expect([listener.job, listener.number]).toEqual([undefined, undefined]);
    const waiting = Array.fromAsync(listener);
    await expect(listener.sendInput("x")).rejects.toMatchObject({ code: "input_closed" });
    await listener.kill();
    expect((await waiting).map(({ type }) => type)).toEqual(["error"]);
    expect(await listener.outcome).toMatchObject({ type: "threw", error: { code: "cancelled" } });
    expect(await listener.exitCode).toBe(1);
    await using shown = await stage.web1.jobShow(number, { complete: false });
    expect(await shown.outcome).toMatchObject({ type: "returned", value: { number } });
    expect([await shown.exitCode, await shown.next(), shown.done]).toEqual([0, null, true]);
  });
});

test("echoResponse copies a job's output to ours as it comes, each stream to its own, without losing any", async () => {
  await using stage = await openConnected();
  const { world } = stage;
  const { url, token } = world.local();
  const script = `
    import { Pool } from ${JSON.stringify(join(import.meta.dir, "../../src/sdk.ts"))};
    await using pool = new Pool({});
    const web1 = await pool.add(${JSON.stringify(url)}, { token: process.env.TOKEN }).connect();
    await web1.exec("echo first; read go; seq 1 300000; echo oops >&2", {
      stdin: (async function* () { while (!(await Bun.file("go").exists())) await Bun.sleep(10); yield Buffer.from("go\\n"); })(),
      echoResponse: true,
    });
    const listener = await web1.exec("echo last", { complete: false, echoResponse: true });
    await listener.outcome;`;
  await Bun.write(join(world.home, "echo.ts"), script);
  const running = world.open([process.execPath, "echo.ts"], { env: { TOKEN: token } });
  await eventually(() => running.said() === "first\n", 30_000);
  await Bun.write(join(world.home, "go"), "");
  const { code, stdout, stderr } = await running.ran;
  const lines = stdout.split("\n");
  expect({ code, stderr, first: lines[0], last: lines.at(-2) }).toEqual({
    code: 0,
    stderr: "oops\n",
    first: "first",
    last: "last",
  });
  expect(lines.slice(1, -2)).toEqual(Array.from({ length: 300_000 }, (_, at) => String(at + 1)));
});

test("echoResponse waits for a reader that stops, minds none that goes, and says when ours cannot be written", async () => {
  await using stage = await openConnected();
  const { world } = stage;
  const { url, token } = world.local();
  const script = `
    import { Pool } from ${JSON.stringify(join(import.meta.dir, "../../src/sdk.ts"))};
    await using pool = new Pool({});
    const web1 = await pool.add(${JSON.stringify(url)}, { token: process.env.TOKEN }).connect();
    let turns = 0;
    setInterval(() => turns++, 10).unref();
    const said = await web1.exec("seq 1 500000", { echoResponse: true }).catch((error) => error.code);
    console.error(typeof said === "string" ? said : said.text.length, turns > 20);`;
  await Bun.write(join(world.home, "echo.ts"), script);
  const run = (line: string) => world.shell(`${process.execPath} echo.ts ${line}`, { env: { TOKEN: token } });
  // A pipe holds much less than this: until it is read, whoever stopped the event loop would count no turns.
  const stalled = await run("| (sleep 1; sha256sum); seq 1 500000 | sha256sum");
  const [copied, wanted] = stalled.stdout.trim().split("\n");
  expect([copied, stalled.stderr]).toEqual([wanted, "3388895 true\n"]);
  expect(await run("| head -n 1")).toMatchObject({
    stdout: "1\n",
    stderr: expect.stringContaining("3388895 "),
  });
  expect((await run("> /dev/full")).stderr).toContain("os_error ");
});

test("every command of the server is a method, with arguments in their order and bytes where it takes some", async () => {
  await using stage = await openConnected();
  const { web1 } = stage;
  const offered = (await web1.commands()).result ?? [];
  expect(offered.length).toBeGreaterThan(20);
  for (const { name } of offered)
    expect(web1, name).toHaveProperty(name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase()));
  const raiseError = true;
  await web1.mkdir("a/b", { parents: true, raiseError });
  await web1.wrfile("a/text", "typed", { raiseError });
  await web1.wrfile("a/data", { stdin: new Uint8Array([0, 255]), raiseError });
  // With neither a text nor bytes the file is empty, and nobody waits for what never comes.
  expect((await web1.wrfile("a/empty", { raiseError, timeout: 20_000 })).result.bytes).toBe(0);
  await web1.cp(["a/text", "a/data"], "a/b", { raiseError });
  expect([...(await web1.rdfile("a/b/data", { raiseError })).stdout]).toEqual([0, 255]);
  expect((await web1.rdfile("a/b/text", { raiseError })).text).toBe("typed");
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield bytes("half");
    throw new Error("no tape");
  }
  const error = await caught(web1.wrfile("a/text", { stdin: broken() }));
  expect(error).toBeInstanceOf(ClientError);
  expect(error).toMatchObject({ message: expect.stringContaining("no tape") });
  expect((await web1.rdfile("a/text")).text).toBe("typed");
  const listener = await web1.wrfile("a/sent", { complete: false, stdin: true });
  await listener.sendInput("one\n");
  await listener.sendInput("two", { newline: true, eof: true });
  expect(await listener.outcome).toMatchObject({ type: "returned", value: { bytes: 8 } });
});

test("start leaves a job to itself, and its stdin open if told", async () => {
  await using stage = await openConnected();
  const { web1 } = stage;
  const { job, number } = await web1.start("read name; echo hello $name", { stdin: true });
  expect((await web1.jobShow(job)).result).toMatchObject({ number, attached: false, state: "running" });
  expect((await web1.sendInput(number, "Ada", { newline: true })).result).toMatchObject({ bytes: 4 });
  const listener = await web1.attach(job); // also when it may have ended
  expect((await Array.fromAsync(listener)).map(({ type }) => type)).toEqual(["stdout", "exit"]);
  expect((await web1.attach(job)).number).toBe(number);
  const stop = new AbortController();
  const watching = web1.watch({}, stop.signal);
  expect((await watching.next()).value).toMatchObject([{ type: "job" }]);
  const next = caught(watching.next());
  stop.abort(new AppError("cancelled", "Seen enough"));
  expect(await next).toBe(stop.signal.reason);
});

test("what a helper cannot learn is a ClientError too", async () => {
  await using stage = await openConnected();
  expect(await caught(stage.web1.follow(99))).not.toBeInstanceOf(ClientError);
  await stage.member.disconnect();
  const { web1 } = stage;
  const asked = [
    web1.ping(),
    web1.follow(1),
    web1.allJobs(),
    web1.prune({}),
    web1.start("true"),
    web1.exec("true"),
    web1.ls(),
  ];
  for (const error of await Promise.all(asked.map(caught))) {
    expect(error).toBeInstanceOf(ClientError);
    expect(error).toMatchObject({ code: "cancelled", message: "The connection is closed" });
  }
});

test("what is not taken as stdin is refused, and not dropped", async () => {
  await using stage = await openConnected();
  const asked: object = { stdin: "text" };
  const error = await caught(stage.web1.call("jobs", {}, asked));
  expect(error).toMatchObject({ name: "ClientError", code: "invalid_input" });
});

describe("commands by name", () => {
  test("are called with their own types, and unknown ones are the server's to refuse", async () => {
    await using stage = await openConnected();
    const { web1 } = stage;
    expect((await web1.call("jobs", {})).result?.jobs).toEqual([]);
    expect((await web1.call("job_show", { job: 9 })).error?.code).toBe("not_found");
    const ran = await web1.call("exec", { argv: ["echo", "hi"] });
    expect(ran.text).toBe("hi\n");
    const unknown = await web1.call("deploy", { to: "web" });
    expect(unknown.error).toMatchObject({
      code: "unknown_command",
      message: expect.stringContaining("deploy"),
    });
    const error = await caught(web1.call("deploy", {}, { raiseError: true }));
    expect(error).toMatchObject({ code: "unknown_command" });
  });

  test("never hide the client's own methods, whatever they are called", async () => {
    await using stage = await openConnected();
    const { web1 } = stage;
    const { exec, follow, heartbeat } = web1;
    for (const name of ["exec", "follow", "close", "constructor", "toString", "deployAll"]) {
      const reply = await web1.commands[name]?.({});
      expect(reply?.error?.code, name).toBe(name === "exec" ? "invalid_input" : "unknown_command");
    }
    expect((await web1.commands["deployAll"]?.())?.error?.message).toContain("deploy-all");
    expect([web1.exec, web1.follow, web1.heartbeat]).toEqual([exec, follow, heartbeat]);
    expect((await Promise.resolve(web1.commands)) === web1.commands).toBe(true);
  });
});
