import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ClientFrame, decodeControl, findExcessOf, ServerFrame } from "../../src/protocol/control.ts";
import { AppError } from "../../src/protocol/error.ts";
import { MAX_CONTROL_FRAME_BYTES, MAX_JSON_DEPTH } from "../../src/protocol/limits.ts";

const job = Bun.randomUUIDv7();
const holder = crypto.randomUUID();
const version = { major: 1, minor: 0 };
const agent = { name: "test", version: "1" };
const input = { encoding: "json", value: { argv: ["true"], deep: [{ a: null }] } };

const fromClient = [
  { type: "hello", version, agent, heartbeat: 15_000, received: 0 },
  {
    type: "hello",
    version,
    agent,
    heartbeat: 1,
    received: 9,
    resume: { session: holder, generation: 2, token: "t" },
  },
  { type: "call", seq: 1, call: 1, command: "exec", input, job, output: { channel: 1, holder, limit: 5 } },
  { type: "call", seq: 2, ack: 0, call: 2, command: "ping", input },
  { type: "cancel", seq: 3, call: 1 },
  { type: "open_output", seq: 4, channel: 1, job, from: { type: "since", number: 0 }, holder, limit: 7 },
  { type: "open_output", seq: 5, channel: 0xffff_ffff, job, from: { type: "recent", count: 10 }, limit: 0 },
  { type: "open_input", seq: 6, channel: 2, job, writer: holder },
  { type: "close", seq: 7, channel: 1 },
  { type: "end", seq: 8, channel: 2, position: Number.MAX_SAFE_INTEGER },
  { type: "discard", seq: 9, channel: 1, stream: "stdout" },
  { type: "discard", seq: 9, channel: 1 },
  { type: "credit", channel: 1, received: 0, limit: 5, next: 3 },
  { type: "ack", ack: 0 },
  { type: "beat" },
  { type: "goodbye" },
];

const limits = { controlFrameBytes: 1, dataFrameBytes: 2, controlWindowFrames: 3 };
const error = { code: "not_found", message: "Cannot find it", details: { job } };
const fromServer = [
  {
    type: "welcome",
    version,
    agent,
    session: holder,
    generation: 1,
    resume: "token",
    received: 0,
    heartbeat: 15_000,
    grace: 120_000,
    boot: "b",
    limits,
  },
  { type: "accepted", seq: 1, call: 1, job, number: 7 },
  { type: "result", seq: 2, call: 1, result: input },
  { type: "failed", seq: 3, call: 1, error },
  { type: "broken", seq: 4, channel: 1, error },
  { type: "end", seq: 5, channel: 1, position: 0 },
  { type: "discard", seq: 6, channel: 1 },
  { type: "credit", channel: 1, received: 1, limit: 1 },
  { type: "ack", ack: 1 },
  { type: "beat" },
  { type: "goodbye", error },
];

describe("decodeControl takes", () => {
  test.each(fromClient.map((frame) => [frame.type, frame] as const))("%s of a client", (_type, frame) => {
    expect(decodeControl(ClientFrame, JSON.stringify(frame)) as object).toEqual(frame);
  });

  test.each(fromServer.map((frame) => [frame.type, frame] as const))("%s of a server", (_type, frame) => {
    expect(decodeControl(ServerFrame, JSON.stringify(frame)) as object).toEqual(frame);
  });

  test("a frame with fields that it does not know, without them", () => {
    expect(decodeControl(ClientFrame, '{"type":"beat","mood":"good"}')).toEqual({ type: "beat" });
  });

  test("nesting up to the limit, however deep brackets in strings seem to go", () => {
    const nested = (levels: number) => `${"[".repeat(levels)}${"]".repeat(levels)}`;
    const call = (value: string) =>
      `{"type":"call","seq":1,"call":1,"command":"x","input":{"encoding":"json","value":${value}}}`;
    expect(decodeControl(ClientFrame, call(nested(MAX_JSON_DEPTH - 2)))).toMatchObject({ type: "call" });
    const quoted = JSON.stringify(`\\"${"[".repeat(1_000)}\\`);
    expect(decodeControl(ClientFrame, call(`[${quoted},{${quoted}:1}]`))).toMatchObject({ type: "call" });
    expect(() => decodeControl(ClientFrame, call(nested(MAX_JSON_DEPTH - 1)))).toThrow(
      "nested deeper than 64",
    );
  });
});

