import { describe, expect, test } from "bun:test";
import * as v from "valibot";
import { openCall } from "../../src/client/calling.ts";
import { ClientError } from "../../src/client/client-error.ts";
import { invoke, invokeStream, toEvent } from "../../src/client/invoke.ts";
import { defineForeground, defineStream } from "../../src/commands/define.ts";
import { AppError } from "../../src/protocol/error.ts";
import { OUTPUT_WINDOW_BYTES } from "../../src/protocol/limits.ts";
import { eventually } from "../support/eventually.ts";
import { openPeers, OTHER, SESSION } from "../support/peers.ts";
import { toRecord } from "../support/server-peer.ts";

const face = { args: {}, examples: [], toInput: () => ({}), show: String };

const count = defineStream({
  name: "count",
  summary: "",
  permission: "read",
  idempotent: true,
  input: v.object({}),
  event: v.number(),
  result: v.object({ sum: v.number() }),
  async *run() {
    return { sum: 0 };
  },
  cli: face,
});

const put = defineForeground({
  name: "put",
  summary: "",
  permission: "write",
  idempotent: true,
  takesInput: true,
  input: v.object({}),
  result: v.object({ bytes: v.number() }),
  run: async () => ({ bytes: 0 }),
  cli: face,
});

/** The values that come, each reported consumed. */
async function* readValues(output: ReturnType<typeof invokeStream>["output"]) {
  for await (const packet of output) {
    if (packet.type === "value") yield toEvent(count, packet);
    output.consumed(packet);
  }
}

const answer = (sum: number) => ({ encoding: "json", value: { sum } }) as const;

