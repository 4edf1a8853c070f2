import { describe, expect, test } from "bun:test";
import { ClientError } from "../../src/client/client-error.ts";
import { Tasks } from "../../src/client/tasks/tasks.ts";
import { encodeValue } from "../../src/protocol/cbor/payload.ts";
import type { ClientFrame } from "../../src/protocol/control.ts";
import { AppError } from "../../src/protocol/error.ts";
import type { Welcome } from "../../src/protocol/hello.ts";
import { eventually } from "../support/eventually.ts";
import { openPeers, OTHER } from "../support/peers.ts";
import { type ServerPeer, toRecord } from "../support/server-peer.ts";

const EXECUTION = "01990000-0000-7000-8000-000000000001";

/** Tasks over a server as bare as it can be. */
async function setup(greeting?: Partial<Welcome>) {
  const { session, ...peers } = await openPeers(greeting);
  const tasks = new Tasks(session, () => Promise.reject(new Error("nothing is followed")));
  return { session, tasks, ...peers };
}

type Call = Extract<ClientFrame, { type: "call" }>;

/** The next call that is made, and the input that it has. */
async function nextCall(peer: ServerPeer, index: number): Promise<Call> {
  await eventually(() => peer.of("call").length > index);
  return peer.of("call")[index] as Call;
}

const inputOf = ({ input }: Call) => input.value as Record<string, unknown>;

function answer(peer: ServerPeer, { call, events }: Call, value: object): void {
  peer.say({ type: "result", call, result: { encoding: "json", value } });
  if (events !== undefined) peer.end(events.channel);
}

function refuse(peer: ServerPeer, { call, events }: Call, code: AppError["code"], name?: string): void {
  peer.say({ type: "failed", call, error: { code, message: "No", ...(name && { name }) } });
  if (events !== undefined) peer.end(events.channel);
}

const report = (more: object = {}) => ({
  execution: EXECUTION,
  state: "finished",
  responded: false,
  restarts: 0,
  restored: false,
  ...more,
});

const summary = {
  name: "counter",
  state: "running",
  owner: "me",
  module: "0".repeat(64),
  restart: "never",
  checkpoint: false,
  startedAt: "2026-01-01T00:00:00Z",
  restarts: 0,
  restored: false,
  waiting: 0,
};

describe("tasks.start()", () => {
  test("sends its bundle only where the server says that it has it not", async () => {
    const { tasks, first } = await setup();
    const module = new TextEncoder().encode("export default {}");
    const started = tasks.start("counter", { module });
    const start = await nextCall(first, 0);
    refuse(first, start, "unknown_module");
    const put = await nextCall(first, 1);
    expect(inputOf(put)).toEqual({ hash: Bun.SHA256.hash(module, "hex"), bytes: module.length });
    const { channel } = first.of("open_call_input")[0] ?? { channel: 0 };
    first.sayBare({ type: "credit", channel, received: 0, limit: 1_000 });
    await eventually(() => first.of("end").length > 0);
    expect(first.of("data").map(({ bytes }) => Buffer.from(bytes).toString())).toEqual(["export default {}"]);
    answer(first, put, { hash: inputOf(put)["hash"], known: false });
    const again = await nextCall(first, 2);
    expect(inputOf(again)).toEqual(inputOf(start)); // the job's id among it
    answer(first, again, summary);
    expect(await started).toMatchObject({ name: "counter", state: "running" });

    const known = tasks.start("counter", { module });
    answer(first, await nextCall(first, 3), summary);
    await known;
    expect(first.of("call")).toHaveLength(4);
  });

  test("asks again, as the same job, where the server was started again before it answered", async () => {
    const { tasks, first, cut } = await setup();
    const started = tasks.start("counter", { module: new Uint8Array([1]), replace: true });
    const before = await nextCall(first, 0);
    const second = await cut();
    second.welcome({ session: OTHER });
    const again = await nextCall(second, 0);
    expect(inputOf(again)).toEqual(inputOf(before));
    answer(second, again, summary);
    expect(await started).toMatchObject({ name: "counter" });
  });

  test("sends its bundle again where the server was started again before it had it", async () => {
    const { tasks, first, cut } = await setup();
    const started = tasks.start("counter", { module: new Uint8Array([1]) });
    refuse(first, await nextCall(first, 0), "unknown_module");
    const put = await nextCall(first, 1);
    const second = await cut();
    second.welcome({ session: OTHER });
    const again = await nextCall(second, 0);
    expect([again.command, inputOf(again)]).toEqual(["module-put", inputOf(put)]);
    answer(second, again, { hash: inputOf(put)["hash"], known: true });
    answer(second, await nextCall(second, 1), summary);
    expect(await started).toMatchObject({ name: "counter" });
  });

  test("refuses a module that is nothing, or too much, before anything is sent", async () => {
    const { tasks, first } = await setup();
    for (const module of [new Uint8Array(), new Uint8Array(24 * 1024 * 1024 + 1)])
      await expect(tasks.start("counter", { module })).rejects.toMatchObject({ code: "invalid_module" });
    // A closure is of its program: what it refers to is not there.
    await expect(tasks.start("counter", { module: (() => 1) as never })).rejects.toThrow("path of a file");
    expect(first.of("call")).toEqual([]);
  });
});

