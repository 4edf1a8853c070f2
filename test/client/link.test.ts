import { describe, expect, test } from "bun:test";
import { Link } from "../../src/client/link.ts";
import { ACK_EVERY_FRAMES, CONTROL_WINDOW_FRAMES } from "../../src/protocol/limits.ts";
import { eventually } from "../support/eventually.ts";
import { ServerPeer } from "../support/server-peer.ts";

function setup() {
  const peer = new ServerPeer();
  const link = new Link();
  link.open(peer);
  const receive = (frame: object) => link.receive(JSON.stringify(frame));
  const beatOf = (seq: number) => ({ type: "accepted", seq, call: 1, job: crypto.randomUUID(), number: 1 });
  return { peer, link, receive, beatOf };
}

describe("Link", () => {
  test("numbers what it sends", () => {
    const { peer, link } = setup();
    link.send({ type: "close", channel: 1 });
    link.send({ type: "close", channel: 2 });
    expect(peer.of("close").map(({ seq }) => seq)).toEqual([1, 2]);
  });

  test("takes an acknowledgement along with the next frame", () => {
    const { peer, link, receive, beatOf } = setup();
    receive(beatOf(1));
    link.send({ type: "close", channel: 1 });
    expect(peer.heard).toEqual([{ type: "close", channel: 1, seq: 1, ack: 1 }]);
  });

  test("acknowledges soon when nothing else is sent, and at once when much is owed", async () => {
    const { peer, receive, beatOf } = setup();
    receive(beatOf(1));
    await eventually(() => peer.of("ack").length === 1);
    for (let seq = 2; seq < 2 + ACK_EVERY_FRAMES; seq++) receive(beatOf(seq));
    expect(peer.of("ack").map(({ ack }) => ack)).toEqual([1, 1 + ACK_EVERY_FRAMES]);
  });

  test("drops what was sent twice and refuses what leaves a gap", () => {
    const { receive, beatOf } = setup();
    expect(receive(beatOf(1))).toBeDefined();
    expect(receive(beatOf(1))).toBeUndefined();
    expect(() => receive(beatOf(3))).toThrow(expect.objectContaining({ code: "sequence_gap" }));
  });

  test("stops at a full window, credit included, until something is acknowledged", () => {
    const { peer, link, receive } = setup();
    for (let channel = 1; channel <= CONTROL_WINDOW_FRAMES; channel++) link.send({ type: "close", channel });
    link.send({ type: "close", channel: 999 });
    link.grant({ channel: 999, received: 0, limit: 1 });
    expect(peer.heard).toHaveLength(CONTROL_WINDOW_FRAMES);
    receive({ type: "ack", ack: 1 });
    expect(peer.heard.slice(CONTROL_WINDOW_FRAMES)).toMatchObject([
      { type: "close", channel: 999, seq: CONTROL_WINDOW_FRAMES + 1 },
      { type: "credit", channel: 999 },
    ]);
  });
});
