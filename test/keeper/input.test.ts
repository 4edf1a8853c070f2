import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import * as v from "valibot";
import { JobInput } from "../../src/keeper/input.ts";
import type { InputPipe } from "../../src/process/pipe.ts";
import { WriterId } from "../../src/protocol/id.ts";
import {
  INPUT_WINDOW_BYTES,
  JOB_INPUT_BYTES,
  MAX_WRITERS,
  MIN_INPUT_WINDOW_BYTES,
} from "../../src/protocol/limits.ts";
import { eventually } from "../support/eventually.ts";
import { KeeperProcess } from "../support/keeper.ts";
import { textOf } from "../support/packets.ts";

const KiB = 1024;
const PIPE_BYTES = 64 * KiB;
const text = (value: string) => new TextEncoder().encode(value);
const newWriter = () => v.parse(WriterId, crypto.randomUUID());

async function setup() {
  const keeper = await KeeperProcess.start();
  const front = await keeper.front();
  return { keeper, front, writer: newWriter(), [Symbol.asyncDispose]: () => keeper[Symbol.asyncDispose]() };
}

describe("Input over the link", () => {
  test("reaches the program once and in order, however often it is sent again", async () => {
    await using world = await setup();
    const { keeper, front, writer } = world;
    const job = await keeper.spawn(front, ["cat"], { stdin: true });
    const send = (offset: number, bytes: string) =>
      front.send({ type: "input", job, writer, offset }, text(bytes));
    send(0, "hello ");
    send(0, "hello ");
    send(3, "lo wor");
    send(6, "world");
    send(0, "hello world");
    send(11, "!\n");
    front.send({ type: "end_input", job, writer, offset: 13 });
    await front.hear("closed", (message) => message.job === job);
    expect(textOf(keeper.ledger(job))).toBe("hello world!\n");
  });

  test("of another front goes on where the keeper says that it stands", async () => {
    await using world = await setup();
    const { keeper, front, writer } = world;
    const job = await keeper.spawn(front, ["cat"], { stdin: true });
    front.send({ type: "input", job, writer, offset: 0 }, text("one "));
    await front.hear("taken", ({ held }) => held === 4);
    const later = await keeper.front();
    later.send({ type: "writer", job, writer });
    expect(await later.hear("taken")).toEqual({
      type: "taken",
      job,
      writer,
      held: 4,
      limit: 4 + INPUT_WINDOW_BYTES,
    });
    later.send({ type: "input", job, writer, offset: 4 }, text("two"));
    later.send({ type: "end_input", job, writer, offset: 7 });
    await later.hear("closed", (message) => message.job === job);
    expect(textOf(keeper.ledger(job))).toBe("one two");
  });

  test("is accepted up to the window when the program never reads, and no further", async () => {
    await using world = await setup();
    const { keeper, front, writer } = world;
    const job = await keeper.spawn(front, ["sleep", "60"], { stdin: true });
    front.send({ type: "writer", job, writer });
    let { limit } = await front.hear("taken");
    expect(limit).toBe(INPUT_WINDOW_BYTES);
    let sent = 0;
    // Fills whatever is granted until nothing more is.
    for (;;) {
      while (sent < limit) {
        const bytes = new Uint8Array(Math.min(32 * KiB, limit - sent));
        front.send({ type: "input", job, writer, offset: sent }, bytes);
        sent += bytes.length;
      }
      // All that was sent is accepted: the keeper holds it.
      await front.hear("taken", ({ held }) => held === sent);
      for (let count = 0; count < 3; count++) await keeper.run(front, "true");
      const last = front.heard.findLast((message) => message.type === "taken");
      if (last?.type !== "taken" || last.limit === limit) break;
      limit = last.limit;
    }
    expect(limit).toBe(sent);
    expect(sent).toBeGreaterThanOrEqual(INPUT_WINDOW_BYTES);
    // The pipe has some, Bun's sink some more; the rest is the keeper's window.
    expect(sent).toBeLessThanOrEqual(INPUT_WINDOW_BYTES + 4 * PIPE_BYTES);
  }, 30_000);

  test("is granted as the program reads it, however much that is", async () => {
    await using world = await setup();
    const { keeper, front, writer } = world;
    const job = await keeper.spawn(front, ["sha256sum"], { stdin: true });
    front.send({ type: "writer", job, writer });
    const all = crypto.getRandomValues(new Uint8Array(64 * KiB));
    const total = 100 * all.length;
    for (let sent = 0; sent < total;) {
      const { limit } = await front.until(() => {
        const taken = front.heard.findLast((message) => message.type === "taken");
        return taken?.type === "taken" && taken.limit > sent ? taken : undefined;
      });
      const size = Math.min(limit, total, sent - (sent % all.length) + all.length) - sent;
      const start = sent % all.length;
      front.send({ type: "input", job, writer, offset: sent }, all.subarray(start, start + size));
      sent += size;
    }
    front.send({ type: "end_input", job, writer, offset: total });
    await front.hear("closed", (message) => message.job === job);
    const expected = new Bun.CryptoHasher("sha256");
    for (let count = 0; count < 100; count++) expected.update(all);
    expect(textOf(keeper.ledger(job))).toBe(`${expected.digest("hex")}  -\n`);
  }, 30_000);

  test("ends for all writers at the end of one, and later input is refused as closed", async () => {
    await using world = await setup();
    const { keeper, front, writer } = world;
    const other = newWriter();
    const job = await keeper.spawn(front, ["sh", "-c", "cat; exec sleep 60"], { stdin: true });
    front.send({ type: "input", job, writer: other, offset: 0 }, text("from another\n"));
    front.send({ type: "end_input", job, writer, offset: 0 });
    await front.hear("input_closed", (message) => message.writer === writer);
    await front.hear("input_closed", (message) => message.writer === other);
    await eventually(() => textOf(keeper.ledger(job)) === "from another\n");
    const late = newWriter();
    front.send({ type: "input", job, writer: late, offset: 0 }, text("late\n"));
    await front.hear("input_closed", (message) => message.writer === late);
    await keeper.run(front, "true");
    expect(textOf(keeper.ledger(job))).toBe("from another\n");
  });

  test("is closed to its writers once the program has exited, and of a job that is over or never was", async () => {
    await using world = await setup();
    const { keeper, front, writer } = world;
    const job = await keeper.spawn(front, ["sh", "-c", "sleep 60 & read line"], { stdin: true });
    front.send({ type: "writer", job, writer });
    await front.hear("taken");
    front.send({ type: "input", job, writer, offset: 0 }, text("line\n"));
    await keeper.exitOf(front, job);
    await front.hear("input_closed", (message) => message.writer === writer);
    const over = await keeper.spawn(front, ["true"], { stdin: true });
    await front.hear("closed", (message) => message.job === over);
    for (const gone of [over, v.parse(WriterId, Bun.randomUUIDv7())]) {
      front.sendRaw({ type: "writer", job: gone, writer });
      await front.hear(
        "input_closed",
        (message) => message.writer === writer && message.job === (gone as string),
      );
    }
  });

  test("of one job never reaches another, also when a program dies with its pipe full", async () => {
    await using world = await setup();
    const { keeper, front } = world;
    for (let round = 0; round < 20; round++) {
      const writer = newWriter();
      const stuck = await keeper.spawn(front, ["sleep", "60"], { stdin: true });
      for (let offset = 0; offset < INPUT_WINDOW_BYTES; offset += 32 * KiB)
        front.send({ type: "input", job: stuck, writer, offset }, new Uint8Array(32 * KiB).fill(0x2a));
      await front.hear("taken", (message) => message.writer === writer);
      front.send({ type: "signal", request: keeper.nextRequest(), job: stuck, signal: "SIGKILL" });
      // The descriptor that the dead job's input had is given to the next ones.
      const next = await Promise.all(
        Array.from({ length: 3 }, () => keeper.spawn(front, ["cat"], { stdin: true })),
      );
      await front.hear("closed", (message) => message.job === stuck);
      for (const job of next) {
        front.send({ type: "input", job, writer, offset: 0 }, text("mine"));
        front.send({ type: "end_input", job, writer, offset: 4 });
        await front.hear("closed", (message) => message.job === job);
        expect(textOf(keeper.ledger(job))).toBe("mine");
      }
    }
  }, 60_000);
});

