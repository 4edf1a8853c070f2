import { expect, test } from "bun:test";
import { decodeValue } from "../../../src/protocol/cbor/payload.ts";
import { AppError } from "../../../src/protocol/error.ts";
import { Inline } from "../../../src/server/extensions/inline.ts";
import { eventually } from "../../support/eventually.ts";
import type { ModuleCall, ModuleSaid, ModuleUnit } from "../../../src/server/runners/module-call.ts";

/** Calls of a module in this process. */
function setup(source: string) {
  const stopped = new AbortController();
  const said: unknown[] = [];
  const log = {
    error() {},
    warn() {},
    debug() {},
    info: (_: string, fields?: object) => void said.push(fields),
  };
  const inline = new Inline({ log, signal: stopped.signal });
  const hash = new Bun.CryptoHasher("sha256").update(source).digest("hex");
  const unit: ModuleUnit = { type: "module", hash, source: Buffer.from(source), isShared: false, config: {} };
  const call = async (input: unknown, more: Partial<ModuleCall> = {}, signal = stopped.signal) => {
    const asked: ModuleCall = {
      unit,
      command: "it",
      input,
      caller: { user: "ann", role: "admin", source: "unix" },
      workspace: { cwd: "/srv", environment: { A: "1" } },
      owner: "ann",
      timeoutMs: 5_000,
      isHeard: true,
      ...more,
    };
    const pieces: ModuleSaid[] = [];
    const doing = inline.runModule(asked, signal);
    for (;;) {
      const { done, value } = await doing.next();
      if (done) return { pieces, result: value && decodeValue(value) };
      pieces.push(...value);
    }
  };
  return { inline, call, unit, said };
}

const one = (body: string) =>
  `export default { name: "it", summary: "It", input: v.any(), event: v.any(), result: v.any(), ${body} };`;
const importing = `import { AppError, v } from "farhand";`;

test("Inline calls a module in this process, with its caller's directory and environment as data", async () => {
  const { call, said } = setup(
    `${importing} ${one(`async *run(input, { cwd, env, caller, log }) { log("so", input); yield { cwd, env, user: caller.user }; yield new Uint8Array([1, 2]); return process.pid; }`)}`,
  );
  const { pieces, result } = await call({ a: 1 });
  expect(result).toBe(process.pid);
  expect(pieces.map(({ type }) => type)).toEqual(["value", "bytes"]);
  expect(decodeValue(pieces[0]?.payload ?? new Uint8Array())).toEqual({
    cwd: "/srv",
    env: { A: "1" },
    user: "ann",
  });
  expect(said).toEqual([{ command: "it", said: "so [object Object]" }]);
});

test("Inline cuts what is large into parts, the result too", async () => {
  const { call } = setup(
    `${importing} ${one(`async *run() { yield "x".repeat(100_000); return "y".repeat(100_000); }`)}`,
  );
  const { pieces, result } = await call({});
  expect(result).toBeUndefined();
  expect(pieces.map(({ type }) => type)).toEqual(["part", "value", "part", "part"]);
  const whole = Buffer.concat(pieces.slice(2).map(({ payload }) => payload));
  expect(decodeValue(whole)).toBe("y".repeat(100_000));
});

test("Inline ends a call that takes too long or is cancelled, and tells the module", async () => {
  const { call } = setup(
    `${importing} ${one(`run: (input, { signal }) => input.once || new Promise((resolve) => signal.addEventListener("abort", () => { globalThis.toldInline = signal.reason.code; }))`)}`,
  );
  await call({ once: true }); // what loading takes is of a call's time too
  const late = await call({}, { timeoutMs: 20 }).catch((error: unknown) => error);
  expect(late).toMatchObject({ code: "timed_out", details: { limit: 20 } });
  expect(Reflect.get(globalThis, "toldInline")).toBe("timed_out");
  const cancelled = new AppError("cancelled", "The caller cancelled");
  expect(await call({}, {}, AbortSignal.abort(cancelled)).catch((error: unknown) => error)).toBe(cancelled);
});

test("Inline tells what a module throws as a runner does", async () => {
  const { call } = setup(
    `${importing} ${one(`run(input) { if (input.own) throw new AppError("not_found", "Gone", { details: { a: 1 } }); throw new TypeError("oops"); }`)}`,
  );
  const thrown = async (input: object) => await call(input).catch((error: unknown) => error);
  expect(await thrown({ own: true })).toMatchObject({
    code: "not_found",
    message: "Gone",
    details: { a: 1 },
  });
  expect(await thrown({})).toMatchObject({ code: "threw", message: "oops", name: "TypeError" });
});

test("Inline tries again to load a module that could not be", async () => {
  const { call } = setup(
    `${importing} globalThis.attempts = (globalThis.attempts ?? 0) + 1; if (attempts < 2) throw new Error("busy");
     ${one("run: () => attempts")}`,
  );
  const error = await call({}).catch((error: unknown) => error);
  expect(error).toMatchObject({ code: "invalid_module", message: expect.stringContaining("busy") });
  expect((await call({})).result).toBe(2);
});

test("Inline disposes of a pack once it is not called any more", async () => {
  const { call, inline, unit } = setup(
    `import { definePack, v } from "farhand"; globalThis.packs = [];
     export default definePack({ name: "pack", init: () => { packs.push("init"); return 7; }, dispose: (shared) => { packs.push(shared); },
       commands: [{ name: "it", summary: "It", result: v.number(), run: (_, { shared }) => shared }] });`,
  );
  expect((await call({})).result).toBe(7);
  expect((await call({})).result).toBe(7);
  inline.retain([unit]);
  expect(Reflect.get(globalThis, "packs")).toEqual(["init"]);
  inline.retain([]);
  expect(Reflect.get(globalThis, "packs")).toEqual(["init", 7]);
});

test("Inline disposes of a pack that others have taken the place of when its calls are done, and before its next version begins", async () => {
  const version = (name: string) => `import { definePack, v } from "farhand"; globalThis.steps ??= [];
    export default definePack({ name: "turn", init: () => { steps.push("init ${name}"); return {}; },
      dispose: async () => { await Bun.sleep(20); steps.push("dispose ${name}"); },
      commands: [{ name: "it", summary: "It", input: v.any(), result: v.any(), async run() { await Bun.sleep(50); steps.push("do ${name}"); } }] });`;
  const { call, inline, unit } = setup(version("one"));
  const source = Buffer.from(version("two"));
  const one = { ...unit, pack: "turn" };
  const two = { ...one, source, hash: new Bun.CryptoHasher("sha256").update(source).digest("hex") };
  const first = call({}, { unit: one });
  await eventually(() => Reflect.get(globalThis, "steps")?.length === 1);
  inline.retain([two]);
  await Promise.all([first, call({}, { unit: two })]);
  expect(Reflect.get(globalThis, "steps")).toEqual([
    "init one",
    "do one",
    "dispose one",
    "init two",
    "do two",
  ]);
});
