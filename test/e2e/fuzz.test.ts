import { expect, setDefaultTimeout, test } from "bun:test";
import { dial } from "../../src/client/dial.ts";
import { launchAttached } from "../../src/client/launch.ts";
import { parseHost } from "../../src/client/host.ts";
import { builtins } from "../../src/commands/index.ts";
import { turn } from "../../src/lib/abort.ts";
import { DATA_HEADER_BYTES, writeDataHeader } from "../../src/protocol/data.ts";
import { Pool } from "../../src/sdk.ts";
import { eventually } from "../support/eventually.ts";
import { createFuzz, type Sample, toAnyBody, toAnyInput } from "../support/fuzz.ts";
import { privateBytes } from "../support/memory.ts";
import { Random } from "../support/random.ts";
import { RawClient, type RawTarget } from "../support/raw.ts";
import { openRawServer, type RawServerConnection } from "../support/raw-server.ts";
import { toExit, toRecord } from "../support/server-peer.ts";
import { isRunning, openWorld } from "../support/world.ts";

setDefaultTimeout(300_000);

/** Frames each way that may be anything, most of which end their connection. */
const FRAMES = 10_000;
/** Frames each way that are well-formed around any value, which none may end. */
const VALUES = 90_000;
/** Bodies of HTTP requests. */
const BODIES = 2_000;
/** Frames for one connection at most, if nobody closes it before. */
const BURST = 20;
/** Values for one connection, and how many are under way at once: fewer than calls may be. */
const ROUND = 5_000;
const AT_ONCE = 100;
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

/** Commands that may be called with anything at all on the machine that runs the tests, and their fields. */
const HARMLESS = (
  [
    ...["wait", "result", "kill", "is-alive", "send-input", "job-show", "job-label", "job-remove"],
    ...[
      "cd",
      "cwd",
      "env",
      "workspace-list",
      "ls",
      "stat",
      "rdfile",
      "which",
      "user-name",
      "commands",
      "ping",
    ],
  ] as const
).map((name) => ({ name, fields: toFields(builtins[name].input) }));

function toFields(schema: object): readonly string[] {
  return "entries" in schema ? Object.keys(schema.entries as object) : ["job", "jobs", "path", "paths"];
}

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

/** Says what is well-formed around any value over one connection: a quarter are calls, each of which is answered. */
async function press(target: RawTarget, random: Random, frames: number): Promise<void> {
  using client = await RawClient.open(target);
  for (let sent = 0; sent < frames; sent += AT_ONCE) {
    let answers = 0;
    for (let frame = 1; frame <= AT_ONCE; frame++) {
      const { name, fields } = random.pick(HARMLESS);
      const value = toAnyInput(random, fields);
      switch (random.whole(4)) {
        case 0:
          client.call(sent + frame, name, value);
          answers++;
          break;
        case 1:
          client.sequenced({ type: "cancel", call: 1_000_000 + frame, value });
          break;
        case 2:
          client.sequenced({ type: "close", channel: 1_000_000 + frame, value });
          break;
        default:
          client.text({ type: "beat", value });
      }
    }
    let last: unknown;
    for (; answers > 0; answers--) last = (await client.control("result", "failed"))["seq"];
    if (last !== undefined) client.text({ type: "ack", ack: last });
    client.forget();
  }
}

/** Posts bodies to whoever is let in by none. Answers the statuses that came back. */
async function post(socket: string, random: Random, bodies: number): Promise<Set<number>> {
  const statuses = new Set<number>();
  for (let sent = 0; sent < bodies; sent++) {
    const path = random.pick(["/v1/join", "/v1/login", "/v1/ticket", "/v1/stop", "/v1/reload"]);
    const body = toAnyBody(random, ["invite", "secret", "user", "password", "name", "jobs", "grace"]);
    const headers = { "content-type": random.pick(["application/json", "text/plain", "x"]) };
    const answer = await fetch(`http://localhost${path}`, { method: "POST", unix: socket, headers, body });
    statuses.add(answer.status);
    await answer.arrayBuffer();
  }
  return statuses;
}

