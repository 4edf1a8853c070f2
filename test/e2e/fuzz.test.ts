import { expect, setDefaultTimeout, test } from "bun:test";
import { launchAttached } from "../../src/client/launch.ts";
import { dial } from "../../src/client/dial.ts";
import { parseHost } from "../../src/client/host.ts";
import { turn } from "../../src/lib/abort.ts";
import { DATA_HEADER_BYTES, writeDataHeader } from "../../src/protocol/data.ts";
import { Pool } from "../../src/sdk.ts";
import { eventually } from "../support/eventually.ts";
import { createFuzz, type Sample } from "../support/fuzz.ts";
import { privateBytes } from "../support/memory.ts";
import { Random } from "../support/random.ts";
import { RawClient, type RawTarget } from "../support/raw.ts";
import { openRawServer, type RawServerConnection } from "../support/raw-server.ts";
import { toExit, toRecord } from "../support/server-peer.ts";
import { isRunning, openWorld } from "../support/world.ts";

setDefaultTimeout(300_000);

const FRAMES = 10_000;
/** Frames for one connection at most, if nobody closes it before. */
const BURST = 20;
const MiB = 1024 * 1024;
/** Ten times what memory may differ by. */
const FLAT = 100 * MiB;
const JOB = "00000000-0000-7000-8000-000000000000";

function toData(channel: number, position: number, record: Uint8Array): Uint8Array {
  const frame = new Uint8Array(DATA_HEADER_BYTES + record.length);
  writeDataHeader(frame, channel, position);
  frame.set(record, DATA_HEADER_BYTES);
  return frame;
}

const input = { encoding: "json", value: {} };

/** What a client says. Whatever becomes of it, it runs nothing that matters. */
const clientSamples = (): readonly Sample[] => [
  { type: "call", seq: 1, call: 1, command: "ping", input },
  { type: "call", seq: 1, call: 1, command: "jobs", input: { encoding: "json", value: { refs: ["1"] } } },
  { type: "call", seq: 1, call: 1, command: "kill", input: { encoding: "json", value: { job: JOB } } },
  {
    type: "call",
    seq: 1,
    call: 1,
    command: "exec",
    input: { encoding: "json", value: { argv: ["true"], stdin: true } },
    job: crypto.randomUUID(),
    output: { channel: 1, holder: crypto.randomUUID(), limit: 70_000 },
  },
  { type: "open_output", seq: 1, channel: 1, job: JOB, from: { type: "since", number: 0 }, limit: 70_000 },
  { type: "open_input", seq: 1, channel: 1, job: JOB, writer: JOB },
  { type: "credit", channel: 1, received: 0, limit: 1, next: 0 },
  { type: "discard", seq: 1, channel: 1, stream: "stdout" },
  { type: "end", seq: 1, channel: 1, position: 0 },
  { type: "close", seq: 1, channel: 1 },
  { type: "cancel", seq: 1, call: 1 },
  {
    type: "hello",
    version: { major: 1, minor: 0 },
    agent: { name: "x", version: "1" },
    heartbeat: 1_000,
    received: 0,
  },
  { type: "ack", ack: 0 },
  { type: "beat" },
  { type: "goodbye" },
  toData(1, 0, Buffer.from("input")),
];

/** What a server says. */
const serverSamples = (): readonly Sample[] => [
  { type: "accepted", seq: 1, call: 1, job: JOB, number: 1 },
  { type: "result", seq: 1, call: 1, result: input },
  { type: "failed", seq: 1, call: 1, error: { code: "not_found", message: "No" } },
  { type: "end", seq: 1, channel: 1, position: 0 },
  { type: "discard", seq: 1, channel: 2 },
  { type: "broken", seq: 1, channel: 1, error: { code: "not_found", message: "No" } },
  { type: "credit", channel: 2, received: 0, limit: 70_000 },
  { ...welcome },
  { type: "ack", ack: 1 },
  { type: "beat" },
  { type: "goodbye", error: { code: "shutting_down", message: "Bye" } },
  toData(1, 0, toRecord("stdout", 0, "output")),
  toData(1, 0, toExit(0)),
];

