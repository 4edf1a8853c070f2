import { describe, expect, jest, test } from "bun:test";
import { feed } from "../../src/client/feed.ts";
import { launchAttached, launchDetached } from "../../src/client/launch.ts";
import { Session, type SessionOptions } from "../../src/client/session.ts";
import { AppError } from "../../src/protocol/error.ts";
import type { JobId } from "../../src/protocol/id.ts";
import { CREDIT_DELAY, MAX_CONTROL_FRAME_BYTES, OUTPUT_WINDOW_BYTES } from "../../src/protocol/limits.ts";
import type { Packet } from "../../src/protocol/packet.ts";
import { eventually } from "../support/eventually.ts";
import { ServerPeer, toExit, toRecord } from "../support/server-peer.ts";
import { SOME_EXIT } from "../support/packets.ts";
import { turn } from "../../src/lib/abort.ts";

const job = "01a1fc9b-3803-738e-b699-a640b92559cc" as JobId;

function setup({
  patience = 10_000,
  heartbeat = 15_000,
  workspace,
}: Partial<Pick<SessionOptions, "patience" | "heartbeat" | "workspace">> = {}) {
  const peer = new ServerPeer();
  const session = new Session(peer, { heartbeat, patience, now: () => performance.now(), workspace });
  return { peer, session };
}

