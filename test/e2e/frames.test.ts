import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { DATA_HEADER_BYTES, writeDataHeader } from "../../src/protocol/data.ts";
import {
  CONTROL_WINDOW_FRAMES,
  HEARTBEAT_PATIENCE,
  INPUT_WINDOW_BYTES,
  MAX_CALLS,
  MAX_CHANNELS,
  MAX_CONTROL_FRAME_BYTES,
  MAX_DATA_BYTES,
  MAX_JSON_DEPTH,
  MAX_WRITERS,
} from "../../src/protocol/limits.ts";
import { FARHAND } from "../support/built.ts";
import { eventually } from "../support/eventually.ts";
import { encodeFrame, OPCODE } from "../support/frame.ts";
import { type ControlFrame, RawClient, type RawEnd, type RawTarget } from "../support/raw.ts";
import { openWorld, type World } from "../support/world.ts";
import { turn } from "../../src/lib/abort.ts";

/** Milliseconds: room for a machine that is busy with something else. */
const PATIENCE = 30_000;
const NOBODY = "00000000-0000-7000-8000-000000000000";

/** What the server must do about a case; "goes on" means that it answers a call on the same connection. */
type Reaction =
  | { readonly type: "closes"; readonly code: number; readonly error?: string }
  | { readonly type: "fails"; readonly error: string }
  | { readonly type: "breaks"; readonly error: string }
  | { readonly type: "goes on" };

interface Case {
  readonly name: string;
  /** False: the connection is upgraded, and no hello was said. */
  readonly greeted?: boolean;
  readonly act: (client: RawClient) => void | Promise<void>;
  readonly reaction: Reaction;
}

let world: World;
let server: RawTarget;
/** A job that runs throughout and never reads its stdin. */
let job: string;
/** Said nothing since it was upgraded. */
let mute: { readonly client: RawClient; readonly since: number };

beforeAll(async () => {
  world = openWorld();
  await world.start();
  server = world.local();
  job = crypto.randomUUID();
  using client = await RawClient.open(server);
  client.call(1, "exec", { argv: ["sleep", "600"], stdin: true }, { job });
  await client.control("accepted");
  mute = { client: await RawClient.upgrade(server), since: performance.now() };
}, PATIENCE);

afterAll(() => world[Symbol.asyncDispose](), PATIENCE);

const closes = (code: number, error?: string): Reaction => ({
  type: "closes",
  code,
  ...(error && { error }),
});
const refuses = closes(4400, "protocol_error");
const goesOn: Reaction = { type: "goes on" };
const fails = (error: string): Reaction => ({ type: "fails", error });

/** An `exec` that leaves a trace if it is ever obeyed. */
const forbidden = () => ({ argv: ["touch", join(world.home, "executed")] });
const input = (value: unknown) => ({ encoding: "json", value });
const call = { type: "call", seq: 1, call: 1, command: "ping", input: input({}) };
const openOutput = () => ({ type: "open_output", channel: 1, job, from: { type: "since", number: 0 } });
const openInput = () => ({ type: "open_input", channel: 1, job, writer: crypto.randomUUID() });

function data(channel: number, position: number, bytes = 1): Uint8Array {
  const frame = new Uint8Array(DATA_HEADER_BYTES + bytes);
  writeDataHeader(frame, channel, position);
  return frame;
}

/** One raw frame and nothing else. */
const says = (name: string, frame: Parameters<typeof encodeFrame>[0], reaction: Reaction): Case => ({
  name,
  act: (client) => client.frame(frame),
  reaction,
});
const text = (name: string, payload: string, reaction: Reaction = refuses): Case => ({
  name,
  act: (client) => client.text(payload),
  reaction,
});
const control = (name: string, frame: () => object, reaction: Reaction = refuses): Case => ({
  name,
  act: (client) => client.text({ ...frame() }),
  reaction,
});
const executes = (name: string, value: () => unknown, rest: object = { job: NOBODY }): Case => ({
  name,
  act: (client) => client.call(1, "exec", value(), { ...rest }),
  reaction: fails("invalid_input"),
});
const greets = (name: string, hello: object, reaction: Reaction = refuses): Case => ({
  name,
  greeted: false,
  act: (client) => client.hello({ ...hello }),
  reaction,
});
const bytes = (...values: number[]) => new Uint8Array(values);
const nested = (depth: number) => `{"type":"beat","x":${"[".repeat(depth - 1)}${"]".repeat(depth - 1)}}`;

