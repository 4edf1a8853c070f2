import { describe, expect, test } from "bun:test";
import * as v from "valibot";
import type { CommandContext } from "../../src/commands/context.ts";
import { defineForeground, defineStream } from "../../src/commands/define.ts";
import type { Builtin } from "../../src/commands/index.ts";
import { abortable } from "../../src/lib/abort.ts";
import { Mailbox } from "../../src/lib/mailbox.ts";
import { AppError } from "../../src/protocol/error.ts";
import {
  encodeJson,
  encodeRecord,
  parseJson,
  RecordReader,
  type RunnerRecord,
} from "../../src/runner/record.ts";
import { work } from "../../src/runner/work.ts";
import { createCustomWork } from "../support/custom-work.ts";
import { eventually, settled } from "../support/eventually.ts";

const cli = { args: {}, examples: [], toInput: () => ({}), show: () => "" };
const common = { summary: "", permission: "read", idempotent: true } as const;
const commands = {
  /** Answers what was sent along. */
  echo: defineForeground({
    ...common,
    name: "echo",
    takesInput: true,
    input: v.object({ greeting: v.string() }),
    result: v.string(),
    async run({ greeting }, { input }) {
      const chunks = await Array.fromAsync(input);
      return `${greeting} ${Buffer.concat(chunks)}`;
    },
    cli: { ...cli, toInput: () => ({ greeting: "" }) },
  }),
  /** Waits until it is stopped, once it has said so. */
  wait: defineStream({
    ...common,
    name: "wait",
    input: v.object({}),
    event: v.string(),
    result: v.null(),
    async *run(_input, { signal }) {
      yield "waiting";
      return await abortable(new Promise<null>(() => {}), signal);
    },
    cli,
  }),
  /** Says more than anybody reads. */
  flood: defineStream({
    ...common,
    name: "flood",
    input: v.object({}),
    event: v.object({ text: v.string() }),
    result: v.null(),
    async *run() {
      for (;;) yield { text: "x".repeat(1_000) };
    },
    cli,
  }),
  /** Fails as no command should. */
  fail: defineForeground({
    ...common,
    name: "fail",
    input: v.object({}),
    result: v.null(),
    run: async () => {
      throw new TypeError("a secret path");
    },
    cli,
  }),
};

const surroundings = { workspace: { name: "default", cwd: "/", home: "/", environment: {} }, umask: 0 };

/** A runner in this process, and what it says. `isRead`: whether somebody reads that. */
function setup({ isRead = true } = {}) {
  const told = new Mailbox<Uint8Array>();
  const said = new Mailbox<Uint8Array>();
  let written = 0;
  const [orders, answers] = [told[Symbol.asyncIterator](), said[Symbol.asyncIterator]()];
  const next = async (of: typeof orders) => (await of.next()).value ?? undefined;
  const stop = new AbortController();
  const ended = work(
    {
      peer: {
        read: () => next(orders),
        async write(bytes) {
          written += bytes.length;
          said.push(bytes.slice());
          if (!isRead) await new Promise(() => {});
        },
      },
      findCommand: (name) => (commands as unknown as Partial<Record<string, Builtin>>)[name],
      toContext: (_surroundings, share) => share as unknown as CommandContext,
      custom: createCustomWork(),
    },
    stop.signal,
  );
  const reader = new RecordReader(() => next(answers));
  return {
    call: (command: string, input: unknown = {}) =>
      told.push(encodeJson("call", { command, input, surroundings })),
    tell: (kind: RunnerRecord["kind"], text = "") => told.push(encodeRecord(kind, Buffer.from(text))),
    leave: () => told.close(),
    stop: () => stop.abort(new AppError("cancelled", "Enough")),
    async hear() {
      const record = await reader.next();
      return record && [record.kind, parseJson(record)];
    },
    written: () => written,
    ended,
  };
}

describe("work()", () => {
  test("does one call after another, and leaves out input that came too late", async () => {
    const { call, tell, hear, leave, ended } = setup();
    call("echo", { greeting: "hello" });
    tell("input", "wor");
    tell("input", "ld");
    tell("end");
    expect(await hear()).toEqual(["result", "hello world"]);
    tell("input", "late");
    tell("end");
    call("nothing");
    expect(await hear()).toEqual(["failure", expect.objectContaining({ code: "unknown_command" })]);
    call("echo", { greeting: 1 });
    expect(await hear()).toEqual(["failure", expect.objectContaining({ code: "internal" })]);
    call("echo", { greeting: "again" });
    tell("end");
    expect(await hear()).toEqual(["result", "again "]);
    leave();
    await ended;
  });

  test("never takes a front that is gone for the end of the input", async () => {
    const { call, tell, hear, leave, ended } = setup();
    call("echo", { greeting: "half" });
    tell("input", "of it");
    leave();
    expect(await hear()).toEqual(["failure", expect.objectContaining({ code: "connection_lost" })]);
    await ended;
  });

  test("stops a call whose front is gone, or that is told to end, and does no other", async () => {
    const gone = setup();
    gone.call("wait");
    expect(await gone.hear()).toEqual(["event", "waiting"]);
    gone.leave();
    expect(await gone.hear()).toEqual(["failure", expect.objectContaining({ code: "connection_lost" })]);
    await gone.ended;
    const stopped = setup();
    stopped.call("wait");
    expect(await stopped.hear()).toEqual(["event", "waiting"]);
    stopped.stop();
    expect(await stopped.hear()).toEqual(["failure", { code: "cancelled", message: "Enough" }]);
    await stopped.ended;
    const idle = setup();
    idle.stop();
    await idle.ended;
  });

  test("says no more than is read", async () => {
    const { call, written } = setup({ isRead: false });
    call("flood");
    await eventually(() => written() > 0);
    expect(await settled(written)).toBeLessThan(256 * 1024);
  });

  test("tells a caller nothing of what nobody expected, and the server's log all of it", async () => {
    const { call, hear, leave, ended } = setup();
    call("fail");
    expect(await hear()).toEqual([
      "failure",
      {
        code: "internal",
        message: expect.not.stringContaining("secret"),
        cause: expect.stringContaining("a secret path"),
      },
    ]);
    leave();
    await ended;
  });
});
