import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import * as v from "valibot";
import {
  encodeLinkFrame,
  type FrontMessage,
  type KeeperMessage,
  LINK_VERSION,
  LinkDecoder,
} from "../../../src/keeper/link.ts";
import { createLog } from "../../../src/lib/log.ts";
import { HolderId, JobId, KeeperId, WriterId } from "../../../src/protocol/id.ts";
import { KeeperLink } from "../../../src/server/keepers/keeper-link.ts";
import { openDirectory } from "../../support/directory.ts";
import { eventually } from "../../support/eventually.ts";
import { createStart } from "../../support/start.ts";

const id = v.parse(KeeperId, crypto.randomUUID());
const job = v.parse(JobId, Bun.randomUUIDv7());
const holder = v.parse(HolderId, crypto.randomUUID());
const writer = v.parse(WriterId, crypto.randomUUID());
const standing = { job, next: 3, position: 300 };
const never = new AbortController().signal;

const hello = {
  type: "hello" as const,
  version: LINK_VERSION,
  build: "old",
  keeper: id,
  pid: 4711,
  jobs: [],
};
const spawn = {
  type: "spawn" as const,
  start: createStart({ job, keeper: id }),
  env: {},
  umask: 0,
  stdin: false,
};

/** A keeper made of nothing but a socket: what it hears is kept for each connection, and it says what it is told to. */
function setup(greeting: readonly object[] = [hello]) {
  const directory = openDirectory();
  const socket = join(directory.path, "keeper.sock");
  const connections: { socket: Bun.Socket<LinkDecoder>; heard: FrontMessage[]; bytes: string[] }[] = [];
  const greet = [...greeting];
  const say = (...messages: object[]) => {
    // What no schema allows is said here too.
    const frames = messages.map((message) => encodeLinkFrame(message as KeeperMessage));
    connections.at(-1)?.socket.write(Buffer.concat(frames));
  };
  const listener = Bun.listen<LinkDecoder>({
    unix: socket,
    socket: {
      open(socket) {
        socket.data = new LinkDecoder();
        connections.push({ socket, heard: [], bytes: [] });
      },
      data(socket, chunk) {
        for (const { message, bytes } of socket.data.push(chunk)) {
          connections.at(-1)?.heard.push(message as FrontMessage);
          connections.at(-1)?.bytes.push(Buffer.from(bytes).toString());
          if ((message as FrontMessage).type === "hello") say(...greet);
        }
      },
    },
  });
  const told: string[] = [];
  const logged: string[] = [];
  const link = new KeeperLink({
    socket,
    build: "new",
    grace: 120_000,
    pid: 4711,
    log: createLog({
      level: "debug",
      format: "text",
      write: (line) => void logged.push(line),
      now: () => new Date(),
    }),
    onReached: ({ jobs }) => void told.push(`reached ${jobs.length}`),
    onProgress: ({ next }) => void told.push(`progress ${next}`),
    onClosed: ({ next }) => void told.push(`closed ${next}`),
  });
  const heard = () => connections.at(-1)?.heard ?? [];
  const hears = (type: FrontMessage["type"]) =>
    eventually(() => heard().some((message) => message.type === type));
  return {
    link,
    told,
    logged,
    connections,
    say,
    heard,
    hears,
    /** Breaks the connection; the next one is greeted so. */
    async breakOff(...next: object[]) {
      if (next.length > 0) greet.splice(0, greet.length, ...next);
      const lost = link.waitForLoss(never);
      connections.at(-1)?.socket.terminate();
      await lost;
    },
    [Symbol.dispose]() {
      link.close();
      listener.stop(true);
      directory[Symbol.dispose]();
    },
  };
}