const framing: readonly Case[] = [
  says("an unmasked frame", { opcode: OPCODE.text, mask: null, payload: "{}" }, closes(1002)),
  says("a frame with a reserved bit", { opcode: OPCODE.text, rsv: 4, payload: "{}" }, closes(1002)),
  says("a frame with all reserved bits", { opcode: OPCODE.text, rsv: 7, payload: "{}" }, closes(1002)),
  says("an unknown data opcode", { opcode: 3, payload: "{}" }, closes(1002)),
  says("an unknown control opcode", { opcode: 11, payload: "{}" }, closes(1002)),
  says("a continuation of nothing", { opcode: OPCODE.continuation, payload: "{}" }, closes(1002)),
  says("a ping in fragments", { opcode: OPCODE.ping, fin: false, payload: "x" }, closes(1002)),
  says("a ping of 126 bytes", { opcode: OPCODE.ping, payload: "x".repeat(126) }, closes(1002)),
  says("text that is no UTF-8", { opcode: OPCODE.text, payload: bytes(0xc3, 0x28) }, closes(1007)),
  says("a surrogate as UTF-8", { opcode: OPCODE.text, payload: bytes(0xed, 0xa0, 0x80) }, closes(1007)),
  says("a length of 2^40", { opcode: OPCODE.text, payload: "x", length: 2 ** 40 }, closes(1009)),
  says("a length of 2^64 - 1", { opcode: OPCODE.text, length: -1, lengthBytes: 8 }, closes(1009)),
  says("a close with half a code", { opcode: OPCODE.close, payload: bytes(3) }, closes(1002)),
  says("a close with a reserved code", { opcode: OPCODE.close, payload: bytes(3, 0xed) }, closes(1002)),
  says("a close with code 1000", { opcode: OPCODE.close, payload: bytes(3, 0xe8) }, closes(1000)),
  says("a close without a code", { opcode: OPCODE.close }, closes(1005)),
  says("a pong that nobody asked for", { opcode: OPCODE.pong, payload: "x" }, goesOn),
  says("a masked frame", { opcode: OPCODE.text, mask: [1, 2, 3, 4], payload: '{"type":"beat"}' }, goesOn),
  says("a longer length than needed", { opcode: 1, lengthBytes: 8, payload: '{"type":"beat"}' }, goesOn),
  {
    name: "a message that begins inside another",
    act(client) {
      client.frame({ opcode: OPCODE.text, fin: false, payload: '{"type":' });
      client.frame({ opcode: OPCODE.text, payload: '{"type":"beat"}' });
    },
    reaction: closes(1002),
  },
  {
    name: "fragments that are too large together",
    act(client) {
      const payload = "x".repeat(MAX_CONTROL_FRAME_BYTES / 2 + 1);
      client.frame({ opcode: OPCODE.text, fin: false, payload });
      client.frame({ opcode: OPCODE.continuation, payload });
    },
    reaction: closes(1009),
  },
  {
    name: "a control frame in fragments, with a ping between them",
    act(client) {
      client.frame({ opcode: OPCODE.text, fin: false, payload: '{"type":' });
      client.frame({ opcode: OPCODE.ping, payload: "x" });
      client.frame({ opcode: OPCODE.continuation, payload: '"beat"}' });
    },
    reaction: goesOn,
  },
  {
    name: "a control frame that comes byte by byte",
    async act(client) {
      for (const byte of encodeFrame({ opcode: OPCODE.text, payload: '{"type":"beat"}' })) {
        client.write(bytes(byte));
        await turn();
      }
    },
    reaction: goesOn,
  },
  {
    name: "an HTTP request on the open channel",
    act: (client) => client.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    reaction: closes(1002),
  },
];

const json: readonly Case[] = [
  text("an empty text frame", ""),
  text("text that is no JSON", "hello"),
  text("JSON that is cut off", '{"type":"beat"'),
  text("two frames in one text", '{"type":"beat"}{"type":"beat"}'),
  text("a NUL byte", "\0"),
  text("a byte order mark before the JSON", '\uFEFF{"type":"hello"}'),
  text("JSON null", "null"),
  text("a JSON number", "1"),
  text("a JSON string", '"beat"'),
  text("an array of frames", '[{"type":"beat"}]'),
  text("an object without a type", "{}"),
  text("a type that is no string", '{"type":1}'),
  text("a type in the prototype", '{"__proto__":{"type":"beat"}}'),
  text("an unknown type", '{"type":"reboot"}'),
  text("a type that objects have", '{"type":"constructor"}'),
  text("an unknown type of many bytes", JSON.stringify({ type: "é€😀".repeat(100) })),
  text("a server's frame", '{"type":"welcome"}'),
  text("JSON nested one level too deep", nested(MAX_JSON_DEPTH + 1)),
  text("JSON nested 100,000 levels deep", "[".repeat(100_000)),
  text("JSON nested as deep as allowed", nested(MAX_JSON_DEPTH), goesOn),
  text("a beat with fields that nobody knows", '{"type":"beat","from":"the future"}', goesOn),
  text("a frame of exactly the size limit", "x".repeat(MAX_CONTROL_FRAME_BYTES)),
  text("a frame one byte beyond the size limit", "x".repeat(MAX_CONTROL_FRAME_BYTES + 1), closes(1009)),
];