describe("invokeStream()", () => {
  test("asks for everything in one frame, and gives events to their end and then the result", async () => {
    const { session, first } = await openPeers();
    const { output, result } = invokeStream(session, count, {});
    const [call] = first.of("call");
    expect(call?.events).toEqual({ channel: 1, limit: OUTPUT_WINDOW_BYTES });
    first.say({ type: "result", call: 1, result: answer(3) });
    first.data(1, toRecord("value", 0, "1"), toRecord("value", 1, "2"));
    first.end(1);
    expect(await Array.fromAsync(readValues(output))).toEqual([1, 2]);
    expect(await result).toEqual({ sum: 3 });
  });

  test("gives what was said before a failure, and then the failure", async () => {
    const { session, first } = await openPeers();
    const { output, result } = invokeStream(session, count, {});
    first.say({ type: "failed", call: 1, error: { code: "os_error", message: "No" } });
    first.data(1, toRecord("value", 0, "1"));
    first.end(1);
    expect(await Array.fromAsync(readValues(output))).toEqual([1]);
    await expect(result).rejects.toMatchObject({ code: "os_error" });
  });

  test("refuses an event and a result that are not what the command says", async () => {
    const { session, first } = await openPeers();
    const { output, result } = invokeStream(session, count, {});
    first.say({ type: "result", call: 1, result: { encoding: "json", value: { sum: "x" } } });
    first.data(1, toRecord("value", 0, '"one"'));
    first.end(1);
    await expect(Array.fromAsync(readValues(output))).rejects.toMatchObject({ code: "protocol_error" });
    await expect(result).rejects.toThrow('at "sum"');
  });

  test("cancels, and ends what reads, when its signal is aborted", async () => {
    const { session, first } = await openPeers();
    const stop = new AbortController();
    const { output, result } = invokeStream(session, count, {}, { signal: stop.signal });
    stop.abort(new AppError("cancelled", "Enough"));
    expect(first.of("cancel")).toMatchObject([{ call: 1 }]);
    expect(first.of("close")).toMatchObject([{ channel: 1 }]);
    await expect(Array.fromAsync(readValues(output))).rejects.toThrow("Enough");
    await expect(result).rejects.toThrow("Enough");
  });

  test("ends what reads also when its signal is aborted after the answer, and tells the server", async () => {
    const { session, first } = await openPeers();
    const stop = new AbortController();
    const { output, result } = invokeStream(session, count, {}, { signal: stop.signal });
    first.data(1, toRecord("value", 0, "1"));
    first.say({ type: "result", call: 1, result: answer(3) });
    expect(await result).toEqual({ sum: 3 });
    stop.abort(new AppError("cancelled", "Enough"));
    expect(first.of("close")).toMatchObject([{ channel: 1 }]);
    await expect(Array.fromAsync(readValues(output))).rejects.toThrow("Enough");
  });

  test("fails at once where an older server does not know the command, and so ends no channel", async () => {
    const { session, first } = await openPeers({ version: { major: 1, minor: 1 } });
    const { output, result } = invokeStream(session, count, {});
    first.say({ type: "failed", call: 1, error: { code: "unknown_command", message: "No" } });
    await expect(Array.fromAsync(readValues(output))).rejects.toMatchObject({ code: "unknown_command" });
    await expect(result).rejects.toMatchObject({ code: "unknown_command" });
  });

  test("goes on over the next connection, from the packet that did not come", async () => {
    const { session, first, cut } = await openPeers();
    const { output, result } = invokeStream(session, count, {});
    first.data(1, toRecord("value", 0, "1"));
    const second = await cut();
    second.welcome({ session: SESSION, generation: 2, received: 1 });
    await eventually(() => second.of("open_events").length > 0);
    expect(second.of("open_events")).toMatchObject([{ channel: 2, call: 1, since: 1 }]);
    expect(second.of("close")).toMatchObject([{ channel: 1 }]);
    second.data(2, toRecord("value", 1, "2"));
    second.end(2);
    second.say({ type: "result", call: 1, result: answer(3) });
    expect(await Array.fromAsync(readValues(output))).toEqual([1, 2]);
    expect(await result).toEqual({ sum: 3 });
  });

  test("opens nothing twice where the call itself did not come", async () => {
    const { session, cut } = await openPeers();
    invokeStream(session, count, {});
    const second = await cut();
    second.welcome({ session: SESSION, generation: 2, received: 0 });
    await eventually(() => second.of("call").length > 0);
    expect(second.of("call")).toMatchObject([{ call: 1, events: { channel: 1 } }]);
    expect(second.of("open_events")).toEqual([]);
  });

  test("asks a server that was restarted again, as long as nothing was said", async () => {
    const { session, cut } = await openPeers();
    const { output, result } = invokeStream(session, count, {});
    const second = await cut();
    second.welcome({ session: OTHER });
    await eventually(() => second.of("call").length > 0);
    expect(second.of("call")).toMatchObject([{ call: 1, events: { channel: 2 } }]);
    second.data(2, toRecord("value", 0, "5"));
    second.end(2);
    second.say({ type: "result", call: 1, result: answer(5) });
    expect(await Array.fromAsync(readValues(output))).toEqual([5]);
    expect(await result).toEqual({ sum: 5 });
  });

  test("does not ask again once something was said: its outcome is unknown", async () => {
    const { session, first, cut } = await openPeers();
    const { output, result } = invokeStream(session, count, {});
    first.data(1, toRecord("value", 0, "1"));
    const second = await cut();
    second.welcome({ session: OTHER });
    await expect(result).rejects.toMatchObject({ code: "outcome_unknown" });
    await expect(Array.fromAsync(readValues(output))).rejects.toMatchObject({ code: "outcome_unknown" });
    expect(second.of("call")).toEqual([]);
  });

  test("is incomplete where the server was restarted behind the answer, before all that was said had come", async () => {
    const { session, first, cut } = await openPeers();
    const { output, result } = invokeStream(session, count, {});
    first.data(1, toRecord("value", 0, "1"));
    first.say({ type: "result", call: 1, result: answer(3) });
    const second = await cut();
    second.welcome({ session: OTHER });
    await expect(Array.fromAsync(readValues(output))).rejects.toMatchObject({ code: "incomplete_output" });
    expect(await result).toEqual({ sum: 3 });
    expect(second.of("open_events")).toEqual([]);
  });

  test("is whole where all had come that the answer tells of, though its end had not", async () => {
    const { session, first, cut } = await openPeers();
    const returned = invokeStream(session, count, {});
    const threw = invokeStream(session, count, {});
    const short = invokeStream(session, count, {});
    for (const channel of [1, 2, 3])
      first.data(channel, toRecord("value", 0, "1"), toRecord("value", 1, "2"));
    first.say({ type: "result", call: 1, result: answer(3), packets: 2 });
    first.say({ type: "failed", call: 2, error: { code: "threw", message: "No" }, packets: 2 });
    first.say({ type: "result", call: 3, result: answer(6), packets: 3 });
    const second = await cut();
    second.welcome({ session: OTHER });
    expect(await Array.fromAsync(readValues(returned.output))).toEqual([1, 2]);
    expect(await returned.result).toEqual({ sum: 3 });
    expect(await Array.fromAsync(readValues(threw.output))).toEqual([1, 2]);
    await expect(threw.result).rejects.toMatchObject({ code: "threw" });
    await expect(Array.fromAsync(readValues(short.output))).rejects.toMatchObject({
      code: "incomplete_output",
    });
    expect([...second.of("call"), ...second.of("open_events")]).toEqual([]);
  });

  test("is read on from a server that is the same, though all had come", async () => {
    const { session, first, cut } = await openPeers();
    const { output } = invokeStream(session, count, {});
    first.data(1, toRecord("value", 0, "1"));
    first.say({ type: "result", call: 1, result: answer(1), packets: 1 });
    const second = await cut();
    second.welcome({ session: SESSION, generation: 2, received: 1 });
    await eventually(() => second.of("open_events").length > 0);
    second.sayBare({ type: "end", seq: 2, channel: 2, position: 0 });
    expect(await Array.fromAsync(readValues(output))).toEqual([1]);
  });
});

