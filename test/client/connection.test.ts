import { describe, expect, test } from "bun:test";
import { Connection } from "../../src/client/connection.ts";
import { AppError } from "../../src/protocol/error.ts";
import { Session } from "../../src/client/session.ts";
import type { JobId } from "../../src/protocol/id.ts";
import { OUTPUT_WINDOW_BYTES } from "../../src/protocol/limits.ts";
import { encodeValue } from "../../src/protocol/cbor/payload.ts";
import { encodePayload } from "../../src/protocol/packet.ts";
import { fromValue, toValue } from "../../src/protocol/value.ts";
import { type Heard, ServerPeer, toExit, toRecord } from "../support/server-peer.ts";
import { SOME_EXIT } from "../support/packets.ts";

/** A server that runs every program the same way: it says these records, on each output channel that is opened. */
async function setup(
  records: readonly Uint8Array[],
  onFrame: (frame: Heard, peer: ServerPeer) => void = () => {},
) {
  const peer = new ServerPeer();
  const session = new Session(peer, { heartbeat: 15_000, patience: 10_000, now: () => performance.now() });
  peer.onFrame = (frame) => {
    if (frame.type === "call" && frame.command === "exec") {
      peer.say({ type: "accepted", call: frame.call, job: frame.job as JobId, number: 7 });
    }
    const channel = openedOutput(frame);
    // Not before the client knows the channel that it is opening.
    if (channel !== undefined && records.length > 0) queueMicrotask(() => peer.data(channel, ...records));
    onFrame(frame, peer);
  };
  peer.welcome();
  return { peer, connection: new Connection(session, await session.welcome) };
}

function openedOutput(frame: Heard): number | undefined {
  if (frame.type === "call") return frame.output?.channel;
  return frame.type === "open_output" ? frame.channel : undefined;
}

const hello = [toRecord("stdout", 0, "hel"), toRecord("stderr", 1, "oops"), toRecord("stdout", 2, "lo")];

describe("Connection.exec()", () => {
  test("answers everything at the end", async () => {
    const { connection, peer } = await setup([
      ...hello,
      toExit(3, { code: 3, stdoutBytes: 5, stderrBytes: 4 }),
    ]);
    const { outcome, stdout, stderr, number } = await connection.exec(["hello"], { cwd: "/" });
    expect(outcome).toEqual({ type: "exited", code: 3 });
    expect([stdout, stderr].map((bytes) => new TextDecoder().decode(bytes))).toEqual(["hello", "oops"]);
    expect(number).toBe(7);
    expect(peer.of("call")[0]?.input.value).toEqual({ argv: ["hello"], cwd: "/", stdin: false });
    expect(peer.of("close")).toHaveLength(1);
  });

  test("takes a line for the shell", async () => {
    const { connection, peer } = await setup([toExit(0)]);
    await connection.exec({ shell: "a | b" });
    expect(peer.of("call")[0]?.input.value).toEqual({ shell: "a | b", stdin: false });
  });

  test("never answers with fewer bytes than the exit counts", async () => {
    const { connection } = await setup([...hello, toExit(3, { stdoutBytes: 6, stderrBytes: 4 })]);
    const running = connection.exec(["hello"]);
    await expect(running).rejects.toMatchObject({ code: "incomplete_output" });
  });

  test("never answers behind a gap", async () => {
    const totals = { packets: 2, values: 0, stdoutBytes: 5, stderrBytes: 0 };
    const { connection } = await setup([
      toRecord("gap", 0, { next: 2, totals }),
      toExit(2, { stdoutBytes: 5 }),
    ]);
    const running = connection.exec(["hello"]);
    await expect(running).rejects.toMatchObject({ code: "incomplete_output" });
  });

  test("feeds stdin", async () => {
    const { connection, peer } = await setup([], (frame, peer) => {
      if (frame.type === "open_input") {
        queueMicrotask(() =>
          peer.sayBare({ type: "credit", channel: frame.channel, received: 0, limit: 100 }),
        );
      }
      if (frame.type === "end") peer.data(1, toExit(0));
    });
    await connection.exec(["cat"], { stdin: "hi" });
    expect(peer.of("data").map(({ bytes }) => new TextDecoder().decode(bytes))).toEqual(["hi"]);
  });

  test("fails when its stdin does, and cancels the job, which is not told of an end", async () => {
    const { connection, peer } = await setup([], (frame, peer) => {
      if (frame.type === "open_input") {
        queueMicrotask(() =>
          peer.sayBare({ type: "credit", channel: frame.channel, received: 0, limit: 100 }),
        );
      }
    });
    async function* broken(): AsyncGenerator<Uint8Array> {
      throw new Error("no tape");
    }
    const running = connection.exec(["cat"], { stdin: broken() });
    await expect(running).rejects.toThrow("no tape");
    expect(peer.of("close")).toHaveLength(1);
    const [exec, kill] = peer.of("call");
    expect(kill).toMatchObject({ command: "kill", input: { value: { job: exec?.job, grace: 5_000 } } });
    expect(peer.of("end")).toEqual([]);
  });

  test("with complete: false gives a listener, whose packets the job waits for", async () => {
    const { connection, peer } = await setup([...hello, toExit(3, { stdoutBytes: 5, stderrBytes: 4 })]);
    const listener = await connection.exec(["hello"], { complete: false });
    const seen: string[] = [];
    for await (const packet of listener) seen.push(packet.type);
    expect(seen).toEqual(["stdout", "stderr", "stdout", "exit"]);
    expect(await listener.outcome).toEqual({ type: "exited", code: 0 });
    expect(peer.of("call")[0]?.output).toMatchObject({ channel: 1, limit: OUTPUT_WINDOW_BYTES });
  });

  test("throws listener_timeout when nothing comes for maxInterval", async () => {
    const { connection } = await setup(hello);
    const listener = await connection.exec(["hello"], { complete: false, maxInterval: 30 });
    const seen: unknown[] = [];
    const listening = (async () => {
      for await (const packet of listener) seen.push(packet);
    })();
    await expect(listening).rejects.toMatchObject({ code: "listener_timeout" });
    expect(seen).toHaveLength(3);
  });
});