const hello: readonly Case[] = [
  {
    name: "a beat before the hello",
    greeted: false,
    act: (c) => c.text({ type: "beat" }),
    reaction: refuses,
  },
  {
    name: "an exec before the hello",
    greeted: false,
    act: (client) => client.call(1, "exec", forbidden(), { job: NOBODY }),
    reaction: refuses,
  },
  { name: "data before the hello", greeted: false, act: (c) => c.binary(data(1, 0)), reaction: refuses },
  { name: "the same hello again", act: (client) => client.hello(), reaction: goesOn },
  { name: "a second hello", act: (client) => client.hello({ heartbeat: 2_000 }), reaction: refuses },
  greets(
    "a hello of another major version",
    { version: { major: 2, minor: 0 } },
    closes(4426, "unsupported_version"),
  ),
  greets(
    "a hello of major version 0",
    { version: { major: 0, minor: 9 } },
    closes(4426, "unsupported_version"),
  ),
  greets("a hello of a later minor version", { version: { major: 1, minor: 99 } }, goesOn),
  greets("a hello whose version is a string", { version: "1.0" }),
  greets("a hello without an agent", { agent: undefined }),
  greets("a hello with an endless agent", { agent: { name: "x".repeat(65), version: "1" } }),
  greets("a hello with a heartbeat of 0", { heartbeat: 0 }),
  greets("a hello without a heartbeat", { heartbeat: undefined }),
  greets("a hello that received less than nothing", { received: -1 }),
  greets("a hello that resumes half a session", { resume: { session: NOBODY } }),
  greets(
    "a hello that resumes an unknown session",
    { resume: { session: NOBODY, generation: 1, token: "guessed" } },
    goesOn,
  ),
];

const sequence: readonly Case[] = [
  control("a call without seq", () => ({ ...call, seq: undefined })),
  control("a call with seq 0", () => ({ ...call, seq: 0 })),
  control("a call with a negative seq", () => ({ ...call, seq: -1 })),
  control("a call with a fractional seq", () => ({ ...call, seq: 1.5 })),
  control("a call with seq as a string", () => ({ ...call, seq: "1" })),
  control("a call with seq 2^53", () => ({ ...call, seq: 2 ** 53 })),
  control("a call that skips a seq", () => ({ ...call, seq: 2 }), closes(4409, "sequence_gap")),
  control(
    "an exec that skips a seq",
    () => ({ ...call, seq: 3, command: "exec", input: input(forbidden()), job: NOBODY }),
    closes(4409, "sequence_gap"),
  ),
  control("an acknowledgement of what was never sent", () => ({ type: "ack", ack: 1 })),
  control("a call that acknowledges what was never sent", () => ({ ...call, ack: 7 })),
  text("an acknowledgement of 1e400", '{"type":"ack","ack":1e400}'),
  control("an acknowledgement below nothing", () => ({ type: "ack", ack: -1 })),
  control("an acknowledgement of nothing", () => ({ type: "ack", ack: 0 }), goesOn),
  {
    name: "a repeated seq with another call in it",
    act(client) {
      client.call(1, "ping");
      client.text({ ...call, seq: 1, call: 2, command: "exec", input: input(forbidden()), job: NOBODY });
    },
    reaction: goesOn,
  },
];

