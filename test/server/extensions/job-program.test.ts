import { describe, expect, test } from "bun:test";
import * as v from "valibot";
import { decodeValue } from "../../../src/protocol/cbor/payload.ts";
import { CallTerms } from "../../../src/protocol/terms.ts";
import { readOrder } from "../../../src/runner/order.ts";
import { type JobCall, toJobProgram, toRun } from "../../../src/server/extensions/job-program.ts";
import { createCustom } from "../../support/custom.ts";

const runner = { argv: ["/proc/self/exe", "runner", "job"], argv0: "/opt/farhandd" };
const caller = { user: "ann", role: "admin", source: "unix" };
const unit = {
  type: "module",
  hash: "00",
  source: Buffer.from("code"),
  config: { a: 1 },
  isShared: false,
} as const;

function make(more: Partial<JobCall> = {}, terms: v.InferInput<typeof CallTerms> = {}) {
  const command = createCustom({ name: "deploy", kind: "background", unit, confidential: ["token"] });
  const call = { command, input: {}, caller, cwd: "/srv", env: { PATH: "/bin" }, ...more };
  return toJobProgram({ ...call, terms: v.parse(CallTerms, terms) }, runner);
}

async function orderOf(program: ReturnType<typeof make>) {
  const chunks = [program.order];
  return await readOrder(async () => chunks.shift());
}

describe("The job of a command of one's own", () => {
  test("is our executable, which is given the module and the input, and is shown as the command", async () => {
    const when = new Date(0);
    const program = make({ input: { to: "web1", token: "hunter2", when } });
    expect(program).toMatchObject({
      argv: ["/opt/farhandd", "runner", "job"],
      file: "/proc/self/exe",
      recorded: ["deploy", '{"to":"web1","when":"1970-01-01T00:00:00.000Z"}'],
      cwd: "/srv",
      stdin: true,
      keepBytes: 64 * 1024 * 1024,
      terms: {},
    });
    const { order, module, payload } = await orderOf(program);
    expect(order).toEqual({ type: "command", command: "deploy", caller, config: { a: 1 } });
    expect(Buffer.from(module).toString()).toBe("code");
    expect(decodeValue(payload)).toEqual({ to: "web1", token: "hunter2", when });
  });

  test("of a program tells only what is run, and the input as JSON", async () => {
    const command = createCustom({ name: "backup", unit: { type: "program", argv: ["cp", "-a"] } });
    const { order, module, payload } = await orderOf(make({ command, input: { a: 1 } }));
    expect(order).toEqual({ type: "program", command: "backup", argv: ["cp", "-a"] });
    expect([module.length, Buffer.from(payload).toString()]).toEqual([0, '{"a":1}']);
  });

  test("shows a long input short, and none at all as nothing", () => {
    expect(make().recorded).toEqual(["deploy"]);
    const [, shown = ""] = make({ input: { text: "🙂".repeat(1_000) } }).recorded;
    expect(shown.length).toBeLessThan(300);
    expect(shown).toMatch(/… \(sha256 [0-9a-f]{16}\)$/);
    expect(shown.isWellFormed()).toBe(true);
    expect(make({ input: { text: `${"🙂".repeat(1_000)}!` } }).recorded[1]).not.toBe(shown);
  });

  test("keeps what is asked for of its output, and closes its input where that is said", () => {
    const terms = { keepOutput: "all", stdin: false, labels: { a: "b" } } as const;
    expect(make({}, terms)).toMatchObject({
      keepBytes: undefined,
      stdin: false,
      terms: { labels: { a: "b" } },
    });
  });
});

describe("toRun()", () => {
  const timed = createCustom({ name: "deploy", timeoutMs: 5_000 });

  test.each([
    [undefined, 5_000],
    [1_000, 1_000],
    [9_000, 5_000],
  ])("ends what asks for %p ms after %p, where the command's own time is 5000", (asked, limit) => {
    const program = make({}, asked === undefined ? {} : { limits: { execMs: asked, nice: 1 } });
    expect(toRun(program, timed, undefined).terms.limits).toMatchObject({ execMs: limit });
  });

  test("leaves out what decides what our own executable is, whoever has set it", () => {
    const env = {
      PATH: "/bin",
      BUN_OPTIONS: "--preload=x",
      bun_be_bun: "1",
      LD_PRELOAD: "x",
      DYLD_INSERT_LIBRARIES: "x",
      MINE: "1",
    };
    expect(toRun(make({ env }), timed, undefined).env).toEqual({ PATH: "/bin", MINE: "1" });
  });

  test("has nothing of its caller's environment where it is done as somebody else for anybody", () => {
    expect(toRun(make({ env: { PATH: "/evil" } }), timed, { HOME: "/home/deploy" }).env).toEqual({
      HOME: "/home/deploy",
    });
  });
});
