import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { AppError } from "../../../src/protocol/error.ts";
import { openDirectory } from "../../support/directory.ts";
import { eventually } from "../../support/eventually.ts";
import { callModule, openModuleRunners, toCommandUnit, toUnit } from "../../support/module-runners.ts";
import type { ModuleUnit } from "../../../src/server/runners/module-call.ts";
import { isRunning } from "../../support/world.ts";

setDefaultTimeout(60_000);

describe("A custom command in the foreground", () => {
  test("says values and bytes, and returns a value of any kind", async () => {
    await using runners = openModuleRunners();
    const unit = toCommandUnit(`
      input: v.object({ count: v.optional(v.number(), 2) }), event: v.object({ at: v.date() }), result: v.map(v.string(), v.bigint()),
      async *run({ count }) {
        for (let n = 0; n < count; n++) yield { at: new Date(n) };
        yield new TextEncoder().encode("raw");
        return new Map([["n", 7n]]);
      }`);
    expect(await callModule(runners, unit)).toEqual({
      said: [{ at: new Date(0) }, { at: new Date(1) }, "raw"],
      result: new Map([["n", 7n]]),
    });
    expect((await callModule(runners, unit, { input: { count: 0 } })).said).toEqual(["raw"]);
  });

  test("may be a plain function, and one that returns nothing returns null", async () => {
    await using runners = openModuleRunners();
    const plain = toCommandUnit("result: v.number(), run: () => 5");
    expect(await callModule(runners, plain)).toEqual({ said: [], result: 5 });
    expect(await callModule(runners, toCommandUnit("run() {}"))).toEqual({ said: [], result: null });
  });

  test("says and returns values of many records, and takes such", async () => {
    await using runners = openModuleRunners();
    const unit = toCommandUnit(`
      input: v.string(), event: v.string(), result: v.any(),
      async *run(text) { yield text; yield new Uint8Array(200_000).fill(65); return new Uint8Array(3_000_000).fill(7); }`);
    const input = "x".repeat(1_000_000);
    const { said, result } = await callModule(runners, unit, { input });
    expect(said[0]).toBe(input);
    expect(said.slice(1).join("")).toBe("A".repeat(200_000));
    expect(result).toEqual(new Uint8Array(3_000_000).fill(7));
  });

  test("whom nobody listens to says nothing, and does all the same", async () => {
    await using runners = openModuleRunners();
    const unit = toCommandUnit(
      "event: v.number(), result: v.number(), async *run() { for (let n = 0; n < 1000; n++) yield n; return 5; }",
    );
    expect(await callModule(runners, unit, { isHeard: false })).toEqual({ said: [], result: 5 });
  });

  test("is refused an input that does not fit, and fails where it says or returns what does not", async () => {
    await using runners = openModuleRunners();
    const unit = toCommandUnit(`
      input: v.object({ what: v.picklist(["event", "result", "bare"]) }), event: v.object({ n: v.number() }), result: v.null(),
      async *run({ what }) { if (what === "event") yield { n: "one" }; return what === "result" ? 1 : null; }`);
    const call = async (input: unknown) => (await callModule(runners, unit, { input })).error;
    expect(await call({ what: "other" })).toMatchObject({
      code: "invalid_input",
      message: expect.stringMatching(/^Cannot call "it": the input at "what" is not valid/),
    });
    expect(await call({ what: "event" })).toMatchObject({
      code: "threw",
      message: expect.stringMatching(/^Cannot finish "it": what it yields at "n" is not valid/),
    });
    expect(await call({ what: "result" })).toMatchObject({
      code: "threw",
      message: expect.stringMatching(/^Cannot finish "it": what it returns is not valid/),
    });
    expect(await call({ what: "bare" })).toBeUndefined();
    const odd = toCommandUnit("result: v.any(), run: () => ({ a: { f() {} } })");
    expect((await callModule(runners, odd)).error).toMatchObject({
      code: "threw",
      message:
        'Cannot finish "it": what it returns cannot be sent: it has a function in it, which is no data (at ".a.f")',
    });
    const silent = toCommandUnit("async *run() { yield 1; }");
    expect((await callModule(runners, silent)).error?.message).toContain("it defines no event");
  });

  test("finds its caller, and the directory, environment and umask of the call, which what it starts has too", async () => {
    await using runners = openModuleRunners();
    const unit = toCommandUnit(
      `
      result: v.any(),
      async run(_input, { caller, cwd, env }) {
        const ask = (line) => Bun.spawnSync(["sh", "-c", line]).stdout.toString().trim();
        const asked = [ask("pwd"), ask("echo $WHAT"), ask("umask"), execSync("echo $WHAT").toString().trim()];
        return { caller, cwd, what: [env.WHAT, process.env.WHAT, process.env.HOME], here: process.cwd(), asked };
      }`,
      'import { execSync } from "node:child_process";',
    );
    using first = openDirectory();
    using second = openDirectory();
    for (const [cwd, WHAT] of [
      [first.path, "one"],
      [second.path, "two"],
    ] as const) {
      const environment = { WHAT, PATH: "/usr/bin:/bin" };
      const { result } = await callModule(runners, unit, { workspace: { cwd, environment } });
      expect(result).toEqual({
        caller: { user: "ann", role: "admin", source: "unix" },
        cwd,
        what: [WHAT, WHAT, undefined],
        here: cwd,
        asked: [cwd, WHAT, "0022", WHAT],
      });
    }
    expect(runners.pids.length).toBe(1);
    const gone = { workspace: { cwd: "/nowhere", environment: {} } };
    expect((await callModule(runners, unit, gone)).error).toMatchObject({
      code: "os_error",
      details: { os: "ENOENT" },
    });
  });

  test("takes what its caller sends, as bytes or as lines", async () => {
    await using runners = openModuleRunners();
    const unit = toCommandUnit(`
      input: v.object({ lines: v.boolean() }), result: v.any(), takesInput: true,
      async run({ lines }, context) { return Array.fromAsync(lines ? context.lines : context.input, String); }`);
    const bytes = async function* () {
      for (const text of ["on", "e\r\ntwo\nth", "ree"]) yield Buffer.from(text);
    };
    const call = (lines: boolean) => callModule(runners, unit, { input: { lines }, bytes: bytes() });
    expect((await call(true)).result).toEqual(["one", "two", "three"]);
    expect((await call(false)).result).toSatisfy((chunks) => Array.isArray(chunks) && chunks.length > 0);
  });

  test("is told why it is to stop: its caller, or its time limit, after which its process ends", async () => {
    await using runners = openModuleRunners();
    const unit = toCommandUnit(
      `
      input: v.object({ file: v.string() }), event: v.string(),
      async *run({ file }, { signal }) {
        if (file === "") return;
        yield "up";
        if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
        writeFileSync(file, signal.reason.code);
      }`,
      'import { writeFileSync } from "node:fs";',
    );
    using room = openDirectory();
    const file = join(room.path, "why");
    await callModule(runners, unit, { input: { file: "" } }); // what a process takes to begin is of a call's time too
    const late = await callModule(runners, unit, { input: { file }, timeoutMs: 1_000 });
    expect(late).toMatchObject({
      said: ["up"],
      error: {
        code: "timed_out",
        message: 'Cannot finish "it": it took longer than 1 s',
        details: { limit: 1_000 },
      },
    });
    expect(readFileSync(file, "utf8")).toBe("timed_out");
    const stop = new AbortController();
    const cancelled = callModule(runners, unit, { input: { file } }, stop.signal);
    await eventually(() => runners.pids.length === 2);
    stop.abort(new AppError("cancelled", "Enough"));
    expect((await cancelled).error).toMatchObject({ code: "cancelled", message: "Enough" });
    await eventually(() => runners.pids.every((pid) => !isRunning(pid)));
  });

  test("that says one thing after the other is ended where it says the next once its call is over", async () => {
    await using runners = openModuleRunners();
    using directory = openDirectory();
    const left = join(directory.path, "left");
    const unit = toCommandUnit(
      `event: v.number(), async *run() { try { for (;;) yield 1; } finally { writeFileSync(${JSON.stringify(left)}, "x"); } }`,
      'import { writeFileSync } from "node:fs";',
    );
    const { error } = await callModule(runners, unit, { timeoutMs: 3_000 });
    expect(error).toMatchObject({ code: "timed_out" });
    expect(existsSync(left)).toBe(true);
  });

  test("prints to the server's log, which keeps of a flood the beginning only", async () => {
    const lines: string[] = [];
    await using runners = openModuleRunners({ onLog: (line) => lines.push(line) });
    const unit = toCommandUnit(`
      input: v.object({ times: v.number() }),
      run({ times }, { log }) {
        console.log("printed", { a: 1 }); console.error("complained"); log("logged", 5);
        for (let n = 0; n < times; n++) console.log("x".repeat(1000));
      }`);
    const find = (text: string) => lines.filter((line) => JSON.parse(line).text.includes(text));
    expect((await callModule(runners, unit, { input: { times: 0 } })).error).toBeUndefined();
    await eventually(() => find("logged 5").length === 1);
    for (const text of ["printed {", "complained"]) expect(find(text)).toHaveLength(1);
    expect(JSON.parse(find("complained")[0] ?? "")).toMatchObject({
      message: "command printed",
      command: "it",
      text: "complained",
    });
    lines.length = 0;
    expect((await callModule(runners, unit, { input: { times: 5_000 } })).error).toBeUndefined();
    expect(lines.length).toBeLessThan(100);
    await runners[Symbol.asyncDispose]();
    expect(find("bytes more")).toHaveLength(1);
  });

  test("has a process that its caller's next call finds again, and no other caller's", async () => {
    await using runners = openModuleRunners();
    const unit = toCommandUnit("result: v.number(), run: () => ++count", "let count = 0;");
    const call = async (owner: string) => (await callModule(runners, unit, { owner })).result;
    expect([await call("ann"), await call("ann"), await call("ben")]).toEqual([1, 2, 1]);
    expect(runners.pids.length).toBe(2);
  });
});