const calls: readonly Case[] = [
  control("a call with id 0", () => ({ ...call, call: 0 })),
  control("a call with id 2^53", () => ({ ...call, call: 2 ** 53 })),
  control("a call without an input", () => ({ ...call, input: undefined })),
  control("a call whose input has an unknown encoding", () => ({
    ...call,
    input: { encoding: "yaml", value: 1 },
  })),
  control("a call of a command without a name", () => ({ ...call, command: "" })),
  control("a call of a command with an endless name", () => ({ ...call, command: "x".repeat(65) })),
  control("an exec whose job id is a path", () => ({
    ...call,
    command: "exec",
    input: input(forbidden()),
    job: "../../../tmp/x",
  })),
  control("an exec whose job id is in capitals", () => ({
    ...call,
    command: "exec",
    input: input(forbidden()),
    job: "AAAAAAAA-AAAA-7AAA-8AAA-AAAAAAAAAAAA",
  })),
  control("an unknown command", () => ({ ...call, command: "no-such-command" }), fails("unknown_command")),
  control(
    "a command that objects have",
    () => ({ ...call, command: "constructor" }),
    fails("unknown_command"),
  ),
  control("a command called __proto__", () => ({ ...call, command: "__proto__" }), fails("unknown_command")),
  control(
    "a command that is half a character",
    () => ({ ...call, command: "\ud800" }),
    fails("unknown_command"),
  ),
  executes("an exec without a job id", forbidden, {}),
  executes("an exec of nothing", () => ({})),
  executes("an exec of an empty argv", () => ({ argv: [] })),
  executes("an exec of both argv and a shell line", () => ({ ...forbidden(), shell: "true" })),
  executes("an exec whose argv is a string", () => ({ argv: "touch executed" })),
  executes("an exec whose argv has a number", () => ({ argv: ["touch", 1] })),
  executes("an exec whose argv has a NUL", () => ({ argv: ["touch", `${world.home}/executed\0`] })),
  executes("an exec whose argv is in the prototype", () =>
    JSON.parse('{"__proto__":{"argv":["touch","executed"]}}'),
  ),
  executes("an exec with '=' in a variable's name", () => ({ ...forbidden(), env: { "A=B": "C" } })),
  executes("an exec with a variable without a name", () => ({ ...forbidden(), env: { "": "C" } })),
  executes("an exec with a NUL in a variable's name", () => ({ ...forbidden(), env: { "A\0": "C" } })),
  executes("an exec with a NUL in a variable", () => ({ ...forbidden(), env: { A: "B\0C" } })),
  executes("an exec with half a character in a variable's name", () => ({
    ...forbidden(),
    env: { "A\udc00": "C" },
  })),
  executes("an exec with half a character in a variable", () => ({ ...forbidden(), env: { A: "\ud800" } })),
  executes("an exec with a number in a variable called __proto__", () => ({
    ...forbidden(),
    env: JSON.parse('{"__proto__":1}'),
  })),
  executes("an exec whose environment is a list", () => ({ ...forbidden(), env: ["A=B"] })),
  executes("an exec whose argv has half a character", () => ({
    argv: ["touch", join(world.home, "executed"), "\ud83d"],
  })),
  executes("an exec whose shell line has half a character", () => ({ shell: "touch executed; \udc00" })),
  executes("an exec whose directory has half a character", () => ({ ...forbidden(), cwd: "\udc00\ud800" })),
  executes("an exec that keeps less than the least", () => ({ ...forbidden(), keepOutput: 1 })),
  executes("an exec whose input is null", () => null),
  {
    name: "a wait for a job whose name takes a whole frame",
    act: (client) => client.call(1, "wait", { job: "x".repeat(MAX_CONTROL_FRAME_BYTES - 110) }),
    reaction: fails("invalid_input"),
  },
  {
    name: "a call id that was used",
    act(client) {
      client.call(5, "ping");
      client.call(5, "exec", forbidden(), { job: NOBODY });
    },
    reaction: refuses,
  },
  {
    name: "a call id below the last one",
    act(client) {
      client.call(5, "ping");
      client.call(4, "exec", forbidden(), { job: NOBODY });
    },
    reaction: refuses,
  },
  {
    name: "more calls at once than allowed",
    act(client) {
      for (let id = 1; id <= MAX_CALLS + 1; id++) client.call(id, "wait", { job });
    },
    reaction: closes(4429, "too_many"),
  },
  {
    name: "a cancel of a call that never was",
    act: (client) => client.sequenced({ type: "cancel", call: 77 }),
    reaction: goesOn,
  },
  {
    name: "an exec in the same packet as a refused frame before it",
    act(client) {
      const exec = { ...call, command: "exec", input: input(forbidden()), job: NOBODY };
      const frames = ["no JSON", JSON.stringify(exec)].map((payload) => encodeFrame({ opcode: 1, payload }));
      client.write(Buffer.concat(frames));
    },
    reaction: refuses,
  },
  {
    name: "an exec after a goodbye",
    act(client) {
      client.text({ type: "goodbye" });
      client.call(1, "exec", forbidden(), { job: NOBODY });
    },
    reaction: closes(1000),
  },
];

const opens = (name: string, frame: () => object, reaction: Reaction): Case => ({
  name,
  act: (client) => client.sequenced({ ...frame() }),
  reaction,
});
/** Opens channel 1 and goes on from there. */
const onInput = (name: string, act: Case["act"], reaction: Reaction = refuses): Case => ({
  name,
  async act(client) {
    client.sequenced(openInput());
    await client.control("credit");
    await act(client);
  },
  reaction,
});
const onOutput = (name: string, act: Case["act"], reaction: Reaction = refuses): Case => ({
  name,
  act(client) {
    client.sequenced(openOutput());
    return act(client);
  },
  reaction,
});

