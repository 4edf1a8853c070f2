import { describe, expect, test } from "bun:test";
import { launchAttached } from "../../src/client/launch.ts";
import { Session } from "../../src/client/session.ts";
import { AppError } from "../../src/protocol/error.ts";
import { OUTPUT_WINDOW_BYTES } from "../../src/protocol/limits.ts";
import { eventually } from "../support/eventually.ts";
import { OTHER, openPeers, SESSION } from "../support/peers.ts";
import { ServerPeer, toExit, toRecord } from "../support/server-peer.ts";

const BROKEN = new AppError("connection_lost", "Connection lost: it broke off");

function setup(options: Parameters<typeof openPeers>[1] = {}) {
  return openPeers({}, options);
}

const types = (peer: ServerPeer) => peer.heard.map(({ type }) => type);

describe("A session whose connection is lost", () => {
  test("greets with its proof, and sends again what was not received, in order, before anything new", async () => {
    const { session, first, cut } = await setup();
    const calls = [session.call("ping", {}), session.call("jobs", {}), session.call("wait", {})];
    first.say({ type: "result", call: 1, result: { encoding: "json", value: 1 } });
    const next = await cut();
    const late = session.call("kill", {});
    expect(next.of("hello")).toMatchObject([
      { received: 1, resume: { session: SESSION, generation: 1, token: "token" } },
    ]);
    expect(types(next)).toEqual(["hello"]); // nothing more before the welcome
    next.welcome({ session: SESSION, generation: 2, received: 2 });
    expect(next.heard.slice(1)).toMatchObject([
      { type: "ack", ack: 1 },
      { type: "call", seq: 3, command: "wait" },
      { type: "call", seq: 4, command: "kill" },
    ]);
    for (const call of [2, 3, 4])
      next.sayBare({ type: "result", seq: call, call, result: { encoding: "json", value: call } });
    expect(await Promise.all([...calls, late])).toEqual([1, 2, 3, 4]);
  });

  test.each([true, false])(
    "ends where an older server took over that knows no workspace (own: %j)",
    async (isOwn) => {
      const { session, cut } = await setup({ workspace: { name: "@x", isOwn } });
      const call = session.call("ls", {}, { isIdempotent: true });
      const next = await cut();
      next.welcome({ session: OTHER, version: { major: 1, minor: 1 } });
      await expect(call).rejects.toMatchObject({ code: "unsupported_version" });
      expect(next.of("call")).toEqual([]);
      expect(session.state).toMatchObject({ state: "closed", reason: { code: "unsupported_version" } });
    },
  );

  test("tells each change of its state", async () => {
    const { session, first, cut } = await setup();
    const states: unknown[] = [];
    session.onState((state) => states.push(state));
    const next = await cut();
    expect(session.state).toMatchObject({ state: "reconnecting", reason: BROKEN });
    next.welcome({ session: SESSION, generation: 2 });
    expect(session.state).toEqual({ state: "connected" });
    await session[Symbol.asyncDispose]();
    expect(states).toMatchObject([{ state: "reconnecting" }, { state: "connected" }, { state: "closed" }]);
    expect(next.of("goodbye")).toHaveLength(1);
    expect(first.of("goodbye")).toHaveLength(0);
  });

  test("reads output on from the packet that did not come, and holds at the one that is not consumed", async () => {
    const { session, first, cut } = await setup();
    const { accepted, output } = launchAttached(session, { argv: ["x"] });
    const [call] = first.of("call");
    const job = call?.job as NonNullable<typeof call>["job"] & string;
    const holder = call?.output?.holder;
    first.say({ type: "accepted", call: 1, job: job as never, number: 1 });
    await accepted;
    const records = [toRecord("stdout", 0, "a"), toRecord("stdout", 1, "b")];
    first.data(1, ...records);
    const packets = output[Symbol.asyncIterator]();
    const read = async () => (await packets.next()).value;
    const one = await read();
    if (one) output.consumed(one);
    const next = await cut();
    next.welcome({ session: SESSION, generation: 2, received: 1 });
    const [opened] = next.of("open_output");
    expect(opened).toMatchObject({ channel: 2, job, holder, from: { type: "since", number: 2 }, hold: 1 });
    expect(opened?.limit).toBe(OUTPUT_WINDOW_BYTES - (records[1]?.length ?? 0));
    expect(next.of("close")).toMatchObject([{ channel: 1 }]);
    next.data(1, toRecord("stdout", 9, "late")); // of a channel that is no more
    next.data(2, toExit(2, { stdoutBytes: 2 }));
    expect([(await read())?.type, (await read())?.type]).toEqual(["stdout", "exit"]);
  });

  test("reads nothing of a job whose call is not answered before it is, and then under the answer's id", async () => {
    const { session, first, cut } = await setup();
    const { accepted } = launchAttached(session, { argv: ["x"], key: "k" });
    const next = await cut();
    next.welcome({ session: SESSION, generation: 2, received: 1 });
    expect(next.of("open_output")).toEqual([]);
    const other = "01a1fc9b-3803-738e-b699-a640b92559cc" as never;
    next.say({ type: "accepted", call: 1, job: other, number: 1 });
    expect(await accepted).toMatchObject({ job: other });
    expect(next.of("open_output")).toMatchObject([{ job: other, from: { type: "since", number: 0 } }]);
    expect(first.of("call")).toHaveLength(1);
  });

  test("holds no job for a reader who has stopped meanwhile", async () => {
    for (const [session, calls] of [
      [SESSION, 0],
      [OTHER, 1],
    ] as const) {
      const world = await setup();
      const { accepted, output, job } = launchAttached(world.session, { argv: ["x"] });
      const next = await world.cut();
      output.close();
      next.welcome({ session, generation: 2, received: session === SESSION ? 1 : 0 });
      next.say({ type: "accepted", call: 1, job, number: 1 });
      await accepted;
      expect(next.of("open_output")).toEqual([]);
      expect(next.of("call").map(({ output }) => output)).toEqual(Array(calls).fill(undefined));
    }
  });

  test("sends input again from where the server holds it, and its end", async () => {
    const { session, first, cut } = await setup();
    const { input } = launchAttached(session, { argv: ["x"], stdin: true });
    first.sayBare({ type: "credit", channel: 2, received: 0, limit: 100 });
    await input?.write(new TextEncoder().encode("abcdef"));
    input?.end();
    const next = await cut();
    next.welcome({ session: SESSION, generation: 2, received: 3 });
    const [opened] = next.of("open_input");
    expect(next.of("end")).toMatchObject([{ channel: opened?.channel, position: 6 }]);
    expect(next.of("data")).toEqual([]);
    next.sayBare({ type: "credit", channel: opened?.channel, received: 4, limit: 5 });
    next.sayBare({ type: "credit", channel: opened?.channel, received: 5, limit: 100 });
    const sent = next.of("data").map(({ position, bytes }) => [position, new TextDecoder().decode(bytes)]);
    expect(sent).toEqual([
      [4, "e"],
      [5, "f"],
    ]);
  });

  test("asks once for what the server has not received, however often connections break", async () => {
    const { session, cut } = await setup();
    const job = "01a1fc9b-3803-738e-b699-a640b92559cc" as never;
    const output = session.openOutput(job, { type: "since", number: 0 });
    session.openInput(job, job);
    for (const generation of [2, 3, 4]) {
      const next = await cut();
      next.welcome({ session: SESSION, generation, received: 0 });
      expect(types(next).slice(1)).toEqual(["ack", "open_output", "open_input", "credit"]);
      if (generation < 4) continue;
      next.data(1, toRecord("stdout", 0, "a"));
      expect((await output[Symbol.asyncIterator]().next()).value).toMatchObject({ number: 0 });
    }
  });

  test("says again which streams nobody reads, over the channel that it has then", async () => {
    const { session, first, cut } = await setup();
    const output = session.openOutput("01a1fc9b-3803-738e-b699-a640b92559cc" as never, {
      type: "since",
      number: 0,
    });
    output.discard("stdout");
    expect(first.of("discard")).toHaveLength(1);
    const next = await cut();
    next.welcome({ session: SESSION, generation: 2, received: 2 });
    expect(next.of("discard")).toMatchObject([{ channel: 2, stream: "stdout" }]);
  });
});

