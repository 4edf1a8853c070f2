import { describe, expect, test } from "bun:test";
import { Connection } from "../../src/client/connection.ts";
import { Session } from "../../src/client/session.ts";
import type { JobId } from "../../src/protocol/id.ts";
import { OUTPUT_WINDOW_BYTES } from "../../src/protocol/limits.ts";
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

test("a result of the wrong shape is a protocol error", async () => {
  const { connection } = await setup([], (frame, peer) => {
    if (frame.type === "call") {
      peer.say({ type: "result", call: frame.call, result: { encoding: "json", value: { jobs: 5 } } });
    }
  });
  const asking = connection.jobs();
  await expect(asking).rejects.toMatchObject({ code: "protocol_error" });
});