const channels: readonly Case[] = [
  opens("output of an unknown job", () => ({ ...openOutput(), job: NOBODY }), {
    type: "breaks",
    error: "not_found",
  }),
  opens("input to an unknown job", () => ({ ...openInput(), job: NOBODY }), {
    type: "breaks",
    error: "not_found",
  }),
  opens("output on channel 0", () => ({ ...openOutput(), channel: 0 }), refuses),
  opens("output on channel 2^32", () => ({ ...openOutput(), channel: 2 ** 32 }), refuses),
  opens(
    "output since a negative packet",
    () => ({ ...openOutput(), from: { type: "since", number: -1 } }),
    refuses,
  ),
  opens(
    "output from a place that nobody knows",
    () => ({ ...openOutput(), from: { type: "middle" } }),
    refuses,
  ),
  opens("output for a holder that is no id", () => ({ ...openOutput(), holder: "me" }), refuses),
  opens("input from a writer that is no id", () => ({ ...openInput(), writer: "me" }), refuses),
  onOutput("a channel that is open already", (client) => client.sequenced(openInput())),
  onOutput("data to a channel of output", (client) => client.binary(data(1, 0))),
  onOutput("an end of a channel of output", (c) => c.sequenced({ type: "end", channel: 1, position: 0 })),
  onOutput("credit beyond what was sent", (c) =>
    c.text({ type: "credit", channel: 1, received: 1e9, limit: 2e9 }),
  ),
  onOutput("credit that is negative", (c) => c.text({ type: "credit", channel: 1, received: 0, limit: -1 })),
  onOutput("a discard of a stream that nobody knows", (c) =>
    c.sequenced({ type: "discard", channel: 1, stream: "stdin" }),
  ),
  onOutput(
    "a discard by somebody who holds nothing",
    (c) => c.sequenced({ type: "discard", channel: 1, stream: "stdout" }),
    goesOn,
  ),
  onOutput(
    "data and credit for a channel just closed",
    (client) => {
      client.sequenced({ type: "close", channel: 1 });
      client.text({ type: "credit", channel: 1, received: 0, limit: 1 });
      client.binary(data(1, 0));
    },
    goesOn,
  ),
  onOutput("the number of a channel just closed", (client) => {
    client.sequenced({ type: "close", channel: 1 });
    client.sequenced(openOutput());
  }),
  opens("the close of a channel that never was", () => ({ type: "close", channel: 9 }), goesOn),
  opens("the end of a channel that never was", () => ({ type: "end", channel: 9, position: 0 }), refuses),
  control("credit for a channel that never was", () => ({
    type: "credit",
    channel: 9,
    received: 0,
    limit: 1,
  })),
  {
    name: "more channels than allowed",
    act(client) {
      for (let channel = 1; channel <= MAX_CHANNELS + 1; channel++)
        client.sequenced({ ...openOutput(), channel });
    },
    reaction: closes(4429, "too_many"),
  },
  {
    name: "data before there is credit",
    act(client) {
      client.sequenced(openInput());
      client.binary(data(1, 0));
    },
    reaction: refuses,
  },
  {
    name: "an end before the job has said where its input stands",
    act(client) {
      client.sequenced(openInput());
      client.sequenced({ type: "end", channel: 1, position: 999 });
    },
    reaction: goesOn,
  },
  onInput("data beyond the credit", (client) => {
    for (let at = 0; at <= 3 * INPUT_WINDOW_BYTES; at += 65_536) client.binary(data(1, at, 65_536));
  }),
  onInput("data that skips bytes", (c) => c.binary(data(1, 1)), closes(4409, "sequence_gap")),
  onInput(
    "data that came before",
    (client) => {
      client.binary(data(1, 0));
      client.binary(data(1, 0));
    },
    goesOn,
  ),
  onInput("data that came before in part", (client) => {
    client.binary(data(1, 0));
    client.binary(data(1, 0, 2));
  }),
  onInput("credit for a channel of input", (c) =>
    c.text({ type: "credit", channel: 1, received: 0, limit: 1 }),
  ),
  onInput("a discard of a channel of input", (c) => c.sequenced({ type: "discard", channel: 1 })),
  onInput("an end before what has arrived", (client) => {
    client.binary(data(1, 0, 2));
    client.sequenced({ type: "end", channel: 1, position: 1 });
  }),
  onInput("data beyond the end", (client) => {
    client.sequenced({ type: "end", channel: 1, position: 1 });
    client.binary(data(1, 0, 2));
  }),
  onInput("an end elsewhere than the end before", (client) => {
    client.sequenced({ type: "end", channel: 1, position: 10 });
    client.sequenced({ type: "end", channel: 1, position: 11 });
  }),
];