describe("A pack with an init", () => {
  const source = (record: string) => `
    import { definePack, defineCommand, v } from "farhand";
    import { appendFileSync } from "node:fs";
    const note = (text) => appendFileSync(${JSON.stringify(record)}, text + "\\n");
    const add = defineCommand({ name: "add", summary: "add", input: v.object({ by: v.number() }), result: v.number(),
      async run({ by }, { shared }) {
        if (by < 0) process.exit(9);
        const before = shared.total;
        await new Promise((resolve) => setTimeout(resolve, 5));
        return (shared.total = before + by);
      } });
    const show = defineCommand({ name: "show", summary: "show", result: v.any(), run: (_input, { shared, config }) => ({ ...shared, ...config }) });
    export default definePack({ name: "sum", config: v.object({ start: v.optional(v.number(), 0) }),
      init({ start }) { note("init " + process.pid); return { total: start }; },
      async dispose({ total }) { await new Promise((resolve) => setTimeout(resolve, 5)); note("dispose " + total); },
      commands: [add, show] });`;
  const setup = () => {
    const directory = openDirectory();
    const record = join(directory.path, "record");
    const unit = toUnit(source(record), { isShared: true, config: { start: 100 } });
    const read = () => readFileSync(record, "utf8").trim().split("\n");
    return { unit, read, [Symbol.dispose]: () => directory[Symbol.dispose]() };
  };

  test("is one process for all callers, who take turns, and disposes of what that made in the end", async () => {
    using world = setup();
    const { unit, read } = world;
    await using runners = openModuleRunners();
    const add = (by: number, owner: string) =>
      callModule(runners, unit, { command: "add", input: { by }, owner });
    await Promise.all(Array.from({ length: 20 }, (_, index) => add(1, `user ${index % 4}`)));
    expect((await callModule(runners, unit, { command: "show" })).result).toEqual({
      total: 120,
      start: 100,
    });
    await runners[Symbol.asyncDispose]();
    expect(read()).toEqual([`init ${runners.pids[0]}`, "dispose 120"]);
    expect(runners.pids).toHaveLength(1);
  });

  test("begins anew when its process died, or when the server has another version of it or configuration", async () => {
    using world = setup();
    const { unit, read } = world;
    await using runners = openModuleRunners();
    const show = async (of = unit) => (await callModule(runners, of, { command: "show" })).result;
    await callModule(runners, unit, { command: "add", input: { by: 1 } });
    const dead = await callModule(runners, unit, { command: "add", input: { by: -1 } });
    expect(dead.error).toMatchObject({ code: "crashed", details: { code: 9 } });
    expect(await show()).toEqual({ total: 100, start: 100 });
    const newer = { ...unit, config: { start: 7 } };
    runners.retain([newer]);
    expect(await show(newer)).toEqual({ total: 7, start: 7 });
    await eventually(() => read().includes("dispose 100"));
    expect(read().filter((line) => line.startsWith("init"))).toHaveLength(3);
  });

  test("is never there twice: another version begins when the one before has done its calls and has ended", async () => {
    using directory = openDirectory();
    const record = join(directory.path, "record");
    const version = (name: string) => {
      const unit = toUnit(
        `import { definePack, v } from "farhand"; import { appendFileSync } from "node:fs";
         const note = (text) => appendFileSync(${JSON.stringify(record)}, "${name} " + text + "\\n");
         export default definePack({ name: "alone", init: () => note("init"),
           dispose: async () => { await new Promise((resolve) => setTimeout(resolve, 50)); note("dispose"); },
           commands: [{ name: "it", summary: "it", input: v.object({ ms: v.number() }), result: v.string(), async run({ ms }) {
             note("begin"); await new Promise((resolve) => setTimeout(resolve, ms)); note("end"); return "${name}"; } }] });`,
      );
      return { ...unit, isShared: true, pack: "alone" };
    };
    const [one, two, three] = [version("one"), version("two"), version("three")];
    await using runners = openModuleRunners();
    const call = async (unit: ModuleUnit, ms = 0) =>
      (await callModule(runners, unit, { input: { ms } })).result;
    runners.retain([one]);
    const early = [call(one, 200), call(one)];
    runners.retain([two]);
    const next = [call(two), call(two)];
    runners.retain([three]);
    expect(await Promise.all([...early, ...next, call(three)])).toEqual([
      "one",
      "one",
      "two",
      "two",
      "three",
    ]);
    await runners[Symbol.asyncDispose]();
    const lines = readFileSync(record, "utf8").trim().split("\n");
    const alive = lines.map((line) => (/(?:begin|end)$/.test(line) ? "" : line)).filter(Boolean);
    for (const [index, line] of alive.entries()) expect(line).toEndWith(index % 2 === 0 ? "init" : "dispose");
    expect([...new Set(lines.map((line) => line.split(" ")[0]))]).toEqual(["one", "two", "three"]);
    // Nobody is left of an outdated one that somebody asked for a moment too late.
    await using later = openModuleRunners();
    later.retain([two]);
    expect(await Promise.all([callModule(later, one, { input: { ms: 0 } })])).toMatchObject([
      { result: "one" },
    ]);
    await eventually(() => later.pids.every((pid) => !isRunning(pid)));
  });

  test("whose configuration does not fit, or whose init throws, fails its calls with the reason", async () => {
    using world = setup();
    const { unit } = world;
    await using runners = openModuleRunners();
    const odd = await callModule(runners, { ...unit, config: { start: "x" } }, { command: "show" });
    expect(odd.error).toMatchObject({
      code: "invalid_config",
      message: expect.stringContaining('"extensions.sum.start" is not valid'),
    });
    const broken = toUnit(
      `import { definePack } from "farhand";
       export default definePack({ name: "p", init() { throw new TypeError("no such device"); }, commands: [{ name: "it", summary: "it", run() {} }] });`,
      { isShared: true },
    );
    expect((await callModule(runners, broken)).error).toMatchObject({
      code: "threw",
      name: "TypeError",
      message: "no such device",
    });
  });

  test("begins anew where its module could not be loaded, which need not be so for ever", async () => {
    using directory = openDirectory();
    const path = join(directory.path, "busy");
    await Bun.write(path, "");
    await using runners = openModuleRunners();
    const busy = toUnit(
      `import { definePack } from "farhand"; import { existsSync } from "node:fs";
       if (existsSync(${JSON.stringify(path)})) throw new Error("device is busy");
       export default definePack({ name: "p", init: () => 5, commands: [{ name: "it", summary: "it", run: (_, { shared }) => shared }] });`,
      { isShared: true },
    );
    expect((await callModule(runners, busy)).error?.message).toContain("device is busy");
    await Bun.file(path).delete();
    expect((await callModule(runners, busy)).result).toBe(5);
  });
});