describe("A session that the server does not know any more", () => {
  test("asks again for jobs, and for what may be repeated; what may not fails as outcome_unknown", async () => {
    const { session, first, cut } = await setup();
    const wait = session.call("wait", {}, { isIdempotent: true });
    const kill = session.call("kill", {});
    const { accepted } = launchAttached(session, { argv: ["x"] });
    const [, , exec] = first.of("call");
    const next = await cut();
    const late = session.call("kill", {}); // never sent before
    next.welcome({ session: OTHER });
    expect(next.of("call")).toMatchObject([
      { seq: 1, call: 1, command: "wait" },
      { seq: 2, call: 3, command: "exec", job: exec?.job, output: { channel: 2 } },
      { seq: 3, call: 4, command: "kill" },
    ]);
    await expect(kill).rejects.toMatchObject({ code: "outcome_unknown" });
    for (const call of [1, 4]) next.say({ type: "result", call, result: { encoding: "json", value: call } });
    next.say({ type: "accepted", call: 3, job: exec?.job as never, number: 1 });
    expect([await wait, await late]).toEqual([1, 4]);
    expect(await accepted).toMatchObject({ number: 1 });
  });

  test("reads on where output came before the answer that was lost", async () => {
    const { session, first, cut } = await setup();
    const { accepted, job } = launchAttached(session, { argv: ["x"] });
    first.data(1, toRecord("stdout", 0, "a"));
    const next = await cut();
    next.welcome({ session: OTHER });
    expect(next.of("call").map((call) => [call.job, call.output])).toEqual([[job, undefined]]);
    next.say({ type: "accepted", call: 1, job, number: 1 });
    await accepted;
    expect(next.of("open_output")).toMatchObject([{ job, from: { type: "since", number: 1 }, hold: 0 }]);
  });

  test("has delivered everything where nothing may be asked for again", async () => {
    const { session, cut } = await setup();
    const kill = session.call("kill", {});
    const delivered = session.delivered();
    const next = await cut();
    next.welcome({ session: OTHER });
    await expect(kill).rejects.toMatchObject({ code: "outcome_unknown" });
    await delivered;
  });

  test("starts no job again after a reboot, which may have lost it", async () => {
    const { session, cut } = await setup();
    const { accepted, job } = launchAttached(session, { argv: ["x"] });
    const next = await cut();
    next.welcome({ session: OTHER, boot: "another" });
    await expect(accepted).rejects.toMatchObject({ code: "outcome_unknown", details: { job } });
    expect(next.of("call")).toEqual([]);
  });

  test("reads on from a job that is known, under the same holder", async () => {
    const { session, first, cut } = await setup();
    const { accepted } = launchAttached(session, { argv: ["x"] });
    const [call] = first.of("call");
    first.say({ type: "accepted", call: 1, job: call?.job as never, number: 1 });
    await accepted;
    first.data(1, toRecord("stdout", 0, "a"));
    const next = await cut();
    next.welcome({ session: OTHER, boot: "another" });
    const from = { type: "since", number: 1 } as const;
    expect(next.of("open_output")).toMatchObject([{ seq: 1, holder: call?.output?.holder, from, hold: 0 }]);
  });
});

