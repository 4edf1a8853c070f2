import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import * as v from "valibot";
import {
  encodeLinkFrame,
  FrontMessage,
  KeeperMessage,
  LinkDecoder,
  type LinkFrame,
  LinkWriter,
} from "../../src/keeper/link.ts";
import { createStart } from "../support/start.ts";

const job = Bun.randomUUIDv7();
const holder = crypto.randomUUID();

const frames = fc.array(
  fc.record({
    message: fc.record({ type: fc.constant("reply" as const), request: fc.nat() }),
    bytes: fc.uint8Array({ maxLength: 300 }),
  }),
  { maxLength: 12 },
);

/** Feeds bytes to a decoder in pieces of the given sizes, then the rest. Each piece is overwritten afterwards. */
function decode(all: Uint8Array, sizes: readonly number[]): LinkFrame[] {
  const decoder = new LinkDecoder();
  const decoded: LinkFrame[] = [];
  let start = 0;
  for (const size of [...sizes, all.length]) {
    const piece = all.slice(start, start + size);
    start += piece.length;
    for (const { message, bytes } of decoder.push(piece)) decoded.push({ message, bytes: bytes.slice() });
    piece.fill(0xff);
  }
  return decoded;
}

test("LinkDecoder gives back what encodeLinkFrame wrote, however it is cut", () => {
  fc.assert(
    fc.property(frames, fc.array(fc.integer({ min: 0, max: 70 })), (sent, sizes) => {
      const all = Buffer.concat(sent.map(({ message, bytes }) => encodeLinkFrame(message, bytes)));
      expect(decode(new Uint8Array(all), sizes)).toEqual(sent);
    }),
  );
});

test("LinkDecoder cuts one frame at every offset", () => {
  const message = { type: "reply" as const, request: 7 };
  const frame = encodeLinkFrame(message, new Uint8Array([1, 2, 3]));
  for (let cut = 0; cut <= frame.length; cut++) {
    expect(decode(frame, [cut])).toEqual([{ message, bytes: new Uint8Array([1, 2, 3]) }]);
  }
});

test("LinkDecoder refuses a frame beyond all bounds, and one whose JSON is longer than itself", () => {
  const tooLong = new Uint8Array(8);
  new DataView(tooLong.buffer).setUint32(0, 65 * 1024 * 1024);
  expect(() => [...new LinkDecoder().push(tooLong)]).toThrow("a frame is too long");
  const contradictory = new Uint8Array(12);
  new DataView(contradictory.buffer).setUint32(0, 8);
  new DataView(contradictory.buffer).setUint32(4, 5);
  expect(() => [...new LinkDecoder().push(contradictory)]).toThrow("a frame is too long");
});

test("LinkWriter writes every byte in order, however little the socket takes at a time", () => {
  fc.assert(
    fc.property(frames, fc.array(fc.integer({ min: -1, max: 40 })), (sent, takes) => {
      const taken: Uint8Array[] = [];
      const queue = [...takes];
      const socket = {
        write(bytes: Uint8Array) {
          const count = Math.min(queue.shift() ?? bytes.length, bytes.length);
          taken.push(bytes.slice(0, Math.max(0, count)));
          return count;
        },
      };
      // Of the socket's many ways to write, LinkWriter uses the one with bytes.
      const writer = new LinkWriter(socket as unknown as Bun.Socket);
      for (const { message, bytes } of sent) writer.write(encodeLinkFrame(message, bytes));
      for (let tries = 0; !writer.isClear; tries++) {
        expect(tries).toBeLessThanOrEqual(takes.length + 1);
        writer.drain();
      }
      const all = Buffer.concat(sent.map(({ message, bytes }) => encodeLinkFrame(message, bytes)));
      expect(Buffer.compare(Buffer.concat(taken), all)).toBe(0);
    }),
  );
});

test("LinkWriter is not clear while the socket has not taken everything", () => {
  let room = 5;
  const socket = {
    write(bytes: Uint8Array) {
      const count = Math.min(room, bytes.length);
      room -= count;
      return count;
    },
  };
  const writer = new LinkWriter(socket as unknown as Bun.Socket);
  expect(writer.isClear).toBe(true);
  writer.write(new Uint8Array(8));
  expect(writer.isClear).toBe(false);
  room = 3;
  writer.drain();
  expect(writer.isClear).toBe(true);
});

describe("FrontMessage", () => {
  test("ignores fields that it does not know", () => {
    expect(v.parse(FrontMessage, { type: "release", job, holder, mood: "good" }) as object).toEqual({
      type: "release",
      job,
      holder,
    });
  });

  test("takes an environment whole, whatever its variables are called", () => {
    const env = '{"__proto__":"a","PATH":"/bin","constructor":"b","prototype":"c","toString":"d"}';
    const start = createStart();
    const spawn = { type: "spawn", request: 1, start, env: JSON.parse(env), umask: 0, stdin: false };
    const parsed = v.parse(FrontMessage, spawn);
    expect(parsed.type === "spawn" && JSON.stringify(parsed.env)).toBe(env);
  });

  test.each([
    ["an unknown verb", { type: "dance" }],
    ["a job id that is a path", { type: "release", job: "../../etc", holder }],
    ["a job id in capitals", { type: "release", job: job.toUpperCase(), holder }],
    ["a negative position", { type: "hold", job, holder, position: -1 }],
    ["a position that is no whole number", { type: "hold", job, holder, position: 1.5 }],
    ["a position beyond 2^53", { type: "hold", job, holder, position: 2 ** 53 }],
    ["a stream that is none", { type: "discard", job, holder, stream: "stdin" }],
    ["a signal that is none", { type: "signal", request: 1, job, signal: "TERM" }],
    ["a spawn without a start", { type: "spawn", request: 1, env: {}, umask: 0, stdin: false }],
  ])("refuses %s", (_what, message) => {
    expect(v.is(FrontMessage, message)).toBe(false);
  });
});

test("KeeperMessage takes progress with and without an exit", () => {
  const progress = { type: "progress", job, next: 3, position: 99 };
  const totals = { packets: 2, values: 0, stdoutBytes: 1, stderrBytes: 0 };
  const exit = { outcome: { type: "exited", code: 0 }, totals, endedAt: "then" };
  expect(v.parse(KeeperMessage, progress) as object).toEqual(progress);
  expect(v.parse(KeeperMessage, { ...progress, exit }) as object).toEqual({ ...progress, exit });
});