describe("connect()", () => {
  test("hears of the jobs before anything else that is said of them", async () => {
    const progress = { type: "progress", ...standing, next: 4 };
    const closed = { type: "closed", ...standing, next: 5 };
    using world = setup([{ ...hello, jobs: [standing] }, progress, closed]);
    await world.link.connect(never);
    await eventually(() => world.told.length === 3);
    expect(world.told).toEqual(["reached 1", "progress 4", "closed 5"]);
    expect(world.link.state).toEqual({ state: "reached", pid: 4711, build: "old" });
  });

  test("throws when nobody listens", async () => {
    using world = setup();
    const link = new KeeperLink({ ...NOTHING, socket: "/no/such/socket" });
    expect(await link.connect(never).catch((error) => error.code)).toBe("unavailable");
    expect(world.link.state).toEqual({ state: "unreached", pid: 4711 });
  });

  test("waits for one that is frozen until it is told to stop", async () => {
    using world = setup([]);
    const stop = new AbortController();
    const connected = world.link.connect(stop.signal);
    await world.hears("hello");
    const reason = new Error("enough");
    stop.abort(reason);
    expect(await connected.catch((error: unknown) => error)).toBe(reason);
    expect(world.link.state.state).toBe("unreached");
  });

  test("that is told to stop at once says so", async () => {
    using world = setup();
    const reason = new Error("enough");
    expect(await world.link.connect(AbortSignal.abort(reason)).catch((error: unknown) => error)).toBe(reason);
    expect(world.link.state.state).toBe("unreached");
  });

  test("refuses a keeper of another major version, and leaves it alone from then on", async () => {
    using world = setup([
      { type: "hello", version: { major: LINK_VERSION.major + 1 }, pid: 1, build: "next" },
    ]);
    for (let round = 0; round < 3; round++)
      expect(await world.link.connect(never).catch((error) => error.code)).toBe("unsupported_version");
    expect(world.link.state).toMatchObject({ state: "unsupported", pid: 1, build: "next" });
    expect(world.connections.flatMap(({ heard }) => heard).map(({ type }) => type)).toEqual(["hello"]);
    expect(await world.link.request(spawn).catch((error) => error.message)).toContain("speaks version 2");
  });
});

describe("A keeper that says something strange", () => {
  test("which is a message that nobody knows is heard on", async () => {
    using world = setup([hello, { type: "sing" }, { type: "progress", ...standing }]);
    await world.link.connect(never);
    await eventually(() => world.told.includes("progress 3"));
    expect(world.logged.join("\n")).toContain("not understood");
  });

  test("which is no frame loses its connection, and can be reached again", async () => {
    using world = setup();
    await world.link.connect(never);
    const lost = world.link.waitForLoss(never);
    world.connections.at(-1)?.socket.write(new Uint8Array(8).fill(255));
    await lost;
    expect(world.logged.join("\n")).toContain("broken");
    await world.link.connect(never);
    expect(world.link.state.state).toBe("reached");
  });
});

describe("request()", () => {
  test("throws at once while the keeper cannot be reached, and names its process", async () => {
    using world = setup();
    const asked = world.link.request({ type: "signal", job, signal: "SIGTERM" });
    expect(await asked.catch((error) => error.message)).toBe(
      "Cannot reach the keeper with pid 4711: it lives but does not answer; try again later",
    );
  });

  test("throws when the connection is lost before the answer: a signal may have been sent, and is not repeated", async () => {
    using world = setup();
    await world.link.connect(never);
    const asked = world.link.request({ type: "signal", job, signal: "SIGTERM" });
    asked.catch(() => {});
    await world.hears("signal");
    await world.breakOff();
    expect(await asked.catch((error) => error.code)).toBe("unavailable");
    await world.link.connect(never);
    expect(world.heard().map(({ type }) => type)).toEqual(["hello"]);
  });

  test("sends a spawn again that had no answer, and takes what it finds for its own", async () => {
    using world = setup();
    await world.link.connect(never);
    const asked = world.link.request({ ...spawn, speaks: true }, new TextEncoder().encode("order"));
    await world.hears("spawn");
    await world.breakOff();
    await world.link.connect(never);
    await world.hears("spawn");
    world.say({ type: "spawned", request: 1, created: false });
    expect(await asked).toMatchObject({ type: "spawned", created: true });
    expect(world.connections.map(({ bytes }) => bytes.at(-1))).toEqual(["order", "order"]);
  });

  test("sends no spawn again whose job the keeper has", async () => {
    using world = setup();
    await world.link.connect(never);
    const asked = world.link.request(spawn);
    await world.hears("spawn");
    await world.breakOff({ ...hello, jobs: [standing] });
    await world.link.connect(never);
    expect(await asked).toMatchObject({ type: "spawned", created: true });
    expect(world.heard().map(({ type }) => type)).toEqual(["hello"]);
  });

  test("throws when the keeper is given up, which may do it all the same, and sends nothing again", async () => {
    using world = setup();
    await world.link.connect(never);
    const asked = world.link.request(spawn);
    await world.hears("spawn");
    world.link.giveUp(); // nothing while it is reached
    await world.breakOff();
    world.link.giveUp();
    expect(await asked.catch((error) => error.code)).toBe("outcome_unknown");
    await world.link.connect(never);
    expect(world.heard().map(({ type }) => type)).toEqual(["hello"]);
  });

  test("throws when the keeper is dead", async () => {
    using world = setup();
    await world.link.connect(never);
    const asked = world.link.request(spawn);
    await world.hears("spawn");
    world.link.bury();
    expect(await asked.catch((error) => error.code)).toBe("unavailable");
  });
});