describe("Session", () => {
  test("says hello, and sends a whole exec behind it without waiting", () => {
    const { peer, session } = setup();
    launchAttached(session, { argv: ["true"], stdin: true });
    expect(peer.heard.map(({ type }) => type)).toEqual(["hello", "call", "open_input"]);
    const [call] = peer.of("call");
    expect(call?.output).toMatchObject({ channel: 1, limit: OUTPUT_WINDOW_BYTES });
    expect(peer.of("open_input")).toMatchObject([{ job: call?.job, writer: call?.job }]);
  });

  test("starts a detached job without a channel for its output", () => {
    const { peer, session } = setup();
    launchDetached(session, { argv: ["true"] });
    expect(peer.heard.map(({ type }) => type)).toEqual(["hello", "call"]);
    expect(peer.of("call")[0]?.output).toBeUndefined();
  });

  test("answers each call with its own result or failure", async () => {
    const { peer, session } = setup();
    const calls = [
      session.call("ping", {}),
      session.call("jobs", {}),
      session.start({ command: "exec", input: {}, job }),
    ];
    peer.say({ type: "failed", call: 2, error: { code: "not_found", message: "No" } });
    peer.say({ type: "accepted", call: 3, job, number: 7 });
    peer.say({ type: "result", call: 1, result: { encoding: "json", value: 42 } });
    const [ping, jobs, exec] = await Promise.allSettled(calls);
    expect(ping).toMatchObject({ value: 42 });
    expect(jobs).toMatchObject({ reason: { code: "not_found", message: "No" } });
    expect(exec).toMatchObject({ value: { job, number: 7 } });
  });

  test("cancels a call whose signal is aborted, and ignores the late answer", async () => {
    const { peer, session } = setup();
    const stop = new AbortController();
    const call = session.call("wait", {}, { signal: stop.signal });
    stop.abort(new AppError("cancelled", "Enough"));
    await expect(call).rejects.toThrow("Enough");
    expect(peer.of("cancel")).toMatchObject([{ call: 1 }]);
    peer.say({ type: "failed", call: 1, error: { code: "cancelled", message: "cancelled" } });
    expect(session.ended.aborted).toBe(false);
  });

  test("ends at an answer to a call that it never made: whoever waits for the right one would wait for ever", async () => {
    const { peer, session } = setup();
    const call = session.call("ping", {});
    peer.say({ type: "result", call: 9, result: { encoding: "json", value: {} } });
    await expect(call).rejects.toMatchObject({ code: "protocol_error" });
    expect(session.ended.aborted).toBe(true);
  });

  test("refuses a call that no frame has room for, and goes on", async () => {
    const { peer, session } = setup();
    const large = { argv: ["é".repeat(MAX_CONTROL_FRAME_BYTES / 2)] };
    const refused = expect.objectContaining({ code: "invalid_input" });
    await expect(session.call("ping", large)).rejects.toEqual(refused);
    await expect(session.start({ command: "exec", input: large, job })).rejects.toEqual(refused);
    const held = launchAttached(session, large);
    await expect(held.accepted).rejects.toEqual(refused);
    await expect(held.output[Symbol.asyncIterator]().next()).rejects.toEqual(refused);
    expect(peer.heard.map(({ type }) => type)).toEqual(["hello"]);
    const next = session.call("ping", {});
    const [{ call = 0 } = {}] = peer.of("call");
    peer.say({ type: "result", call, result: { encoding: "json", value: 42 } });
    expect(await next).toBe(42);
  });

  test("sends no call whose signal is aborted already, and keeps nothing of it", async () => {
    const { peer, session } = setup();
    await expect(
      session.call("wait", {}, { signal: AbortSignal.abort(new Error("enough")) }),
    ).rejects.toThrow("enough");
    expect(peer.of("call")).toEqual([]);
    peer.cut(new AppError("connection_lost", "Gone")); // an answer that nobody awaits would be reported
    await turn();
  });

  test.each<[string, object, number]>([
    ["no JSON object", [], 4400],
    ["an unknown type", { type: "bogus" }, 4400],
    ["a gap in the sequence", { type: "accepted", seq: 2, call: 1, job, number: 1 }, 4409],
    ["an acknowledgement of what was never sent", { type: "ack", ack: 9 }, 4400],
    ["a frame of a channel that was never opened", { type: "end", seq: 1, channel: 5, position: 0 }, 4400],
  ])("ends with a typed close on %s", async (_what, frame, code) => {
    const { peer, session } = setup();
    const call = session.call("ping", {});
    peer.sayBare(frame);
    expect(peer.closed?.code).toBe(code);
    expect(session.ended.reason).toBeInstanceOf(AppError);
    await expect(call).rejects.toBe(session.ended.reason);
  });

  test("refuses a server that speaks another major version", () => {
    const { peer, session } = setup();
    peer.welcome({ version: { major: 2, minor: 0 } });
    expect(session.ended.reason).toMatchObject({ code: "unsupported_version" });
    expect(peer.closed?.code).toBe(4426);
  });

  const old = { major: 1, minor: 1 };
  const workspace = { name: "build", isOwn: false };

  test("sends its workspace with every call, unless that is the default one", () => {
    const { peer, session } = setup({ workspace });
    session.call("ping", {}).catch(() => {});
    launchAttached(session, { argv: ["true"] });
    launchDetached(session, { argv: ["true"] });
    expect(peer.of("call").map(({ workspace }) => workspace)).toEqual(["build", "build", "build"]);
    expect(peer.of("hello")[0]).not.toHaveProperty("workspace");
    const plain = setup({ workspace: { name: "default", isOwn: false } });
    plain.session.call("ping", {}).catch(() => {});
    expect(plain.peer.of("call")[0]).not.toHaveProperty("workspace");
  });

  test("refuses a server that would not know its workspace, but needs none for what was made up for it", () => {
    const named = setup({ workspace });
    named.peer.welcome({ version: old });
    expect(named.session.ended.reason).toMatchObject({
      code: "unsupported_version",
      message: expect.stringMatching(/^Cannot use workspace "build": .*; upgrade it, or name none$/),
    });
    const own = setup({ workspace: { name: "@own", isOwn: true } });
    own.peer.welcome({ version: old });
    expect(own.session.ended.aborted).toBe(false);
    expect(own.peer.of("hello")).toMatchObject([{ workspace: "@own" }]);
    const none = setup();
    none.peer.welcome({ version: old });
    expect(none.session.ended.aborted).toBe(false);
  });

  test("refuses to begin at a value of a server that counts none, and begins at its packets", () => {
    const { peer, session } = setup();
    peer.welcome({ version: { major: 1, minor: 3 } });
    for (const from of [
      { type: "since", number: 1, unit: "values" },
      { type: "recent", count: 1, unit: "values" },
    ] as const)
      expect(() => session.openOutput(job, from)).toThrow(
        expect.objectContaining({ code: "unsupported_version" }),
      );
    expect(session.openOutput(job, { type: "since", number: 1 }).isOpen).toBe(true);
  });

  test("ends everything in it with the reason for which its connection is gone", async () => {
    const { session, peer } = setup();
    const { output, accepted, input } = launchAttached(session, { argv: ["true"], stdin: true });
    const reason = new AppError("connection_lost", "Gone");
    const results = Promise.allSettled([
      accepted,
      session.welcome,
      session.call("ping", {}),
      collect(output),
    ]);
    peer.cut(reason);
    for (const result of await results) expect(result).toMatchObject({ status: "rejected", reason });
    expect(input?.closed.aborted).toBe(true);
    await expect(session.call("ping", {})).rejects.toBe(reason);
  });

  test("gives up on a server that never welcomes it", async () => {
    const { session } = setup({ patience: 20 });
    await eventually(() => session.ended.aborted);
    expect(session.ended.reason).toMatchObject({ code: "timed_out" });
  });

  test("keeps the interval that the welcome settles, and declares a silent server lost", async () => {
    const { peer, session } = setup();
    peer.welcome({ heartbeat: 300 }); // one look that comes late is not the last
    await eventually(() => session.ended.aborted);
    expect(session.ended.reason).toMatchObject({ code: "peer_lost" });
    expect(peer.of("beat").length).toBeGreaterThanOrEqual(1);
    expect(peer.closed?.code).toBe(4499);
  });

  test("says goodbye when it is disposed", async () => {
    const { peer, session } = setup();
    await session[Symbol.asyncDispose]();
    await session[Symbol.asyncDispose]();
    expect(peer.heard.at(-1)).toEqual({ type: "goodbye" });
    expect(peer.closed?.code).toBe(1000);
  });

  test("takes the server's own reason for ending", () => {
    const { peer, session } = setup();
    peer.sayBare({ type: "goodbye", error: { code: "shutting_down", message: "The server stops" } });
    expect(session.ended.reason).toMatchObject({ code: "shutting_down", message: "The server stops" });
  });
});