test(`A server bears ${FRAMES + VALUES} random frames and ${BODIES} bodies, and serves others meanwhile (G18)`, async () => {
  const random = new Random();
  console.log(`Frames for the server: seed ${random.seed}`);
  await using world = openWorld();
  const socket = `${world.home}/socket`;
  const { pid, keepers } = await world.start("--listen", "127.0.0.1:0", "--listen", `unix:${socket}`);
  const { url, token } = world.local();
  await using pool = new Pool({ ...world.env });
  const connection = await pool.add(url, { token }).connect();
  const echo = async (word: string) => {
    const { stdout } = await connection.exec(["echo", word]);
    expect(new TextDecoder().decode(stdout)).toBe(`${word}\n`);
  };
  const fuzz = createFuzz(random, clientSamples, true);
  const target = { url, token };
  const attack = async (share: number) => {
    const [frames, rounds] = [(FRAMES * share) / 4, Math.ceil((VALUES * share) / ROUND / 2)];
    const pressing = async () => {
      for (let round = 0; round < rounds; round++) {
        await press(target, random, ROUND);
        await echo(String(round)); // amid all else
      }
    };
    const pelting = [1, 2, 3, 4].map(() => pelt(target, fuzz, frames));
    const [statuses] = await Promise.all([
      post(socket, random, BODIES * share),
      pressing(),
      pressing(),
      ...pelting,
    ]);
    return statuses;
  };
  await attack(0.1);
  const before = privateBytes(pid);
  for (const status of await attack(0.9)) expect(status).toBeOneOf([400, 401, 413, 415, 429]);
  await echo("after");
  const grown = privateBytes(pid) - before;
  console.log(`The server has ${Math.round(grown / MiB)} MiB more than before`);
  expect(grown).toBeLessThan(FLAT);
  expect([isRunning(pid), isRunning(keepers[0]?.pid ?? 0)]).toEqual([true, true]);
  // It says what was wrong, and nothing of it was a surprise.
  const { stdout: log } = await world.shell(`cat ${world.state}/logs/server.log*`);
  expect(log).toContain('code="protocol_error"');
  expect(log.split("\n").filter((line) => / error /.test(line.slice(0, 40)))).toEqual([]);
});

/** What a client takes for something that it has been told already, or that says nothing: well-formed around any value. */
function toRepeated(random: Random): object {
  const answered = { seq: 1, call: random.between(1, 1_000) };
  const value = { encoding: "json", value: toAnyInput(random, ["jobs", "error", "events"]) };
  const error = { code: "internal", message: "\u001b[2J", details: { value } };
  return random.pick([
    { type: "result", ...answered, result: value },
    { type: "failed", ...answered, error },
    { type: "broken", seq: 1, channel: random.between(1, 9), error },
    { type: "accepted", ...answered, job: JOB, number: random.whole(10) },
    { type: "beat", sent: 1, value },
    { type: "ack", ack: 0, value },
  ]);
}

/** A client's `exec`, accepted, whose output comes in pieces between any number of other frames. */
class Flood {
  readonly #connection: RawServerConnection;
  readonly #random: Random;
  #position = 0;
  #pieces = 0;

  constructor(connection: RawServerConnection, random: Random) {
    this.#connection = connection;
    this.#random = random;
  }

  async begin(): Promise<void> {
    this.#connection.text(welcome);
    await this.#connection.until(() => this.#connection.said("call").length > 0);
    const [call] = this.#connection.said("call");
    this.#connection.text({ type: "accepted", seq: 1, call: call?.["call"], job: call?.["job"], number: 1 });
  }

  /** So many frames, and then a piece of output. Resolves once that has been taken, and so everything before. */
  async send(frames: number): Promise<void> {
    const connection = this.#connection;
    for (let count = 0; count < frames; count++) connection.text(toRepeated(this.#random));
    const record = toRecord("stdout", this.#pieces++, "piece\n");
    connection.binary(toData(1, this.#position, record));
    this.#position += record.length;
    await connection.until(() => connection.said("credit").at(-1)?.["received"] === this.#position);
    connection.received.length = 0;
  }
}

/** Throws frames at a client until it goes, or for so long as one bears it. */
async function answer(connection: RawServerConnection, random: Random, count = () => {}): Promise<void> {
  const fuzz = createFuzz(random, serverSamples, false);
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
  let frames = 0;
  using server = openRawServer({
    onOpen: (connection) => void answer(connection, random, () => frames++),
  });
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
  using server = openRawServer({ onOpen: (connection) => void answer(connection, random) });
  await using world = openWorld();
  for (let round = 0; round < 60; round++) {
    const args = ["-H", server.url, "--reconnect-timeout", "0s", "exec", "--", "true"];
    const { code, stderr } = await world.farhand(args);
    expect([code, stderr]).toEqual([125, expect.stringMatching(/^farhand: (?!The client failed)[^\n]+\n$/)]);
    expect(stderr).not.toContain("\u001b");
  }
});

test(`The compiled client bears ${VALUES} frames around any value, and its memory stays flat`, async () => {
  const random = new Random();
  console.log(`Values for the compiled client: seed ${random.seed}`);
  await using world = openWorld();
  const sizes: number[] = [];
  const failed = Promise.withResolvers<void>();
  using server = openRawServer({
    onOpen: (connection) => {
      const run = async () => {
        const flood = new Flood(connection, random);
        await flood.begin();
        for (let sent = 0; sent < VALUES; sent += 1_000) {
          await flood.send(1_000);
          sizes.push(privateBytes(client.pid));
        }
      };
      run()
        .then(failed.resolve, failed.reject)
        .finally(() => connection.terminate());
    },
  });
  const client = world.open(["farhand", "-H", server.url, "--reconnect-timeout", "0s", "exec", "--", "true"]);
  await failed.promise;
  expect(await client.ran).toMatchObject({ code: 125, stdout: "piece\n".repeat(VALUES / 1_000) });
  const grown = (sizes.at(-1) ?? 0) - (sizes[9] ?? 0);
  console.log(`The client has ${Math.round(grown / MiB)} MiB more than after the first tenth`);
  expect(grown).toBeLessThan(FLAT);
});