/** An input whose pipe takes everything at once and remembers it. */
function setupInput(pipe?: Partial<InputPipe>) {
  const written: Uint8Array[] = [];
  let ended = false;
  const told: string[] = [];
  const input = new JobInput(
    {
      write: async (bytes) => void written.push(bytes),
      end: () => {
        ended = true;
      },
      ...pipe,
    },
    {
      onTaken: (writer, held, limit) => told.push(`${writer} ${held} ${limit}`),
      onClosed: (writer) => told.push(`${writer} closed`),
    },
  );
  return { input, told, text: () => Buffer.concat(written).toString(), hasEnded: () => ended };
}

test("JobInput gives each writer's bytes once, in order, however they are cut, repeated and overlapped", async () => {
  const pieces = fc.array(
    fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 0, max: 9 })),
    {
      maxLength: 40,
    },
  );
  await fc.assert(
    fc.asyncProperty(
      fc.string({ minLength: 1, maxLength: 30, unit: "binary-ascii" }),
      pieces,
      async (sentence, cuts) => {
        const { input, text: written, hasEnded } = setupInput();
        const writer = newWriter();
        const bytes = text(sentence);
        let held = 0;
        for (const [place, size] of cuts) {
          const offset = Math.floor(place * held);
          const piece = bytes.subarray(offset, offset + size);
          input.write(writer, offset, piece);
          held = Math.max(held, offset + piece.length);
        }
        input.write(writer, held, bytes.subarray(held));
        input.end(writer, bytes.length);
        await eventually(hasEnded);
        expect(written()).toBe(sentence);
      },
    ),
  );
});