describe("decodeControl refuses", () => {
  const call = { type: "call", seq: 1, call: 1, command: "exec", input };
  const open = { type: "open_output", seq: 1, channel: 1, job, from: { type: "since", number: 0 } };
  test.each([
    ["no JSON", "{", "is no JSON"],
    ["an empty frame", "", "is no JSON"],
    ["a list", "[]", "not valid"],
    ["a number", "7", "not valid"],
    ["null", "null", "not valid"],
    ["no type", "{}", '"type"'],
    ["an unknown type", { type: "dance" }, '"type"'],
    ["a server's frame", { type: "ping", seq: 1 }, '"type"'],
    ["a call without a sequence number", { ...call, seq: undefined }, '"seq"'],
    ["sequence number 0", { ...call, seq: 0 }, '"seq"'],
    ["a sequence number in text", { ...call, seq: "1" }, '"seq"'],
    ["a sequence number that is no whole number", { ...call, seq: 1.5 }, '"seq"'],
    ["a sequence number beyond 2^53", { ...call, seq: 2 ** 53 }, '"seq"'],
    ["a negative acknowledgement", { ...call, ack: -1 }, '"ack"'],
    ["call 0", { ...call, call: 0 }, '"call"'],
    ["a command without a name", { ...call, command: "" }, '"command"'],
    ["a command's name of 65 characters", { ...call, command: "x".repeat(65) }, '"command"'],
    ["an input without encoding", { ...call, input: { value: 1 } }, '"input.encoding"'],
    ["an input of another encoding", { ...call, input: { encoding: "xml", value: 1 } }, '"input.encoding"'],
    ["a job that is a path", { ...call, job: "../../etc/passwd" }, '"job"'],
    ["a job in capitals", { ...call, job: job.toUpperCase() }, '"job"'],
    ["a job with a line break behind it", { ...call, job: `${job}\n` }, '"job"'],
    ["channel 0", { ...open, channel: 0 }, '"channel"'],
    ["a channel beyond 32 bits", { ...open, channel: 2 ** 32 }, '"channel"'],
    ["an unknown way to begin", { ...open, from: { type: "until", number: 1 } }, '"from.type"'],
    ["a negative packet", { ...open, from: { type: "since", number: -1 } }, '"from.number"'],
    ["a stream that is none", { type: "discard", seq: 1, channel: 1, stream: "stdin" }, '"stream"'],
    ["negative credit", { type: "credit", channel: 1, received: -1, limit: 1 }, '"received"'],
    ["endless credit", '{"type":"credit","channel":1,"received":0,"limit":1e999}', '"limit"'],
    ["a heartbeat of 0", { type: "hello", version, agent, heartbeat: 0, received: 0 }, '"heartbeat"'],
    ["a version in text", { type: "hello", version: "1.0", agent, heartbeat: 1, received: 0 }, '"version"'],
    [
      "a long agent",
      { type: "hello", version, agent: { ...agent, name: "x".repeat(65) }, heartbeat: 1, received: 0 },
      '"agent.name"',
    ],
  ] as const)("%s", (_what, frame, part) => {
    const text = typeof frame === "string" ? frame : JSON.stringify(frame);
    const error = catchError(() => decodeControl(ClientFrame, text));
    expect(error).toBeInstanceOf(AppError);
    expect(error).toMatchObject({ code: "protocol_error", message: expect.stringContaining(part) });
  });

  test("a frame that is too large, without reading it", () => {
    const padding = " ".repeat(MAX_CONTROL_FRAME_BYTES - '{"type":"beat"}'.length);
    expect(decodeControl(ClientFrame, `{"type":"beat"}${padding}`)).toEqual({ type: "beat" });
    expect(() => decodeControl(ClientFrame, `{"type":"beat"}${padding} `)).toThrow("is larger than");
  });

  test("a frame that is too large in bytes, though not in characters", () => {
    const frame = (name: string) => `{"type":"beat","name":"${name}"}`;
    const room = MAX_CONTROL_FRAME_BYTES - frame("").length;
    const fitting = frame(`${"€".repeat(Math.floor(room / 3))}${"x".repeat(room % 3)}`);
    expect(Buffer.byteLength(fitting)).toBe(MAX_CONTROL_FRAME_BYTES);
    expect(decodeControl(ClientFrame, fitting)).toEqual({ type: "beat" });
    for (const schema of [ClientFrame, ServerFrame])
      expect(() => decodeControl(schema, `${fitting} `)).toThrow("is larger than");
  });

  test("what nests a hundred thousand times, quickly", () => {
    expect(() => decodeControl(ClientFrame, '{"a":'.repeat(100_000))).toThrow("nested deeper");
  });

  test("anything at all with an AppError and a short sentence, never with another error", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.json(), fc.string({ unit: fc.constantFrom(...'{}[]":,\\a1') })),
        (text) => {
          const error = catchError(() => decodeControl(ClientFrame, text));
          expect(error).toBeInstanceOf(AppError);
          expect((error as AppError).message.length).toBeLessThan(400);
        },
      ),
    );
  });

  test("a frame without repeating a long value of it", () => {
    const error = catchError(() => decodeControl(ClientFrame, JSON.stringify({ type: "x".repeat(100_000) })));
    expect((error as AppError).message.length).toBeLessThan(400);
  });
});

describe("findExcessOf()", () => {
  const call = (text: string) =>
    ({ type: "call", call: 1, command: "exec", input: { encoding: "json", value: text } }) as const;
  const stamped = (text: string) =>
    JSON.stringify({ ...call(text), seq: Number.MAX_SAFE_INTEGER, ack: Number.MAX_SAFE_INTEGER });
  const room = MAX_CONTROL_FRAME_BYTES - stamped("").length;

  test("finds nothing in what decodeControl takes, whatever the numbers are, and no more", () => {
    const largest = "x".repeat(room);
    expect(findExcessOf(call(largest))).toBeUndefined();
    expect(decodeControl(ClientFrame, stamped(largest)) as object).toMatchObject(call(largest));
    expect(findExcessOf(call(`${largest}x`))).toBe("takes more than 1048576 bytes");
    expect(() => decodeControl(ClientFrame, stamped(`${largest}x`))).toThrow("is larger than");
  });

  test("counts bytes, as they are written in JSON", () => {
    expect(findExcessOf(call("é".repeat(Math.floor(room / 2))))).toBeUndefined();
    expect(findExcessOf(call("é".repeat(Math.floor(room / 2) + 1)))).toBe("takes more than 1048576 bytes");
    expect(findExcessOf(call("\0".repeat(Math.floor(room / 6))))).toBeUndefined();
    expect(findExcessOf(call("\0".repeat(Math.floor(room / 6) + 1)))).toBe("takes more than 1048576 bytes");
  });
});

function catchError(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}
