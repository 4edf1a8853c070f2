import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { CONTROL_WINDOW_FRAMES } from "../../src/protocol/limits.ts";
import { Inbox, Outbox } from "../../src/protocol/reliable.ts";

interface Note {
  readonly text: string;
}

describe("Outbox", () => {
  test("numbers frames from 1 and keeps them until they are acknowledged", () => {
    const outbox = new Outbox<Note>();
    const frames = ["a", "b", "c"].map((text) => outbox.stamp({ text }));
    expect(frames).toEqual([
      { text: "a", seq: 1 },
      { text: "b", seq: 2 },
      { text: "c", seq: 3 },
    ]);
    outbox.acknowledge(2);
    expect(outbox.unacknowledged()).toEqual([{ text: "c", seq: 3 }]);
    outbox.acknowledge(1);
    expect(outbox.unacknowledged()).toEqual([{ text: "c", seq: 3 }]);
    outbox.acknowledge(3);
    expect(outbox.unacknowledged()).toEqual([]);
    expect(outbox.stamp({ text: "d" }).seq).toBe(4);
  });

  test("refuses an acknowledgement of what was never sent", () => {
    const outbox = new Outbox<Note>();
    outbox.acknowledge(0);
    expect(() => outbox.acknowledge(1)).toThrow(expect.objectContaining({ code: "protocol_error" }));
    outbox.stamp({ text: "a" });
    outbox.acknowledge(1);
    expect(() => outbox.acknowledge(2)).toThrow("frame 2 was never sent");
  });

  test("is full at its window, and not once something is acknowledged", () => {
    const outbox = new Outbox<Note>();
    for (let count = 0; count < CONTROL_WINDOW_FRAMES; count++) {
      expect(outbox.isFull).toBe(false);
      outbox.stamp({ text: "" });
    }
    expect(outbox.isFull).toBe(true);
    outbox.acknowledge(1);
    expect(outbox.isFull).toBe(false);
  });
});

describe("Inbox", () => {
  test("accepts each frame once, and drops it when it is repeated", () => {
    const inbox = new Inbox();
    expect([1, 1, 2, 1, 2, 3].map((seq) => inbox.accept(seq))).toEqual([
      true,
      false,
      true,
      false,
      false,
      true,
    ]);
    expect(inbox.received).toBe(3);
  });

  test("refuses a frame when one is missing before it, and goes on where it stands", () => {
    const inbox = new Inbox();
    inbox.accept(1);
    expect(() => inbox.accept(3)).toThrow(expect.objectContaining({ code: "sequence_gap" }));
    expect(() => inbox.accept(3)).toThrow("Cannot accept frame 3: frame 2 is missing");
    expect(inbox.received).toBe(1);
    expect(inbox.accept(2)).toBe(true);
    expect(inbox.accept(3)).toBe(true);
  });

  test("owes an acknowledgement for what is new, not for what is repeated, until it is taken", () => {
    const inbox = new Inbox();
    expect(inbox.owed).toBe(0);
    for (const seq of [1, 2, 2, 1]) inbox.accept(seq);
    expect(inbox.owed).toBe(2);
    expect(inbox.takeAck()).toBe(2);
    expect(inbox.owed).toBe(0);
    inbox.accept(3);
    expect(inbox.owed).toBe(1);
  });
});

test("Outbox and Inbox carry every frame across exactly once and in order, however often the link breaks", () => {
  const step = fc.constantFrom("send", "deliver", "acknowledge", "lose");
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const outbox = new Outbox<Note>();
      const inbox = new Inbox();
      const got: string[] = [];
      let sent = 0;
      let flying: { text: string; seq: number }[] = [];
      const deliver = () => {
        const frame = flying.shift();
        if (frame !== undefined && inbox.accept(frame.seq)) got.push(frame.text);
      };
      const act = {
        send: () => void flying.push(outbox.stamp({ text: String(sent++) })),
        deliver,
        acknowledge: () => outbox.acknowledge(inbox.takeAck()),
        // The connection breaks; the next one begins with what is not acknowledged.
        lose: () => void (flying = [...outbox.unacknowledged()]),
      };
      for (const name of steps) act[name]();
      act.lose();
      while (flying.length > 0) deliver();
      expect(got).toEqual(Array.from({ length: sent }, (_, index) => String(index)));
    }),
  );
});