describe("A session", () => {
  test("gives up where one connection after another is welcomed, and breaks off before it brings anything", async () => {
    const { session, first, peers } = await setup({ window: 300 });
    session.openOutput("01a1fc9b-3803-738e-b699-a640b92559cc" as never, { type: "since", number: 0 });
    first.cut(BROKEN);
    const fail = (peer: ServerPeer | undefined) => {
      if (peer?.of("hello").length !== 1 || peer.closed !== undefined) return;
      peer.welcome({ session: SESSION, generation: peers.length, received: 1 });
      peer.cut(BROKEN);
    };
    await eventually(() => {
      fail(peers.at(-1));
      return session.ended.aborted;
    });
    expect(session.ended.reason).toMatchObject({
      code: "connection_lost",
      message: `${BROKEN.message}, and could not be restored within 300 ms: each connection broke off again at once`,
    });
    expect(peers.length).toBeLessThan(10);
  });

  test("says both what was lost and why it stays so, where the next connection is refused for good", async () => {
    const peer = new ServerPeer();
    const session = new Session(peer, { heartbeat: 15_000, patience: 10_000, now: () => performance.now() });
    const open = () => Promise.reject(new AppError("unauthenticated", "Cannot connect: wrong token"));
    session.persist({ window: 10_000, open });
    peer.welcome();
    peer.cut(BROKEN);
    await eventually(() => session.ended.aborted);
    expect(session.ended.reason).toMatchObject({
      code: "unauthenticated",
      message: `${BROKEN.message}, and cannot be restored: Cannot connect: wrong token`,
      details: { lost: "connection_lost" },
    });
  });

  test("ends with the first reason and the last once its time to reconnect is over", async () => {
    const peer = new ServerPeer();
    const session = new Session(peer, { heartbeat: 15_000, patience: 10_000, now: () => performance.now() });
    const open = () => Promise.reject(new AppError("connection_refused", "Cannot connect: refused"));
    session.persist({ window: 100, open });
    peer.welcome();
    peer.cut(BROKEN);
    await eventually(() => session.ended.aborted);
    expect(session.ended.reason).toMatchObject({
      code: "connection_lost",
      message: `${BROKEN.message}, and could not be restored within 100 ms: Cannot connect: refused`,
    });
  });

  test("ends at once for a reason that another connection would meet again", async () => {
    const { session, first, peers } = await setup();
    first.sayBare({ type: "goodbye", error: { code: "too_many", message: "Too many" } });
    expect(session.ended.reason).toMatchObject({ code: "too_many" });
    expect(peers).toHaveLength(1);
  });

  test("offers a longer heartbeat each time that a connection was silent for too long without bringing anything", async () => {
    const { session, first, peers, cut } = await setup();
    const silent = new AppError("peer_lost", "Connection lost: nothing received");
    first.cut(silent);
    await eventually(() => peers.length === 2 && (peers[1]?.heard.length ?? 0) > 0);
    peers[1]?.welcome({ session: SESSION, generation: 2 });
    peers[1]?.cut(silent);
    await eventually(() => peers.length === 3 && (peers[2]?.heard.length ?? 0) > 0);
    const offered = peers.map((peer) => peer.of("hello")[0]?.heartbeat);
    expect(offered).toEqual([15_000, 30_000, 60_000]);
    // One that has brought something was good enough.
    peers[2]?.welcome({ session: SESSION, generation: 3 });
    const call = session.call("ping", {});
    peers[2]?.say({ type: "result", call: 1, result: { encoding: "json", value: 1 } });
    await call;
    expect((await cut()).of("hello")[0]?.heartbeat).toBe(15_000);
  });

  test("reconnects where numbered frames, data or what a beat tells of are missing", async () => {
    for (const spoil of [
      (peer: ServerPeer) =>
        peer.sayBare({ type: "result", seq: 2, call: 1, result: { encoding: "json", value: 1 } }),
      (peer: ServerPeer) => peer.sayBare({ type: "beat", sent: 1 }),
      (peer: ServerPeer) => peer.sayBare({ type: "beat", positions: [[1, 1]] }),
      (peer: ServerPeer) => peer.sayBare({ type: "end", seq: 1, channel: 1, position: 1 }),
    ]) {
      const { session, first, peers } = await setup();
      session.openOutput("01a1fc9b-3803-738e-b699-a640b92559cc" as never, { type: "since", number: 0 });
      spoil(first);
      expect([first.closed?.code, session.state.state]).toEqual([4409, "reconnecting"]);
      await eventually(() => peers.length === 2);
    }
  });
});