describe("tasks.exec()", () => {
  test("has what it is given in the call, and opens no channel for that", async () => {
    const { tasks, first } = await setup();
    const asked = tasks.exec("counter", { add: 2, at: new Date(0) });
    const call = await nextCall(first, 0);
    expect(inputOf(call)).toMatchObject({ task: "counter", wait: "end", args: { encoding: "cbor" } });
    answer(first, call, report({ responded: true, value: { encoding: "json", value: 5 } }));
    expect(await asked).toEqual({ ...report(), responded: true, value: 5 } as never);
    expect(first.of("open_call_input")).toEqual([]);
  });

  test("sends what takes more beside the call, and reads an answer that does", async () => {
    const { tasks, first } = await setup();
    const large = "x".repeat(100_000);
    const asked = tasks.exec("counter", large);
    const call = await nextCall(first, 0);
    const { length } = encodeValue(large);
    expect(inputOf(call)).toEqual({
      task: "counter",
      wait: "end",
      execution: expect.any(String),
      argBytes: length,
    });
    const { channel } = first.of("open_call_input")[0] ?? { channel: 0 };
    first.sayBare({ type: "credit", channel, received: 0, limit: length });
    await eventually(() => first.of("end").length > 0);
    const sent = Buffer.concat(first.of("data").map(({ bytes }) => bytes));
    expect(sent.equals(encodeValue(large))).toBe(true);
    const said = JSON.stringify(large);
    const events = call.events?.channel ?? 0;
    first.data(
      events,
      toRecord("stdout", 0, said.slice(0, 50_000)),
      toRecord("stdout", 1, said.slice(50_000)),
    );
    answer(first, call, report({ responded: true, valueBytes: said.length }));
    expect((await asked).value === large).toBe(true);
  });

  test("does not take half an answer for the whole", async () => {
    const { tasks, first } = await setup();
    const asked = tasks.exec("counter");
    const call = await nextCall(first, 0);
    first.data(call.events?.channel ?? 0, toRecord("stdout", 0, '"half"'));
    answer(first, call, report({ responded: true, valueBytes: 99 }));
    await expect(asked).rejects.toMatchObject({ code: "incomplete_output" });
  });

  test("looks up what came of it where the server was started again before it answered", async () => {
    const { tasks, first, cut } = await setup();
    const asked = tasks.exec("counter", { add: 2 });
    const before = await nextCall(first, 0);
    const second = await cut();
    second.welcome({ session: OTHER });
    const inquiry = await nextCall(second, 0);
    expect([inquiry.command, inputOf(inquiry)]).toEqual([
      "task-await",
      { task: "counter", execution: inputOf(before)["execution"], wait: "end" },
    ]);
    answer(second, inquiry, report());
    expect(await asked).toMatchObject({ state: "finished", value: undefined });
  });

  test("needs nothing more of a server that was killed when it had answered", async () => {
    const { tasks, first, cut } = await setup();
    const asked = tasks.exec("counter");
    const { call } = await nextCall(first, 0);
    const value = report({ responded: true, value: { encoding: "json", value: 5 } });
    first.say({ type: "result", call, result: { encoding: "json", value }, packets: 0 });
    const second = await cut(); // the end of what it said has not come
    second.welcome({ session: OTHER });
    expect(await asked).toMatchObject({ value: 5 });
    expect(second.of("call")).toEqual([]);
  });

  test("asks again for the rest of an answer that is gone with the server", async () => {
    const { tasks, first, cut } = await setup();
    const asked = tasks.exec("counter");
    const { call, events, ...before } = await nextCall(first, 0);
    first.data(events?.channel ?? 0, toRecord("stdout", 0, '"ha'));
    const value = report({ responded: true, valueBytes: 6 });
    first.say({ type: "result", call, result: { encoding: "json", value }, packets: 2 });
    const second = await cut();
    second.welcome({ session: OTHER });
    const again = await nextCall(second, 0);
    expect([again.command, inputOf(again)["execution"]]).toEqual([
      "task-await",
      (before.input.value as Record<string, unknown>)["execution"],
    ]);
    second.data(again.events?.channel ?? 0, toRecord("stdout", 0, '"half"'));
    answer(second, again, value);
    expect((await asked).value).toBe("half");
  });

  test("is not asked again for an answer whose channel the server breaks", async () => {
    const { tasks, first } = await setup();
    const asked = tasks.exec("counter");
    const { call, events } = await nextCall(first, 0);
    first.say({ type: "result", call, result: { encoding: "json", value: report() }, packets: 0 });
    const error = { code: "not_found", message: "No" } as const;
    first.say({ type: "broken", channel: events?.channel ?? 0, error });
    await expect(asked).rejects.toMatchObject({ code: "not_found" });
    expect(first.of("call")).toHaveLength(1);
  });

  test("throws what the task throws under the name that it had, and names the execution", async () => {
    const { tasks, first } = await setup();
    const asked = tasks.exec("counter", undefined, { execution: EXECUTION }).catch((error: unknown) => error);
    refuse(first, await nextCall(first, 0), "threw", "RangeError");
    const error = await asked;
    expect(error).not.toBeInstanceOf(ClientError);
    expect(error).toMatchObject({
      code: "threw",
      name: "RangeError",
      details: { task: "counter", execution: EXECUTION },
    });
  });

  test("says of a connection that is gone for good which execution may go on", async () => {
    const { tasks, first, session } = await setup();
    const asked = tasks.exec("counter", 1, { execution: EXECUTION }).catch((error: unknown) => error);
    await nextCall(first, 0);
    await session[Symbol.asyncDispose]();
    const error = await asked;
    expect(error).toBeInstanceOf(ClientError);
    expect(error).toMatchObject({ details: { execution: EXECUTION } });
  });

  test("waits no longer than it is told, and leaves the execution alone", async () => {
    const { tasks } = await setup();
    const error = await tasks
      .exec("counter", 1, { execution: EXECUTION, timeout: 1 })
      .catch((error: unknown) => error);
    expect(error).toBeInstanceOf(ClientError);
    expect(error).toMatchObject({ code: "timeout", details: { execution: EXECUTION } });
  });

  test("refuses what is no data before anything is sent", async () => {
    const { tasks, first } = await setup();
    await expect(tasks.exec("counter", () => 1)).rejects.toMatchObject({ code: "invalid_input" });
    expect(first.of("call")).toEqual([]);
  });
});

test("Of a server that is too old to know tasks that is said, whatever is asked", async () => {
  for (const minor of [1, 3]) {
    const { tasks, first } = await setup({ version: { major: 1, minor } });
    const asked = [
      tasks.start("counter", { module: new Uint8Array([1]) }),
      tasks.exec("counter", "x".repeat(100_000)),
      tasks.await("counter", EXECUTION),
      tasks.stop("counter"),
      tasks.restart("counter"),
      tasks.list(),
      tasks.show("counter"),
      tasks.follow("counter"),
    ].map((asked) => asked.catch((error: unknown) => error));
    await eventually(() => first.of("call").length === asked.length);
    for (const call of first.of("call")) refuse(first, call, "unknown_command");
    for (const error of await Promise.all(asked))
      expect(error).toMatchObject({
        code: "unsupported_version",
        message: expect.stringContaining("too old"),
      });
  }
});
