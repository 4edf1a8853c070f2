import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import * as v from "valibot";
import { defineForeground, defineStream } from "../../../src/commands/define.ts";
import { openLibc } from "../../../src/process/libc.ts";
import { AppError } from "../../../src/protocol/error.ts";
import { type RunnerCommand, toBuiltinTask } from "../../../src/server/runners/builtin-task.ts";
import { Runner } from "../../../src/server/runners/runner.ts";
import { eventually, settled } from "../../support/eventually.ts";
import { isRunning } from "../../support/world.ts";

setDefaultTimeout(60_000);

const cli = { args: {}, examples: [], toInput: () => ({}), show: () => "" };
const common = { summary: "", permission: "read", input: v.object({}) } as const;
const ask: RunnerCommand = defineForeground({
  ...common,
  name: "ask",
  idempotent: true,
  result: v.object({ size: v.number() }),
  run: async () => ({ size: 0 }),
  cli,
}) as unknown as RunnerCommand;
const tell: RunnerCommand = defineStream({
  ...common,
  name: "tell",
  idempotent: false,
  event: v.object({ name: v.string() }),
  result: v.null(),
  run: async function* () {
    yield { name: "" };
    return null;
  },
  cli,
}) as unknown as RunnerCommand;

/** Python that answers whatever it is told with records of these kinds and contents. */
function answer(...records: readonly (readonly [kind: number, payload: string])[]): string {
  const said = records.map(([kind, payload]) => `say(${kind}, ${JSON.stringify(payload)})`).join("; ");
  return [
    "import os, struct, sys, time",
    "def say(kind, text): b = text.encode(); os.write(4, struct.pack('>IB', len(b), kind) + b)",
    "orders = os.fdopen(3, 'rb')",
    "def hear(): n, k = struct.unpack('>IB', orders.read(5)); orders.read(n)",
    `hear(); ${said || "pass"}`,
  ].join("\n");
}
const [EVENT, BYTES, RESULT, FAILURE] = [3, 4, 5, 6];

/** Bytes that a process has written by now. */
function countWritten(pid: number): number {
  return Number(/^wchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, "utf8"))?.[1]);
}

/** A process that does what a script does instead of calls. */
function start(script: string) {
  const faults: string[] = [];
  const runner = new Runner({
    libc: openLibc(),
    again: { argv: ["/usr/bin/env", "python3", "-c", script], argv0: "env" },
    onSpawn: () => {},
    onFault: (cause) => faults.push(cause),
    onPrinted: () => {},
  });
  return { runner, faults };
}

/** What becomes of a call: what it said, and its result, or the error. */
async function run(runner: Runner, command = ask, signal = new AbortController().signal) {
  const surroundings = { workspace: { name: "default", cwd: "/", home: "/", environment: {} }, umask: 0 };
  const call = { command: command.name, input: {}, surroundings };
  const said: unknown[] = [];
  const input: AsyncIterable<Uint8Array> = { async *[Symbol.asyncIterator]() {} };
  const stream = runner.run(toBuiltinTask({ command, call, input }), signal);
  try {
    for (;;) {
      const { done, value } = await stream.next();
      if (done) return { said, result: value };
      for (const each of value) said.push(each instanceof Uint8Array ? Buffer.from(each).toString() : each);
    }
  } catch (error) {
    const { code, message } = error as AppError;
    return { said, code, message };
  }
}