describe("A new connection", () => {
  test("begins with the holds, and with input that the keeper does not hold", async () => {
    using world = setup();
    await world.link.connect(never);
    world.link.send({ type: "attach", job, holder, position: 7 });
    world.link.send({ type: "hold", job, holder, position: 70 });
    const taken: number[] = [];
    using _listening = world.link.listen(job, writer, {
      taken: (held) => void taken.push(held),
      closed() {},
    });
    world.link.send({ type: "input", job, writer, offset: 0 }, new TextEncoder().encode("abc"));
    world.link.send({ type: "input", job, writer, offset: 3 }, new TextEncoder().encode("def"));
    await world.hears("input");
    world.say({ type: "taken", job, writer, held: 3, limit: 100 });
    await eventually(() => taken.length === 1);
    await world.breakOff();
    world.link.send({ type: "end_input", job, writer, offset: 6 });
    await world.link.connect(never);
    await world.hears("writer");
    expect(world.heard()).toEqual([
      expect.objectContaining({ type: "hello" }),
      { type: "attach", job, holder, position: 70 },
      { type: "input", job, writer, offset: 3 },
      { type: "end_input", job, writer, offset: 6 },
      { type: "writer", job, writer },
    ]);
  });

  test("says nothing of a job that the keeper has closed", async () => {
    using world = setup();
    await world.link.connect(never);
    world.link.send({ type: "attach", job, holder, position: 7 });
    world.say({ type: "closed", ...standing });
    await eventually(() => world.told.includes("closed 3"));
    await world.breakOff();
    await world.link.connect(never);
    expect(world.heard().map(({ type }) => type)).toEqual(["hello"]);
  });
});

test("bury() closes the input of every writer", () => {
  using world = setup();
  let closed = 0;
  world.link.listen(job, writer, { taken() {}, closed: () => void closed++ });
  world.link.bury();
  expect(closed).toBe(1);
});

const NOTHING = {
  build: "new",
  grace: 120_000,
  pid: undefined,
  log: createLog({ level: "error", format: "text", write: () => {}, now: () => new Date() }),
  onReached() {},
  onProgress() {},
  onClosed() {},
};

test("A job of another user is not asked of a keeper that would run it as itself", async () => {
  const user = { uid: 64_501, gid: 64_502, groups: [] };
  for (const minor of [0, 3]) {
    using world = setup([{ ...hello, version: { major: LINK_VERSION.major, minor } }]);
    await world.link.connect(never);
    await expect(world.link.request({ ...spawn, user })).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("as another user"),
    });
    expect(world.heard().map(({ type }) => type)).toEqual(["hello"]);
  }
  using world = setup();
  await world.link.connect(never);
  world.link.request({ ...spawn, user }).catch(() => {}); // nobody answers it here
  await world.hears("spawn");
  expect(world.heard().at(-1)).toMatchObject({ type: "spawn", user });
});

test("A runner is not asked of a keeper that would hear nothing of what it says", async () => {
  using world = setup([{ ...hello, version: { major: LINK_VERSION.major, minor: 4 } }]);
  await world.link.connect(never);
  await expect(world.link.request({ ...spawn, speaks: true }, new Uint8Array(1))).rejects.toMatchObject({
    code: "unavailable",
    message: expect.stringContaining("its keeper is of a version before such commands"),
  });
  expect(world.heard().map(({ type }) => type)).toEqual(["hello"]);
});