describe("A program that is a command", () => {
  const sh = (line: string) => ({ type: "program" as const, argv: ["sh", "-c", line] });

  test("finds its input as a line of JSON, and says a value for each line, which is text where it is no JSON", async () => {
    await using runners = openModuleRunners();
    const program = sh(
      'read line; echo "$line"; echo "[1,2]"; echo plain text; echo; printf %s "no end"; echo "$WHAT" >&2',
    );
    const came = await callModule(runners, program, { input: { n: 1 } });
    expect(came).toEqual({ said: [{ n: 1 }, [1, 2], "plain text", "", "no end"], result: null });
  });

  test("fails as it ended, and where there is none, or it says too much at once", async () => {
    await using runners = openModuleRunners();
    const fail = async (program: ReturnType<typeof sh>) => (await callModule(runners, program)).error;
    expect(await fail(sh("exit 3"))).toMatchObject({ code: "crashed", details: { code: 3 } });
    expect(await fail(sh("kill -9 $$"))).toMatchObject({ code: "crashed", details: { signal: "SIGKILL" } });
    expect(await fail({ type: "program", argv: ["no-such-program"] })).toMatchObject({
      code: "not_found",
      message: expect.stringContaining('Cannot run "no-such-program"'),
    });
    expect((await fail(sh("head -c 2000000 /dev/zero")))?.message).toContain("more than 1 MiB");
  });

  test("ends with its call: by SIGTERM, and by KILL", async () => {
    await using runners = openModuleRunners();
    const stubborn = sh("trap '' TERM; echo $$; while true; do sleep 0.1; done");
    const came = await callModule(runners, stubborn, { timeoutMs: 500 });
    expect(came.error).toMatchObject({ code: "timed_out" });
    await eventually(() => !isRunning(Number(came.said[0])));
  });

  test("that leaves a child with its stdout is over when it has ended itself", async () => {
    await using runners = openModuleRunners();
    const came = await callModule(runners, sh("sleep 1000 & echo one"));
    expect(came).toEqual({ said: ["one"], result: null });
  });
});