test("JobInput refuses bytes and ends that leave some out", () => {
  const { input } = setupInput();
  const writer = newWriter();
  input.write(writer, 0, text("abc"));
  expect(() => input.write(writer, 4, text("e"))).toThrow("only 3 bytes came before it");
  expect(() => input.end(writer, 4)).toThrow("only 3 bytes came before it");
});

test("JobInput says that bytes are accepted as soon as it holds them", () => {
  const { input, told } = setupInput({ write: () => new Promise(() => {}) });
  const writer = newWriter();
  input.write(writer, 0, text("abc"));
  expect(told.at(-1)).toBe(`${writer} 3 ${INPUT_WINDOW_BYTES}`);
});

test("JobInput closes for every writer when the program closes its end", async () => {
  const { input, told, hasEnded } = setupInput({ write: async () => Promise.reject(new Error("EPIPE")) });
  const [one, other] = [newWriter(), newWriter()];
  input.open(other);
  input.write(one, 0, text("abc"));
  await eventually(hasEnded);
  expect(told).toContain(`${one} closed`);
  expect(told).toContain(`${other} closed`);
});

test("JobInput refuses bytes beyond a writer's limit", () => {
  const { input, told } = setupInput({ write: () => new Promise(() => {}) });
  const writer = newWriter();
  input.write(writer, 0, new Uint8Array(INPUT_WINDOW_BYTES));
  expect(told.at(-1)).toBe(`${writer} ${INPUT_WINDOW_BYTES} ${INPUT_WINDOW_BYTES}`);
  expect(() => input.write(writer, INPUT_WINDOW_BYTES, text("x"))).toThrow(
    `its writer may send up to ${INPUT_WINDOW_BYTES}`,
  );
});

test("JobInput holds little however many writers come and go, and goes on with all of them when it drains", async () => {
  const limits = new Map<WriterId, number>();
  const stalled = Promise.withResolvers<void>();
  let drained = 0;
  const pipe = {
    end() {},
    async write(bytes: Uint8Array) {
      await stalled.promise;
      drained += bytes.length;
    },
  };
  const input = new JobInput(pipe, {
    onTaken: (writer, _held, limit) => void limits.set(writer, limit),
    onClosed() {},
  });
  let held = 0;
  let last = newWriter();
  for (let count = 0; count < 3 * MAX_WRITERS; count++) {
    last = newWriter();
    input.open(last);
    const limit = limits.get(last) ?? 0;
    held += limit;
    input.write(last, 0, new Uint8Array(limit));
  }
  expect(limits.get(last)).toBe(0);
  expect(held).toBeLessThan(2 * JOB_INPUT_BYTES);
  stalled.resolve();
  await eventually(() => drained === held);
  expect(limits.get(last)).toBeGreaterThanOrEqual(MIN_INPUT_WINDOW_BYTES);
});

test("JobInput remembers so many writers, and forgets the oldest first", () => {
  const { input, told } = setupInput({ write: () => new Promise(() => {}) });
  const writers = Array.from({ length: MAX_WRITERS }, newWriter);
  for (const writer of writers) input.write(writer, 0, text("a"));
  const [oldest, second] = writers as [WriterId, WriterId];
  input.open(oldest);
  expect(told.at(-1)).toBe(`${oldest} 1 ${INPUT_WINDOW_BYTES}`);
  input.open(newWriter());
  input.open(second);
  expect(told.at(-1)).toStartWith(`${second} 1 `);
  input.open(oldest);
  expect(told.at(-1)).toBe(`${oldest} 0 ${MIN_INPUT_WINDOW_BYTES}`);
});

