import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { decodeValue } from "../../src/protocol/cbor/payload.ts";
import { fromValue, Value } from "../../src/protocol/value.ts";
import type { JobOrder } from "../../src/runner/order.ts";
import { eventually } from "../support/eventually.ts";
import { toCommandUnit, toUnit } from "../support/module-runners.ts";
import { runJobRunner } from "../support/runner-job.ts";
import * as v from "valibot";

setDefaultTimeout(60_000);

const NOTHING = new Uint8Array(0);
const command = (fields: string, before?: string) =>
  toCommandUnit(`kind: "background", event: v.any(), result: v.any(), ${fields}`, before).source;
const program = (line: string): JobOrder => ({ type: "program", command: "it", argv: ["sh", "-c", line] });

/** What an outcome says was returned. */
function toReturned(end: unknown): unknown {
  const { value } = v.parse(v.object({ type: v.literal("returned"), value: Value }), end);
  return fromValue(value);
}

describe("A runner that is a job", () => {
  test("says what its command yields and returns, writes bytes to stdout, and ends with 0", async () => {
    const source = command(`
      input: v.object({ n: v.number() }),
      async *run({ n }, { caller, cwd, env, log }) {
        console.log("printed"); log("logged", 1);
        yield { caller, cwd, what: env.WHAT };
        yield new Map([[n, undefined]]);
        yield new TextEncoder().encode("bytes\\n");
        yield "x".repeat(200_000);
        return new Set([n]);
      }`);
    const ran = await runJobRunner(source, { input: { n: 3 }, env: { WHAT: "that" } }).ran;
    expect(ran).toMatchObject({ code: 0, stdout: "printed\nbytes\n", stderr: "logged 1\n", parts: [] });
    const caller = { user: "ann", role: "admin", source: "unix" };
    const first = { caller, cwd: "/tmp", what: "that" };
    expect(ran.values).toEqual([first, new Map([[3, undefined]]), "x".repeat(200_000)]);
    expect(toReturned(ran.end)).toEqual(new Set([3]));
  });

  test("has written all that its command printed before it ends, however large and slowly read", async () => {
    const source = command(`async *run() {
      yield new TextEncoder().encode("y".repeat(1e6));
      for (let n = 0; n < 1000; n++) console.log("x".repeat(999));
      process.stdout.write("y".repeat(3e6));
      process.stderr.write("z".repeat(3e6));
    }`);
    const { code, stdout, stderr } = await runJobRunner(source).ran;
    const count = (text: string, letter: string) => text.split(letter).length - 1;
    expect([code, count(stdout, "x"), count(stdout, "y"), count(stderr, "z")]).toEqual([
      0, 999_000, 4e6, 3e6,
    ]);
  });

  test("tells a large result in parts, which the outcome refers to", async () => {
    const source = command("run: () => new Uint8Array(300_000).fill(9)");
    const { code, parts, end } = await runJobRunner(source).ran;
    expect(code).toBe(0);
    expect(parts.every((part) => part.length <= 65_536)).toBe(true);
    expect(decodeValue(Buffer.concat(parts))).toEqual(new Uint8Array(300_000).fill(9));
    expect(end).toEqual({ type: "returned", value: { encoding: "parts", first: 0 } });
  });

  const thrown = [
    ["an error", 'throw new RangeError("too far")', { name: "RangeError", message: "too far" }],
    [
      "an error of ours, with its code and details",
      'throw new AppError("not_found", "No such thing", { details: { id: 5 } })',
      { code: "not_found", message: "No such thing", details: { id: 5 } },
    ],
    ["a text", 'throw "words"', { code: "threw", message: "words" }],
    ["nothing", "throw undefined", { code: "threw", message: "undefined" }],
    ["null", "throw null", { code: "threw", message: "null" }],
    ["a symbol", "throw Symbol('s')", { code: "threw", message: "Symbol(s)" }],
    ["a frozen object", "throw Object.freeze({ a: 1 })", { code: "threw", message: "[object Object]" }],
    ["an object without a prototype", "throw Object.create(null)", { code: "threw" }],
    [
      "a proxy that throws at every look",
      "const no = () => { throw no; }; throw new Proxy({}, { get: no, has: no, getPrototypeOf: no, ownKeys: no })",
      { code: "threw" },
    ],
    [
      "an error whose getters throw",
      'const e = new Error(""); for (const k of ["message", "name", "stack", "code", "cause", "details"]) Object.defineProperty(e, k, { get() { throw e; } }); throw e',
      { code: "threw" },
    ],
    [
      "an error of ours that lies about itself",
      'throw Object.assign(new AppError("internal", "x"), { code: 7, details: () => {} })',
      { code: "threw", message: "x" },
    ],
    [
      "an error that says very much",
      'throw new AppError("not_found", "m".repeat(1e7), { details: { d: "d".repeat(1e7) } })',
      { code: "not_found" },
    ],
    [
      "from a timer",
      'setTimeout(() => { throw new Error("late"); }); await new Promise(() => {})',
      { message: "late" },
    ],
    [
      "where nobody waits",
      'Promise.reject(new Error("lost")); await new Promise(() => {})',
      { message: "lost" },
    ],
  ] as const;
  test("writes where an error comes from to stderr, and nothing of one whose code says what it is", async () => {
    const own = command('run() { throw new RangeError("too far"); }');
    expect((await runJobRunner(own).ran).stderr).toMatch(/^RangeError: too far\n +at run/);
    const told = command(
      'input: v.object({ n: v.number() }), run() { throw new AppError("not_found", "No"); }',
    );
    for (const input of [{ n: 1 }, { n: "text" }])
      expect(await runJobRunner(told, { input }).ran).toMatchObject({ stderr: "", end: { type: "threw" } });
  });

  test.each(thrown)("whose command throws %s tells it, and ends with 0", async (_what, code, error) => {
    const ran = await runJobRunner(command(`async run() { ${code}; }`)).ran;
    expect(ran).toMatchObject({ code: 0, end: { type: "threw", error } });
    expect(JSON.stringify(ran.end).length).toBeLessThan(64 * 1024);
    expect(ran.stderr).not.toContain("src/runner/");
  });

  test("writes where an error was thrown to stderr, and what was said before is said", async () => {
    const source = command('async *run() { yield 1; yield 2; throw new TypeError("oops"); }');
    const { values, stderr, end } = await runJobRunner(source).ran;
    expect(values).toEqual([1, 2]);
    expect(stderr).toMatch(/^TypeError: oops\n +at run \(/);
    expect(end).toMatchObject({
      error: { code: "threw", details: { stack: expect.stringContaining("at run") } },
    });
  });

  test("that is ended by its module has said all that was said before, and says no end", async () => {
    for (const [code, ended] of [
      ["process.exit(7)", { code: 7 }],
      ['process.kill(process.pid, "SIGKILL")', { signal: "SIGKILL" }],
    ] as const) {
      const ran = await runJobRunner(command(`async *run() { yield 1; yield 2; ${code}; }`)).ran;
      expect(ran).toMatchObject({ ...ended, values: [1, 2], end: undefined });
    }
    const looping = runJobRunner(command("async *run() { yield 1; yield 2; for (;;); }"));
    await eventually(() => looping.said().values.length === 2);
    looping.kill("SIGKILL");
    await looping.ran;
  });

  test("gives its command what comes behind the order, as bytes or lines, until that ends", async () => {
    const job = runJobRunner(
      command(
        'async *run(_input, { lines }) { yield "up"; for await (const line of lines) yield line; return "over"; }',
      ),
    );
    await eventually(() => job.said().values.length === 1);
    for (const text of ["one\ntw", "o\nthr"]) await job.write(text);
    await job.write("ee");
    job.endInput();
    const { values, end } = await job.ran;
    expect(values).toEqual(["up", "one", "two", "three"]);
    expect(toReturned(end)).toBe("over");
  });

  test("hears that it is to end though its command never waits", async () => {
    const source = command(
      `async *run(_, { signal }) { let n = 0; while (!signal.aborted && n < 3_000_000) yield n++; return signal.aborted; }`,
    );
    const job = runJobRunner(source);
    await eventually(() => job.said().values.length > 0);
    job.kill("SIGTERM");
    expect(toReturned((await job.ran).end)).toBe(true);
  });

  test("tells its command once that it is to end; the second time it is ended", async () => {
    const source = command(`async *run(_input, { signal }) {
      yield "up";
      if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
      yield signal.reason.code;
      if (signal.reason.message.includes("TERM")) await new Promise(() => {});
      return "gone";
    }`);
    const polite = runJobRunner(source);
    await eventually(() => polite.said().values.length === 1);
    polite.kill("SIGINT");
    expect(await polite.ran).toMatchObject({
      code: 0,
      values: ["up", "cancelled"],
      end: { type: "returned" },
    });
    const stubborn = runJobRunner(source);
    await eventually(() => stubborn.said().values.length === 1);
    stubborn.kill("SIGTERM");
    await eventually(() => stubborn.said().values.length === 2);
    stubborn.kill("SIGTERM");
    expect(await stubborn.ran).toMatchObject({ signal: "SIGTERM", end: undefined });
  });

  test("takes no time of the processor while its command waits, though its input is over", async () => {
    const source = command(`async *run(_input, { lines }) {
      for await (const line of lines) yield line;
      const begun = process.cpuUsage();
      yield "over";
      const { promise, resolve } = Promise.withResolvers();
      process.once("SIGUSR2", resolve);
      await promise;
      const { user, system } = process.cpuUsage(begun);
      return (user + system) / 1_000;
    }`);
    const job = runJobRunner(source);
    job.endInput();
    await eventually(() => job.said().values.length === 1);
    await Bun.sleep(1_000); // what is tested is that time changes nothing
    job.kill("SIGUSR2");
    const milliseconds = toReturned((await job.ran).end);
    expect(milliseconds).toBeNumber();
    expect(milliseconds).toBeLessThan(500); // all of it, where the event loop spins
  });

  test("is kept by nothing that its command leaves running", async () => {
    const source = command(
      `async run() { setInterval(() => {}, 10); createServer().listen(0); new Promise(() => {}); return 1; }`,
      'import { createServer } from "node:net";',
    );
    expect(toReturned((await runJobRunner(source).ran).end)).toBe(1);
  });

  test("sets up its pack, and disposes of that in the end", async () => {
    const source = toUnit(`
      import { definePack, v } from "farhand";
      export default definePack({ name: "p", config: v.object({ unit: v.string() }),
        init: async ({ unit }) => ({ unit }), dispose: ({ unit }) => console.log("disposed", unit),
        commands: [{ name: "it", kind: "background", summary: "it", result: v.string(), run: (_input, { shared, config }) => shared.unit + config.unit }] });
    `).source;
    const order: JobOrder = { type: "command", command: "it", caller: { user: "", role: "", source: "" } };
    const ran = await runJobRunner(source, { order: { ...order, config: { unit: "m" } } }).ran;
    expect(ran.stdout).toBe("disposed m\n");
    expect(toReturned(ran.end)).toBe("mm");
  });

  test("whose module cannot be loaded, or has no such command, throws what is wrong", async () => {
    const load = async (source: string) => (await runJobRunner(toUnit(source).source).ran).end;
    expect(await load("syntax error")).toMatchObject({ type: "threw", error: { code: "invalid_module" } });
    expect(await load('throw new Error("at once")')).toMatchObject({
      error: { code: "invalid_module", message: expect.stringContaining("at once") },
    });
    const other = 'export default { name: "other", summary: "other", run() {} }';
    expect(await load(other)).toMatchObject({ error: { code: "unknown_command" } });
  });

  test("that is told what is no order fails, and says why", async () => {
    const ran = await runJobRunner(NOTHING, { order: { type: "none" } as unknown as JobOrder }).ran;
    expect(ran).toMatchObject({ code: 1, end: undefined });
    expect(ran.stderr).not.toBe("");
  });
});

describe("A runner whose order is a program", () => {
  test("says its lines, gives it its input, and ends as it does", async () => {
    const line =
      'read first; echo "$first"; while read more; do echo "more $more"; done; echo note >&2; exit 5';
    const job = runJobRunner(NOTHING, { order: program(line), input: { n: 1 } });
    await job.write("a\nb\n");
    job.endInput();
    expect(await job.ran).toMatchObject({
      code: 5,
      values: [{ n: 1 }, "more a", "more b"],
      stderr: "note\n",
      end: undefined,
    });
  });

  test("is signalled as it was, ends as a shell does where there is none, and passes on what ends it", async () => {
    expect(await runJobRunner(NOTHING, { order: program("kill -USR1 $$") }).ran).toMatchObject({
      signal: "SIGUSR1",
    });
    const none: JobOrder = { type: "program", command: "it", argv: ["no-such-program"] };
    expect(await runJobRunner(NOTHING, { order: none }).ran).toMatchObject({
      code: 127,
      stderr: expect.stringContaining('Cannot run "no-such-program"'),
    });
    const trap = program("trap 'echo caught; exit 4' TERM; echo up; while true; do sleep 0.1; done");
    const job = runJobRunner(NOTHING, { order: trap });
    await eventually(() => job.said().values.length === 1);
    job.kill("SIGTERM");
    expect(await job.ran).toMatchObject({ code: 4, values: ["up", "caught"] });
  });

  test("ends where that prints too long a line, and says why", async () => {
    const ran = await runJobRunner(NOTHING, { order: program("head -c 2000000 /dev/zero; sleep 1000") }).ran;
    expect(ran).toMatchObject({ code: 1, stderr: expect.stringContaining("more than 1 MiB") });
  });
});