describe("A listener to a call", () => {
  test("throws what became of its channel, and never takes that for the call's own failure", async () => {
    const { session, first } = await openPeers();
    await using listener = openCall(session, count, {}, {});
    first.data(1, toRecord("value", 0, "1"));
    first.say({ type: "result", call: 1, result: answer(3) });
    first.say({ type: "broken", channel: 1, error: { code: "not_found", message: "No" } });
    expect(await listener.next()).toMatchObject({ type: "value", value: 1 });
    const error = await listener.next().catch((error: unknown) => error);
    expect(error).toBeInstanceOf(ClientError);
    await expect(Promise.resolve(listener.outcome)).rejects.toMatchObject({ code: "not_found" });
  });

  test("tells of a call that was ended by kill as the server would", async () => {
    const { session, first } = await openPeers();
    await using listener = openCall(session, count, {}, {});
    first.data(1, toRecord("value", 0, "1"));
    expect(await listener.next()).toMatchObject({ type: "value", value: 1 });
    await listener.kill();
    expect(await listener.outcome).toMatchObject({ type: "threw", error: { code: "cancelled" } });
  });
});

describe("invoke() of a command that takes bytes", () => {
  test("sends them behind the call, to their end", async () => {
    const { session, first } = await openPeers();
    const result = invoke(session, put, {}, undefined, "hello");
    expect(first.heard.map(({ type }) => type)).toEqual(["hello", "call", "open_call_input"]);
    first.sayBare({ type: "credit", channel: 1, received: 0, limit: 100 });
    await eventually(() => first.of("end").length > 0);
    expect(first.of("data").map(({ bytes }) => Buffer.from(bytes).toString())).toEqual(["hello"]);
    first.say({ type: "result", call: 1, result: { encoding: "json", value: { bytes: 5 } } });
    expect(await result).toEqual({ bytes: 5 });
  });

  test("gives the call up with the reason for which the source failed, and sends no end", async () => {
    const { session, first } = await openPeers();
    async function* broken() {
      yield Buffer.from("half");
      throw new Error("disk on fire");
    }
    const result = invoke(session, put, {}, undefined, broken());
    first.sayBare({ type: "credit", channel: 1, received: 0, limit: 100 });
    await expect(result).rejects.toThrow("disk on fire");
    expect(first.of("cancel")).toHaveLength(1);
    expect(first.of("end")).toEqual([]);
  });

  test("keeps what it sends, whatever becomes of the buffer that it was given", async () => {
    const { session, first, cut } = await openPeers();
    const buffer = Buffer.from("hello");
    const input = session.open("put", {}, { takes: true }).input;
    first.sayBare({ type: "credit", channel: 1, received: 0, limit: 100 });
    await input?.write(buffer);
    buffer.fill(0);
    const second = await cut();
    second.welcome({ session: SESSION, generation: 2, received: 2 });
    await eventually(() => second.of("open_call_input").length > 0);
    const channel = second.of("open_call_input").at(-1)?.channel ?? 0;
    second.sayBare({ type: "credit", channel, received: 0, limit: 100 });
    await eventually(() => second.of("data").length > 0);
    expect(second.of("data").map(({ bytes }) => Buffer.from(bytes).toString())).toEqual(["hello"]);
  });

  test("goes on over the next connection from what the server holds", async () => {
    const { session, first, cut } = await openPeers();
    const result = invoke(session, put, {}, undefined, "hello");
    first.sayBare({ type: "credit", channel: 1, received: 0, limit: 100 });
    await eventually(() => first.of("end").length > 0);
    const second = await cut();
    second.welcome({ session: SESSION, generation: 2, received: 2 });
    await eventually(() => second.of("open_call_input").length > 0);
    const channel = second.of("open_call_input").at(-1)?.channel ?? 0;
    second.sayBare({ type: "credit", channel, received: 2, limit: 100 });
    await eventually(() => second.of("data").length > 0);
    expect(second.of("data").map(({ bytes }) => Buffer.from(bytes).toString())).toEqual(["llo"]);
    second.say({ type: "result", call: 1, result: { encoding: "json", value: { bytes: 5 } } });
    expect(await result).toEqual({ bytes: 5 });
  });

  test("is not sent to an older server, which would close the connection", async () => {
    const { session, first } = await openPeers({ version: { major: 1, minor: 1 } });
    const result = invoke(session, put, {}, undefined, "hello");
    expect(first.heard.map(({ type }) => type)).toEqual(["hello", "call"]);
    first.say({ type: "failed", call: 1, error: { code: "unknown_command", message: "No" } });
    await expect(result).rejects.toMatchObject({ code: "unknown_command" });
  });

  test("is asked of no other server again", async () => {
    const { session, first, cut } = await openPeers();
    const result = invoke(session, put, {}, undefined, "hello");
    first.sayBare({ type: "credit", channel: 1, received: 0, limit: 100 });
    const second = await cut();
    second.welcome({ session: OTHER });
    await expect(result).rejects.toMatchObject({ code: "outcome_unknown" });
  });
});