async function collect(packets: AsyncIterable<Packet>): Promise<Packet[]> {
  return Array.fromAsync(packets);
}

describe("Output", () => {
  function open() {
    const world = setup();
    return { ...world, output: world.session.openOutput(job, { type: "since", number: 0 }) };
  }

  test("gives packets in order, to the end", async () => {
    const { peer, output } = open();
    peer.data(1, toRecord("stdout", 0, "a"), toRecord("stderr", 1, "b"));
    peer.data(1, toExit(2, { stdoutBytes: 1, stderrBytes: 1 }));
    peer.end(1);
    expect((await collect(output)).map(({ type }) => type)).toEqual(["stdout", "stderr", "exit"]);
  });

  test("grants soon after packets are consumed, once for several, and names the first that is not", async () => {
    const { peer, output } = open();
    const [first, second] = [toRecord("stdout", 0, "abc"), toRecord("stderr", 1, "d")];
    peer.data(1, first, second);
    output.consumed({ type: "stderr", number: 1, at: 0, bytes: new Uint8Array() });
    expect(output.next).toBe(0);
    output.consumed({ type: "stdout", number: 0, at: 0, bytes: new Uint8Array() });
    expect(output.next).toBe(2);
    const received = first.length + second.length;
    await eventually(() => peer.of("credit").length > 0);
    const limit = received + OUTPUT_WINDOW_BYTES;
    expect(peer.of("credit")).toMatchObject([{ received, limit, next: 2 }]);
  });

  test("tells soon what came, also of what nobody reads yet", async () => {
    const { peer } = open();
    const record = toRecord("stdout", 0, "abc");
    peer.data(1, record);
    await eventually(() => peer.of("credit").length > 0);
    expect(peer.of("credit")).toMatchObject([
      { arrived: record.length, received: 0, limit: OUTPUT_WINDOW_BYTES },
    ]);
  });

  test("grants at once when an eighth of the window is consumed", () => {
    const { peer, output } = open();
    const record = toRecord("stdout", 0, "x".repeat(60_000));
    for (let number = 0; number * record.length < OUTPUT_WINDOW_BYTES / 8; number++) {
      peer.data(1, toRecord("stdout", number, "x".repeat(60_000)));
      expect(peer.of("credit")).toEqual([]);
      output.consumed({ type: "stdout", number, at: 0, bytes: new Uint8Array() });
    }
    expect(peer.of("credit")).toMatchObject([{ next: 9 }]);
  });

  test("says nothing more of a job whose last packet came", () => {
    const { peer, output } = open();
    jest.useFakeTimers();
    using _timers = { [Symbol.dispose]: () => void jest.useRealTimers() };
    peer.data(1, toExit(0), toRecord("closed", 1, { totals: SOME_EXIT.totals, exit: SOME_EXIT }));
    output.consumed({ type: "exit", number: 0, at: 0, ...SOME_EXIT });
    const before = peer.heard.length;
    output.close();
    jest.advanceTimersByTime(10 * CREDIT_DELAY);
    expect(peer.heard.slice(before)).toEqual([]);
  });

  test("refuses data beyond the credit, out of place, or damaged", () => {
    const big = toRecord("stdout", 0, "x".repeat(60_000));
    const flood = open();
    for (let number = 0; number < 80; number++)
      flood.peer.data(1, toRecord("stdout", number, "x".repeat(60_000)));
    expect(flood.session.ended.reason).toMatchObject({ code: "protocol_error" });
    const damaged = open();
    big[100] = 0;
    damaged.peer.data(1, big);
    expect(damaged.session.ended.reason).toMatchObject({ code: "protocol_error" });
    const early = open();
    early.peer.say({ type: "end", channel: 1, position: 5 });
    expect(early.session.ended.reason).toMatchObject({ code: "sequence_gap" });
  });

  test("does not pass an exit whose counts are not met", async () => {
    const { peer, session, output } = open();
    peer.data(1, toRecord("stdout", 0, "abc"), toExit(1, { stdoutBytes: 4 }));
    expect(session.ended.reason).toMatchObject({ code: "incomplete_output" });
    await expect(collect(output)).rejects.toMatchObject({ code: "incomplete_output" });
  });

  test("skips a kind of packet that it does not know", async () => {
    const { peer, output } = open();
    const unknown = toRecord("stdout", 0, "?");
    unknown[8] = 200;
    new DataView(unknown.buffer).setUint32(4, Bun.hash.crc32(unknown.subarray(8)));
    peer.data(1, unknown, toExit(1));
    peer.end(1);
    expect((await collect(output)).map(({ type }) => type)).toEqual(["exit"]);
  });

  test("fails with the channel", async () => {
    const { peer, output } = open();
    peer.data(1, toRecord("stdout", 0, "abc"));
    peer.say({ type: "broken", channel: 1, error: { code: "not_found", message: "No such job" } });
    const seen: Packet[] = [];
    const reading = (async () => {
      for await (const packet of output) seen.push(packet);
    })();
    await expect(reading).rejects.toMatchObject({ code: "not_found" });
    expect(seen).toHaveLength(1);
  });

  test("closes once, and ignores what still comes", () => {
    const { peer, session, output } = open();
    output.discard("stdout");
    output.close();
    output.close();
    output.discard();
    peer.data(1, toRecord("stdout", 0, "abc"));
    expect(peer.heard.slice(2)).toMatchObject([{ type: "discard", stream: "stdout" }, { type: "close" }]);
    expect(session.ended.aborted).toBe(false);
  });
});