const binary: readonly Case[] = [
  ["an empty binary frame", new Uint8Array()],
  ["a data frame of 15 bytes", new Uint8Array(15)],
  ["a data frame without bytes", data(1, 0, 0)],
  ["a data frame that is too long", data(1, 0, MAX_DATA_BYTES + 1)],
  ["a data frame of an unknown kind", Buffer.concat([bytes(2), data(1, 0).subarray(1)])],
  ["a data frame with bits where zeros belong", Buffer.concat([bytes(1, 0, 1), data(1, 0).subarray(3)])],
  ["a data frame at 2^53", data(1, 2 ** 53)],
  ["data for channel 0", data(0, 0)],
  ["data for a channel that never was", data(9, 0)],
  ["a control frame as binary", Buffer.from('{"type":"beat"}')],
  ["an exec as binary", Buffer.from(JSON.stringify({ ...call, command: "exec" }))],
].map(([name, frame]) => ({
  name: name as string,
  act: (client) => client.binary(frame as Uint8Array),
  reaction: refuses,
}));

/** The same connection answers a call, which no case has made. */
async function expectAnswer(client: RawClient): Promise<void> {
  client.call(1_000_000, "ping");
  const { call } = await client.next((received) =>
    received.type === "control" && received.frame["call"] === 1_000_000 ? received.frame : undefined,
  );
  expect(call).toBe(1_000_000);
}

async function expectReaction(client: RawClient, reaction: Reaction): Promise<void> {
  switch (reaction.type) {
    case "goes on":
      return expectAnswer(client);
    case "fails":
      expect(await client.control("failed")).toMatchObject({ error: { code: reaction.error } });
      return expectAnswer(client);
    case "breaks":
      expect(await client.control("broken")).toMatchObject({ error: { code: reaction.error } });
      return expectAnswer(client);
    case "closes": {
      const end = await client.ended;
      expect(end).toMatchObject({ type: "closed", code: reaction.code });
      if (reaction.error === undefined) return;
      expect((end as RawEnd & { type: "closed" }).reason).toStartWith(`${reaction.error}: `);
      const last = client.received.at(-1);
      expect(last).toMatchObject({
        type: "control",
        frame: { type: "goodbye", error: { code: reaction.error } },
      });
    }
  }
}

function describeReaction(reaction: Reaction): string {
  switch (reaction.type) {
    case "goes on":
      return "does no harm";
    case "fails":
      return `is answered with ${reaction.error}`;
    case "breaks":
      return `breaks its channel with ${reaction.error}`;
    case "closes":
      return `closes with ${reaction.code}`;
  }
}

const table = { framing, json, hello, sequence, calls, channels, binary };
for (const [kind, cases] of Object.entries(table)) {
  describe(kind, () => {
    for (const { name, greeted = true, act, reaction } of cases) {
      test(
        `${name} ${describeReaction(reaction)}`,
        async () => {
          using client = greeted ? await RawClient.open(server) : await RawClient.upgrade(server);
          await act(client);
          await expectReaction(client, reaction);
          using other = await RawClient.open(server);
          await expectAnswer(other);
        },
        PATIENCE,
      );
    }
  });
}

test("none of these has executed anything, and nobody else's job is disturbed", async () => {
  expect(existsSync(join(world.home, "executed"))).toBe(false);
  const { jobs, keepers } = await world.status();
  expect(jobs).toEqual({ running: 1, total: 1 });
  expect(keepers).toHaveLength(1);
  expect(await world.job(job)).toMatchObject({ state: "running", attached: false });
});

test("an end that comes before the first credit takes effect", async () => {
  using client = await RawClient.open(server);
  const id = "00000000-0000-7000-8000-00000000000e";
  client.call(1, "exec", { argv: ["cat"], stdin: true }, { job: id });
  client.sequenced({ type: "open_input", channel: 1, job: id, writer: id });
  client.sequenced({ type: "end", channel: 1, position: 0 });
  await client.control("accepted");
  client.call(2, "wait", { job: id });
  expect(await client.control("result")).toMatchObject({
    call: 2,
    result: { value: { outcome: { type: "exited", code: 0 } } },
  });
});

test.each(["in one packet", "frame by frame"])(
  "what asks of a job right behind its exec, %s, finds it though it is just being started",
  async (how) => {
    using client = await RawClient.open(server);
    const id = Bun.randomUUIDv7();
    const asked = [
      ["exec", { argv: ["sleep", "600"] }, { job: id }],
      ["jobs", { refs: [id, "@last"] }],
      ["wait", { job: id.slice(0, 23).toUpperCase() }],
      ["kill", { job: id, signal: "CONT" }],
      ["kill", { job: id }],
      ["wait", { job: "@last" }],
    ] as const;
    const frames = asked.map(([command, value, rest], index) =>
      encodeFrame({
        opcode: OPCODE.text,
        payload: JSON.stringify({
          ...call,
          seq: index + 1,
          call: index + 1,
          command,
          input: input(value),
          ...rest,
        }),
      }),
    );
    if (how === "in one packet") client.write(Buffer.concat(frames));
    else for (const frame of frames) client.write(frame);
    const answers = new Map<unknown, ControlFrame>();
    while (answers.size < asked.length) {
      const answer = await client.control("accepted", "result", "failed");
      answers.set(answer["call"], answer);
    }
    const summary = { id, outcome: { type: "cancelled" } };
    expect(answers.get(1)).toMatchObject({ type: "accepted", job: id });
    expect(answers.get(2)).toMatchObject({ result: { value: { jobs: [{ id }, { id }] } } });
    expect(answers.get(3)).toMatchObject({ result: { value: summary } });
    expect(answers.get(4)).toMatchObject({ result: { value: { id } } });
    expect(answers.get(5)).toMatchObject({ result: { value: summary } });
    expect(answers.get(6)).toMatchObject({ result: { value: summary } });
  },
  PATIENCE,
);

