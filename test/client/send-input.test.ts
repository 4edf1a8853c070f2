import { describe, expect, test } from "bun:test";
import { sendInput } from "../../src/client/send-input.ts";
import { Session } from "../../src/client/session.ts";
import { MAX_SEND_BYTES } from "../../src/protocol/limits.ts";
import { ServerPeer } from "../support/server-peer.ts";

const id = "00000000-0000-7000-8000-000000000001";

/** A server that takes all input. */
function setup() {
  const peer = new ServerPeer();
  const session = new Session(peer, { heartbeat: 15_000, patience: 10_000, now: () => performance.now() });
  peer.onFrame = (frame) => {
    if (frame.type !== "call") return;
    const { text } = frame.input.value as { text: { bytes: string } };
    const value = { id, number: 3, bytes: Buffer.from(text.bytes, "base64").length };
    queueMicrotask(() => peer.say({ type: "result", call: frame.call, result: { encoding: "json", value } }));
  };
  peer.welcome();
  const pieces = () =>
    peer.of("call").map(({ input: { value } }) => {
      const { job, text, offset, eof, writer } = value as Record<string, never> & { text: { bytes: string } };
      return { job, offset, eof, writer: String(writer), bytes: Buffer.from(text.bytes, "base64") };
    });
  return { session, pieces };
}

describe("sendInput()", () => {
  test("gives exactly the bytes, and a newline only when asked", async () => {
    const { session, pieces } = setup();
    expect(await sendInput(session, "3", "yes")).toEqual({ id: id as never, number: 3, bytes: 3 });
    expect(await sendInput(session, "3", "yes\n", { newline: true })).toMatchObject({ bytes: 5 });
    await sendInput(session, "3", new Uint8Array([0, 255]));
    await sendInput(session, "3", "");
    expect(pieces().map(({ bytes }) => [...bytes])).toEqual([
      [...Buffer.from("yes")],
      [...Buffer.from("yes\n\n")],
      [0, 255],
      [],
    ]);
  });

  test("makes one piece of what comes in many chunks", async () => {
    const { session, pieces } = setup();
    const chunks = (async function* () {
      for (const word of ["a", "bc", "d"]) yield Buffer.from(word);
    })();
    await sendInput(session, "@last", chunks, { newline: true, eof: true });
    expect(pieces()).toMatchObject([{ job: "@last", offset: 0, eof: true, bytes: Buffer.from("abcd\n") }]);
  });

  test("cuts what is too much for one, for one writer, one after another, and ends only the last", async () => {
    const { session, pieces } = setup();
    const all = crypto.getRandomValues(Buffer.alloc(65_536 * 9 + 17));
    const chunks = (async function* () {
      for (let start = 0; start < all.length; start += 100_000) yield all.subarray(start, start + 100_000);
    })();
    expect(await sendInput(session, "3", chunks, { eof: true })).toMatchObject({ bytes: all.length });
    const sent = pieces();
    expect(Buffer.concat(sent.map(({ bytes }) => bytes)).equals(all)).toBe(true);
    expect(new Set(sent.map(({ writer }) => writer)).size).toBe(1);
    expect(sent.every(({ bytes }) => bytes.length <= MAX_SEND_BYTES)).toBe(true);
    expect(sent.map(({ offset }) => Number(offset))).toEqual(
      sent.map((_, index) => sent.slice(0, index).reduce((sum, { bytes }) => sum + bytes.length, 0)),
    );
    // By its id, so that it stays the same job: @last may be another's by then.
    expect(sent.map(({ job, eof }) => [String(job), Boolean(eof)])).toEqual([
      ["3", false],
      ...sent.slice(2).map(() => [id, false] as [string, boolean]),
      [id, true],
    ]);
  });
});