test("Connection.follow() looks the job up and reads to its close", async () => {
  const id = crypto.randomUUID();
  const summary = {
    id,
    number: 3,
    command: "exec",
    argv: ["x"],
    cwd: "/",
    owner: "me",
    state: "closed",
    attached: false,
    startedAt: "",
  };
  const totals = { packets: 1, values: 0, stdoutBytes: 0, stderrBytes: 0 };
  const { connection, peer } = await setup(
    [toExit(0), toRecord("closed", 1, { totals, exit: SOME_EXIT })],
    (frame, peer) => {
      if (frame.type === "call") {
        const result = { encoding: "json", value: { jobs: [summary], more: false } } as const;
        peer.say({ type: "result", call: frame.call, result });
      }
    },
  );
  const listener = await connection.follow("@last", { since: 0 });
  expect(await Array.fromAsync(listener)).toHaveLength(2);
  expect(listener.number).toBe(3);
  expect(peer.of("open_output")).toMatchObject([{ job: id, from: { type: "since", number: 0 } }]);
  expect(peer.of("open_output")[0]?.holder).toBeUndefined();
});

describe("Connection.call()", () => {
  const said = (value: unknown) => ({ encoding: "json", value }) as const;
  const description = {
    name: "deploy-all",
    summary: "",
    permission: "exec",
    idempotent: true,
    takesInput: false,
    positional: [],
    input: {},
  };

  /** A server that has one custom command, and answers a call of it so. */
  const setupCustom = (
    more: object,
    onCall: (frame: Extract<Heard, { type: "call" }>, peer: ServerPeer) => void,
  ) =>
    setup([], (frame, peer) => {
      if (frame.type !== "call") return;
      if (frame.command !== "commands") return onCall(frame, peer);
      peer.say({ type: "result", call: frame.call, result: said([{ ...description, ...more }]) });
    });

  test("asks the server once what a custom command is, and calls it as that", async () => {
    const { connection, peer } = await setupCustom(
      { kind: "foreground", result: {} },
      ({ call, input }, peer) => peer.say({ type: "result", call, result: said(["done", input.value]) }),
    );
    for (const to of ["a", "b"]) {
      const reply = await connection.commands["deployAll"]?.({ to }, { timeout: 10_000 });
      expect(reply?.result).toEqual(["done", { to }]);
    }
    expect(peer.of("call").map(({ command }) => command)).toEqual(["commands", "deploy-all", "deploy-all"]);
    expect(peer.of("call").map(({ events }) => events)).toEqual([undefined, undefined, undefined]);
  });

  test("starts a custom command that becomes a job, and answers what that returned", async () => {
    const { connection } = await setupCustom({ kind: "background" }, ({ call, job, output }, peer) => {
      peer.say({ type: "accepted", call, job: job as JobId, number: 9 });
      const totals = { packets: 1, values: 1, stdoutBytes: 0, stderrBytes: 0 };
      const exit = { outcome: { type: "returned", value: toValue(5) }, totals, endedAt: "" };
      const records = [toRecord("value", 0, { step: 1 }), toRecord("exit", 1, exit)];
      queueMicrotask(() => peer.data(output?.channel ?? 0, ...records));
    });
    const reply = await connection.call("deploy-all", { to: "a" });
    expect(reply).toMatchObject({ number: 9, result: 5, events: [{ step: 1 }], exitCode: 0 });
  });

  test("gives and takes values that JSON has not, in one piece however many packets they took", async () => {
    const { connection, peer } = await setupCustom({ kind: "background" }, ({ call, job, output }, peer) => {
      peer.say({ type: "accepted", call, job: job as JobId, number: 9 });
      const event = encodeValue({ at: new Date(5), bytes: new Uint8Array(150_000).fill(7) });
      const returned = encodeValue(new Set(["a".repeat(70_000)]));
      const totals = { packets: 5, values: 1, stdoutBytes: 2, stderrBytes: 0 };
      const outcome = { type: "returned", value: { encoding: "parts", first: 4 } };
      const records = [
        encodePayload("part", { number: 0, at: 0 }, event.subarray(0, 65_536)),
        toRecord("stdout", 1, "hi"),
        encodePayload("part", { number: 2, at: 0, continues: true }, event.subarray(65_536, 131_072)),
        encodePayload("value", { number: 3, at: 0, continues: true }, event.subarray(131_072)),
        encodePayload("part", { number: 4, at: 0 }, returned.subarray(0, 65_536)),
        encodePayload("part", { number: 5, at: 0, continues: true }, returned.subarray(65_536)),
        toRecord("exit", 6, { outcome, totals, endedAt: "" }),
      ];
      queueMicrotask(() => peer.data(output?.channel ?? 0, ...records));
    });
    const reply = await connection.call("deploy-all", { to: new Map([[1, undefined]]) });
    expect(fromValue(peer.of("call").at(-1)?.input ?? toValue(0))).toMatchObject({
      to: new Map([[1, undefined]]),
    });
    expect(reply).toMatchObject({ result: new Set(["a".repeat(70_000)]), text: "hi", exitCode: 0 });
    const [event] = "events" in reply ? reply.events : [];
    expect(event).toEqual({ at: new Date(5), bytes: new Uint8Array(150_000).fill(7) });
  });

  test("that says what is no value fails in a sentence, and the connection lives", async () => {
    const { connection, peer } = await setupCustom({ kind: "background" }, ({ call, job, output }, peer) => {
      peer.say({ type: "accepted", call, job: job as JobId, number: 9 });
      const broken = encodePayload("value", { number: 0, at: 0 }, Buffer.from("d9d9f7ff", "hex"));
      queueMicrotask(() => peer.data(output?.channel ?? 0, broken));
    });
    await expect(connection.call("deploy-all")).rejects.toMatchObject({
      code: "protocol_error",
      message: expect.stringContaining("(packet 0)"),
    });
    expect(peer.of("close")).toHaveLength(1);
    expect(connection.ended.aborted).toBe(false);
  });

  test("throws an error under the class that it had, with its code, message and details", async () => {
    const error = { code: "internal", message: "No tape", details: { reel: 3 }, name: "TapeError" } as const;
    const { connection } = await setupCustom({ kind: "foreground", result: {} }, ({ call }, peer) =>
      peer.say({ type: "failed", call, error }),
    );
    expect((await connection.call("deploy-all")).error).toMatchObject(error);
    const raised = connection.call("deploy-all", {}, { raiseError: true });
    const thrown = await raised.catch((error: unknown) => error);
    expect(thrown).toBeInstanceOf(AppError);
    expect(thrown).toMatchObject(error);
    expect(String(thrown)).toBe("TapeError: No tape");
  });

  test("that nobody waits for any more is cancelled at the server", async () => {
    const { connection, peer } = await setupCustom({ kind: "foreground", result: {} }, () => {});
    const stop = new AbortController();
    const endings: ((listener: { detach(): void }) => void)[] = [
      (listener) => listener.detach(),
      () => stop.abort(new Error("enough")),
    ];
    for (const end of endings) {
      const listener = await connection.call("deploy-all", {}, { complete: false, signal: stop.signal });
      const reading = listener.next().catch((error: unknown) => error);
      end(listener);
      expect(await reading).toBeInstanceOf(Error);
    }
    expect(peer.of("cancel")).toHaveLength(2);
    await expect(connection.call("deploy-all", {}, { signal: stop.signal })).rejects.toThrow("enough");
  });
});

test("a result of the wrong shape is a protocol error", async () => {
  const { connection } = await setup([], (frame, peer) => {
    if (frame.type === "call") {
      peer.say({ type: "result", call: frame.call, result: { encoding: "json", value: { jobs: 5 } } });
    }
  });
  const asking = connection.jobs();
  await expect(asking).rejects.toMatchObject({ code: "protocol_error" });
});