test(
  "a writer that its job has forgotten is told so, and the job goes on",
  async () => {
    using client = await RawClient.open(server);
    client.sequenced(openInput());
    await client.control("credit");
    client.binary(data(1, 0));
    for (let channel = 2; channel <= MAX_WRITERS + 1; channel++) {
      client.sequenced({ ...openInput(), channel });
      await client.control("credit");
      client.sequenced({ type: "close", channel });
    }
    client.binary(data(1, 1));
    expect(await client.control("discard")).toMatchObject({ channel: 1 });
    await expectAnswer(client);
    expect((await world.status()).keepers).toHaveLength(1);
  },
  PATIENCE,
);

test(
  "a client that acknowledges nothing gets one window of sequenced frames, and the rest when it does",
  async () => {
    using client = await RawClient.open(server);
    const asked = CONTROL_WINDOW_FRAMES + 50;
    const answers = () =>
      client.received.flatMap((one) =>
        one.type === "control" && one.frame.type === "result" ? [one.frame["seq"]] : [],
      );
    const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1);
    for (let id = 1; id <= asked; id++) client.call(id, "ping");
    await client.next((one) => (one.type === "control" && one.frame["ack"] === asked ? true : undefined));
    await eventually(() => answers().length >= CONTROL_WINDOW_FRAMES);
    expect(answers()).toEqual(upTo(CONTROL_WINDOW_FRAMES));
    client.text({ type: "ack", ack: 10 });
    await eventually(() => answers().length >= CONTROL_WINDOW_FRAMES + 10);
    expect(answers()).toEqual(upTo(CONTROL_WINDOW_FRAMES + 10));
    client.text({ type: "ack", ack: CONTROL_WINDOW_FRAMES });
    await eventually(() => answers().length >= asked);
    expect(answers()).toEqual(upTo(asked));
  },
  PATIENCE,
);

test(
  "a client that asks on without acknowledging anything is closed with 4429",
  async () => {
    using client = await RawClient.open(server);
    for (let id = 1; id <= 4 * MAX_CALLS; id++) client.call(id, "ping");
    expect(await client.ended).toMatchObject({ type: "closed", code: 4429 });
  },
  PATIENCE,
);

test(
  "a client that leaves large answers unacknowledged is closed with 4429 long before they are many",
  async () => {
    using client = await RawClient.open(server);
    const large = crypto.randomUUID();
    client.call(1, "exec", { argv: ["true", "x".repeat(30_000)] }, { job: large });
    await client.control("accepted");
    const refs = Array.from({ length: 30 }, () => large);
    const asked = CONTROL_WINDOW_FRAMES / 2;
    for (let id = 2; id < 2 + asked; id++) client.call(id, "jobs", { refs });
    expect(await client.ended).toMatchObject({ type: "closed", code: 4429 });
    const answers = client.received.filter((one) => one.type === "control" && one.frame.type === "result");
    expect(answers.length).toBeLessThan(asked / 2);
  },
  PATIENCE,
);

test(
  "a client that acknowledges large answers gets all of them",
  async () => {
    using client = await RawClient.open(server);
    const large = crypto.randomUUID();
    client.call(1, "exec", { argv: ["true", "x".repeat(30_000)] }, { job: large });
    await client.control("accepted");
    const refs = Array.from({ length: 30 }, () => large);
    for (let id = 2; id < 40; id++) {
      client.call(id, "jobs", { refs });
      const { seq } = await client.control("result");
      client.text({ type: "ack", ack: seq });
    }
    await expectAnswer(client);
  },
  PATIENCE,
);

test(
  "an input that is closed before its job has started hears nothing more",
  async () => {
    using client = await RawClient.open(server);
    const job = Bun.randomUUIDv7();
    client.call(1, "exec", { argv: ["true"], stdin: true }, { job });
    client.sequenced({ type: "open_input", channel: 1, job, writer: job });
    client.sequenced({ type: "close", channel: 1 });
    await client.control("accepted");
    client.call(2, "wait", { job });
    await client.control("result");
    expect(client.received).not.toContainEqual(
      expect.objectContaining({ frame: expect.objectContaining({ channel: 1 }) }),
    );
  },
  PATIENCE,
);