describe("feed()", () => {
  function open() {
    const world = setup();
    const input = world.session.openInput(job, crypto.randomUUID() as never);
    const sent = () => Buffer.concat(world.peer.of("data").map(({ bytes }) => bytes)).toString();
    const grant = (received: number, limit: number) =>
      world.peer.sayBare({ type: "credit", channel: 1, received, limit });
    return { ...world, input, sent, grant };
  }

  test("reads nothing before there is credit, and never sends more than that", async () => {
    const { peer, input, sent, grant } = open();
    let reads = 0;
    async function* source() {
      for (const text of ["abc", "def"]) {
        reads++;
        yield new TextEncoder().encode(text);
      }
    }
    const fed = feed(input, source());
    await turn();
    expect(reads).toBe(0);
    grant(0, 4);
    await eventually(() => sent() === "abcd");
    grant(4, 100);
    await fed;
    expect(sent()).toBe("abcdef");
    expect(peer.of("end")).toMatchObject([{ channel: 1, position: 6 }]);
  });

  test("stops quietly when nobody takes input any more, even while it reads", async () => {
    const { peer, input, grant } = open();
    let asked = false;
    const next = () => {
      asked = true;
      return new Promise<never>(() => {});
    };
    const silent = { [Symbol.asyncIterator]: () => ({ next }) };
    const fed = feed(input, silent);
    grant(0, 100);
    await eventually(() => asked);
    peer.say({ type: "discard", channel: 1 });
    await fed;
    expect(peer.of("end")).toEqual([]);
  });

  test("does not end the input when its source fails, and says why", async () => {
    const { peer, input, grant } = open();
    async function* broken(): AsyncGenerator<Uint8Array> {
      throw new Error("disk on fire");
    }
    const fed = feed(input, broken());
    grant(0, 100);
    await expect(fed).rejects.toThrow("Cannot read stdin: disk on fire");
    expect(peer.of("end")).toEqual([]);
  });

  test("cuts large chunks into frames", async () => {
    const { peer, input, grant } = open();
    grant(0, 1_000_000);
    await feed(input, new Uint8Array(200_000));
    expect(peer.of("data").map(({ bytes }) => bytes.length)).toEqual([65_536, 65_536, 65_536, 3_392]);
    expect(peer.of("data").map(({ position }) => position)).toEqual([0, 65_536, 131_072, 196_608]);
  });
});