const welcome = {
  type: "welcome",
  version: { major: 1, minor: 0 },
  agent: { name: "farhandd", version: "9.9.9" },
  session: crypto.randomUUID(),
  generation: 1,
  resume: "token",
  received: 0,
  heartbeat: 15_000,
  grace: 120_000,
  boot: "boot",
  limits: { controlFrameBytes: 1_048_576, dataFrameBytes: 262_400, controlWindowFrames: 256 },
};

/** Connects again and again, and throws frames at a server until so many are sent. */
async function pelt(target: RawTarget, fuzz: () => Uint8Array, frames: number): Promise<void> {
  for (let sent = 0; sent < frames;) {
    using client = await RawClient.open(target);
    let isOver = false;
    void client.ended.then(() => (isOver = true));
    for (let count = 0; count < BURST && !isOver && sent < frames; count++, sent++) {
      client.write(fuzz());
      await turn();
    }
  }
}

test(`A server bears ${FRAMES} random frames, and serves others meanwhile`, async () => {
  const random = new Random();
  console.log(`Frames for the server: seed ${random.seed}`);
  await using world = openWorld();
  const { pid, keepers } = await world.start();
  const { url, token } = world.local();
  await using pool = new Pool({ ...world.env });
  const connection = await pool.add(url, { token }).connect();
  const echo = async (word: string) => {
    const { stdout } = await connection.exec(["echo", word]);
    expect(new TextDecoder().decode(stdout)).toBe(`${word}\n`);
  };
  for (let round = 0; round < 20; round++) await echo("warm");
  const before = privateBytes(pid);
  const fuzz = createFuzz(random, clientSamples, true);
  let isOver = false;
  const pelting = Promise.all([1, 2, 3, 4].map(() => pelt({ url, token }, fuzz, FRAMES / 4))).finally(
    () => (isOver = true),
  );
  for (let round = 0; !isOver; round++) await echo(String(round));
  await pelting;
  await echo("after");
  const grown = privateBytes(pid) - before;
  console.log(`The server has ${Math.round(grown / MiB)} MiB more than before`);
  expect(grown).toBeLessThan(FLAT);
  expect([isRunning(pid), isRunning(keepers[0]?.pid ?? 0)]).toEqual([true, true]);
});

/** Throws frames at a client until it goes, or for so long as one bears it. */
async function answer(
  connection: RawServerConnection,
  fuzz: () => Uint8Array,
  count: () => void,
): Promise<void> {
  connection.text(welcome);
  for (let sent = 0; sent < BURST && !connection.isClosed; sent++) {
    connection.write(fuzz());
    count();
    await turn();
  }
  connection.terminate();
}

test(`A client bears ${FRAMES} random frames: it ends, with an error of ours`, async () => {
  const random = new Random();
  console.log(`Frames for the client: seed ${random.seed}`);
  const fuzz = createFuzz(random, serverSamples, false);
  let frames = 0;
  using server = openRawServer({ onOpen: (connection) => void answer(connection, fuzz, () => frames++) });
  const { signal } = new AbortController();
  const target = { host: parseHost(server.url), token: undefined, isLocal: false };
  const serve = async () => {
    while (frames < FRAMES) {
      await using session = await dial(() => target, { reconnect: 0, signal });
      const { accepted, output } = launchAttached(session, { argv: ["true"], stdin: true });
      const read = async () => {
        for await (const _packet of output) if (session.ended.aborted) return;
      };
      await Promise.allSettled([accepted, read()]);
      await eventually(() => session.ended.aborted, 20_000);
      expect(session.ended.reason).toMatchObject({ code: expect.stringMatching(/^(?!internal)/) });
    }
  };
  await Promise.all([1, 2, 3, 4].map(serve));
  expect(frames).toBeGreaterThanOrEqual(FRAMES);
});

test("The compiled client says in one sentence what is wrong with a server, and exits with 125", async () => {
  const random = new Random();
  console.log(`Frames for the compiled client: seed ${random.seed}`);
  const fuzz = createFuzz(random, serverSamples, false);
  using server = openRawServer({ onOpen: (connection) => void answer(connection, fuzz, () => {}) });
  await using world = openWorld();
  for (let round = 0; round < 60; round++) {
    const args = ["-H", server.url, "--reconnect-timeout", "0s", "exec", "--", "true"];
    const { code, stderr } = await world.farhand(args);
    expect([code, stderr]).toEqual([125, expect.stringMatching(/^farhand: (?!The client failed)[^\n]+\n$/)]);
  }
});