test(
  "a client that reads nothing is dropped before its answers fill the server's memory",
  async () => {
    const before = privateBytes((await world.status()).pid);
    using client = await RawClient.open(server);
    client.pause();
    const ping = encodeFrame({ opcode: OPCODE.ping, payload: "x".repeat(125) });
    client.write(Buffer.concat(Array.from({ length: 400_000 }, () => ping)));
    await Bun.sleep(2_000);
    const { pid } = await world.status();
    expect(privateBytes(pid) - before).toBeLessThan(200 * 1024 * 1024);
  },
  PATIENCE,
);

test(
  "a client that falls silent is lost after three intervals, and its socket is freed",
  async () => {
    const { pid } = await world.status();
    const sockets = countSockets(pid);
    const started = performance.now();
    using client = await RawClient.open(server, { heartbeat: 1 });
    expect(client.received[0]).toMatchObject({ frame: { type: "welcome", heartbeat: 1_000 } });
    expect(await client.ended).toMatchObject({ type: "closed", code: 4499 });
    const silence = performance.now() - started;
    expect(silence).toBeGreaterThan(HEARTBEAT_PATIENCE * 1_000 - 50);
    expect(silence).toBeLessThan(HEARTBEAT_PATIENCE * 10_000);
    const beats = client.received.filter((one) => one.type === "control" && one.frame.type === "beat");
    expect(beats.length).toBeGreaterThanOrEqual(HEARTBEAT_PATIENCE - 1);
    await eventually(() => countSockets(pid) <= sockets);
  },
  2 * PATIENCE,
);

test(
  "a client that beats is kept beyond three intervals",
  async () => {
    using client = await RawClient.open(server, { heartbeat: 1_000 });
    for (let beat = 0; beat < 10; beat++) {
      await Bun.sleep(500);
      client.text({ type: "beat" });
    }
    await expectAnswer(client);
  },
  PATIENCE,
);

test(
  "a client that is stopped is lost after three intervals, its job goes on, and it comes back to it",
  async () => {
    const client = world.open([FARHAND, "--heartbeat", "1s", "exec", "--no-stdin", "--", "sleep", "300"]);
    const isAttached = async () => (await world.job("@last")).attached;
    await eventually(async () => (await world.status()).jobs.running === 2 && (await isAttached()), PATIENCE);
    client.kill("SIGSTOP");
    await eventually(async () => !(await isAttached()), PATIENCE);
    expect(await world.job("@last")).toMatchObject({ state: "running" });
    client.kill("SIGCONT");
    await eventually(isAttached, PATIENCE);
    await world.farhand(["kill", "--grace", "0s", "@last"]);
    expect(await client.ran).toMatchObject({ code: 130, stderr: "" });
  },
  3 * PATIENCE,
);

test(
  "a server that stops answering is noticed within three intervals; exec without reconnecting ends with 125",
  async () => {
    const { pid, jobs } = await world.status();
    const once = ["--heartbeat", "1s", "--reconnect-timeout", "0s"];
    const client = world.open([FARHAND, ...once, "exec", "--no-stdin", "--", "sleep", "300"]);
    await eventually(async () => (await world.status()).jobs.running > jobs.running, PATIENCE);
    process.kill(pid, "SIGSTOP");
    const started = performance.now();
    const { code, stderr } = await client.ran;
    const silence = performance.now() - started;
    process.kill(pid, "SIGCONT");
    expect({ code, stderr }).toMatchObject({
      code: 125,
      stderr: expect.stringContaining("nothing received"),
    });
    expect(silence).toBeGreaterThan((HEARTBEAT_PATIENCE - 1) * 1_000);
    expect(silence).toBeLessThan(HEARTBEAT_PATIENCE * 10_000);
    expect(await world.job("@last")).toMatchObject({ state: "running" });
    await world.farhand(["kill", "--grace", "0s", "@last"]);
  },
  2 * PATIENCE,
);

test(
  "a client that never says hello is closed with 4408",
  async () => {
    using client = mute.client;
    expect(await client.ended).toMatchObject({ type: "closed", code: 4408 });
    expect(performance.now() - mute.since).toBeGreaterThan(19_000);
  },
  2 * PATIENCE,
);

function countSockets(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith("socket:");
    } catch {
      return false; // closed meanwhile
    }
  }).length;
}

function privateBytes(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return [...rollup.matchAll(/^Private_\w+:\s+(\d+) kB$/gm)].reduce(
    (sum, [, kB]) => sum + Number(kB) * 1_024,
    0,
  );
}