describe("A runner", () => {
  test("says events and bytes, and gives a result; what fails is told as it was", async () => {
    const { runner } = start(answer([EVENT, '{"name":"a"}'], [BYTES, "raw"], [RESULT, "null"]));
    expect(await run(runner, tell)).toEqual({ said: [{ name: "a" }, "raw"], result: null });
    await runner.end();
    const failing = start(
      answer([FAILURE, '{"code":"os_error","message":"Cannot look","details":{"os":"EACCES"},"cause":"x"}']),
    );
    expect(await run(failing.runner)).toMatchObject({ code: "os_error", message: "Cannot look" });
    expect(failing.faults).toEqual(["x"]);
    await failing.runner.end();
  });

  const hostile = [
    ["a result that is none", [[RESULT, '{"size":"large"}']]],
    ["a result that is no JSON", [[RESULT, "{"]]],
    ["an event of a command that has none", [[EVENT, "{}"]]],
    ["a record of a kind that there is not", [[99, ""]]],
    ["what only a server says", [[0, "{}"]]],
    ["nothing, and ends", []],
  ] as const;
  test.each(hostile)("that says %s fails its call, and is ended", async (_what, records) => {
    const { runner } = start(answer(...records));
    const ran = await run(runner);
    expect(ran).toMatchObject({
      code: "unavailable",
      message: expect.stringContaining('Cannot finish "ask"'),
    });
    expect(runner.isFree).toBe(false);
    expect(isRunning(runner.pid)).toBe(false);
  });

  test("that ends leaves it unknown whether what must not be done twice was done", async () => {
    const { runner } = start(answer([EVENT, '{"name":"a"}']));
    expect(await run(runner, tell)).toMatchObject({ said: [{ name: "a" }], code: "outcome_unknown" });
  });

  test("that an endless record comes from is ended, and takes no memory for it", async () => {
    const flood = `${answer()}\nos.write(4, struct.pack('>IB', 0x7fffffff, 4))\nwhile True: os.write(4, b'x' * 65536)`;
    const { runner } = start(flood);
    expect(await run(runner)).toMatchObject({ code: "unavailable" });
    expect(isRunning(runner.pid)).toBe(false);
  });

  test("that floods is held up as long as nobody takes what it says", async () => {
    const { runner } = start(`${answer()}\nwhile True: say(4, 'x' * 65536)`);
    const over = new AbortController();
    const before = process.memoryUsage.rss();
    const surroundings = { workspace: { name: "default", cwd: "/", home: "/", environment: {} }, umask: 0 };
    const call = { command: "tell", input: {}, surroundings };
    const input: AsyncIterable<Uint8Array> = { async *[Symbol.asyncIterator]() {} };
    const stream = runner.run(toBuiltinTask({ command: tell, call, input }), over.signal);
    await stream.next();
    await settled(() => countWritten(runner.pid));
    expect(process.memoryUsage.rss() - before).toBeLessThan(64 * 1024 * 1024);
    await stream.return(undefined);
    expect(isRunning(runner.pid)).toBe(false);
  });

  test("that is cancelled is told to end, and killed when it does not", async () => {
    const stubborn = `import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n${answer([EVENT, '{"name":"up"}'])}\ntime.sleep(1000)`;
    const { runner } = start(stubborn);
    const over = new AbortController();
    const surroundings = { workspace: { name: "default", cwd: "/", home: "/", environment: {} }, umask: 0 };
    const stream = runner.run(
      toBuiltinTask({
        command: tell,
        call: { command: "tell", input: {}, surroundings },
        input: { async *[Symbol.asyncIterator]() {} },
      }),
      over.signal,
    );
    await stream.next();
    over.abort(new AppError("cancelled", "Enough"));
    await expect(stream.next()).rejects.toThrow("Enough");
    expect(isRunning(runner.pid)).toBe(false);
  });

  test("that says on and on when it is told to end is read slowly", async () => {
    const stubborn = `import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n${answer()}\nwhile True: say(4, 'x' * 65536)`;
    const { runner } = start(stubborn);
    const surroundings = { workspace: { name: "default", cwd: "/", home: "/", environment: {} }, umask: 0 };
    const call = { command: "tell", input: {}, surroundings };
    const input: AsyncIterable<Uint8Array> = { async *[Symbol.asyncIterator]() {} };
    const stream = runner.run(toBuiltinTask({ command: tell, call, input }), new AbortController().signal);
    await stream.next();
    const before = countWritten(runner.pid);
    let most = before;
    const ending = runner.end();
    // Until it is killed; a dead one has written nothing.
    await eventually(() => {
      const written = isRunning(runner.pid) ? countWritten(runner.pid) : 0;
      most = Math.max(most, written);
      return written === 0;
    });
    // A hundred reads of what a pipe holds, and ten times that.
    expect(most - before).toBeLessThan(10 * 100 * 64 * 1024);
    await ending;
  });

  test("leaves no descriptor open when it has ended", async () => {
    const count = () => readdirSync("/proc/self/fd").length;
    await run(start(answer([RESULT, '{"size":1}'])).runner);
    const { runner } = start(answer([RESULT, '{"size":1}']));
    await run(runner);
    await runner.end();
    const before = count();
    for (let round = 0; round < 3; round++) {
      const { runner } = start(answer([RESULT, '{"size":1}']));
      expect(await run(runner)).toMatchObject({ result: { size: 1 } });
      await runner.end();
    }
    await eventually(() => count() <= before); // Bun closes its own a moment later
  });
});