test("JobInput without a pipe is closed to everybody", () => {
  const told: string[] = [];
  const input = new JobInput(undefined, {
    onTaken: () => told.push("taken"),
    onClosed: () => told.push("closed"),
  });
  input.open(newWriter());
  input.write(newWriter(), 0, text("x"));
  input.end(newWriter(), 0);
  expect(told).toEqual(["closed", "closed"]);
});

describe("JobInput, of what is to come as a whole,", () => {
  /** An input whose pipe takes nothing until `go`. */
  function setupBlocked() {
    const gate = Promise.withResolvers<void>();
    const written: Uint8Array[] = [];
    const world = setupInput({
      write: async (bytes) => {
        await gate.promise;
        written.push(bytes);
      },
    });
    return { ...world, go: gate.resolve, sizes: () => written.map(({ length }) => length) };
  }

  test("takes it beyond its writer's limit, however many writers there are", async () => {
    const { input, told } = setupInput();
    for (let count = 1; count < MAX_WRITERS; count++) input.open(newWriter());
    const writer = newWriter();
    const whole = new Uint8Array(INPUT_WINDOW_BYTES);
    input.open(writer);
    expect(told.at(-1)).toBe(`${writer} 0 ${MIN_INPUT_WINDOW_BYTES}`);
    expect(() => input.write(writer, 0, whole)).toThrow("may send up to");
    input.write(writer, 0, whole, true);
    expect(told.at(-1)?.split(" ").slice(0, 2)).toEqual([writer, `${whole.length}`]);
  });

  test("keeps nothing of another writer's from coming between its bytes", async () => {
    const { input, go, sizes } = setupBlocked();
    const [first, other] = [newWriter(), newWriter()];
    input.write(first, 0, new Uint8Array(200 * KiB), true);
    input.write(other, 0, new Uint8Array(7));
    input.write(first, 200 * KiB, new Uint8Array(100 * KiB), true);
    go();
    await eventually(() => sizes().length === 3);
    expect(sizes()).toEqual([200 * KiB, 7, 100 * KiB]);
  });

  test("leaves it when there is no room, holds no more than that, and says when there is", async () => {
    const { input, told, go, sizes } = setupBlocked();
    const writers = Array.from({ length: 40 }, newWriter);
    const whole = new Uint8Array(INPUT_WINDOW_BYTES);
    const send = (writer: WriterId) => input.write(writer, 0, whole, true);
    writers.forEach((writer) => input.open(writer));
    writers.forEach(send);
    const held = () =>
      writers.filter((writer) => told.some((line) => line.startsWith(`${writer} ${whole.length} `)));
    expect(held().length * whole.length).toBeLessThanOrEqual(JOB_INPUT_BYTES + whole.length);
    const left = writers.filter((writer) => !held().includes(writer));
    expect(left.length).toBeGreaterThan(0);
    told.length = 0;
    go();
    // Each of those is told that it holds nothing, and may send.
    await eventually(() => left.every((writer) => told.some((line) => line.startsWith(`${writer} 0 `))));
    // Room is not for all of them at once; what one holds already it does not take again.
    await eventually(() => {
      left.forEach(send);
      return sizes().length === writers.length;
    });
    expect(sizes().every((size) => size === whole.length)).toBe(true);
  });
});

describe("JobInput of a terminal", () => {
  const CTRL_D = Uint8Array.of(4);
  const setupTerminal = () => setupInput({ endOfFile: () => CTRL_D });

  test("has the end of input typed, and goes on for the others", async () => {
    const { input, told, text: typed } = setupTerminal();
    const [first, second] = [newWriter(), newWriter()];
    input.write(first, 0, text("all\n"));
    input.end(first, 4);
    expect(told.at(-1)).toBe(`${first} closed`);
    input.write(second, 0, text("more\r"));
    await eventually(() => typed() === "all\n\x04more\r");
  });

  test("types it twice in the middle of a line, of which the first only sends that on", async () => {
    const { input, text: typed } = setupTerminal();
    const writer = newWriter();
    input.write(writer, 0, text("half"));
    input.end(writer, 4);
    await eventually(() => typed() === "half\x04\x04");
  });

  test("types it once, however often a writer that has come again says so", async () => {
    const { input, told, text: typed } = setupTerminal();
    const writer = newWriter();
    input.end(writer, 0);
    input.open(writer);
    input.end(writer, 0);
    expect(told.slice(-1)).toEqual([`${writer} closed`]);
    await eventually(() => typed() !== "");
    expect(typed()).toBe("\x04");
  });
});
