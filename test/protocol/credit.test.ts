import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { AppError } from "../../src/protocol/error.ts";
import { ReceiveCredit, SendCredit } from "../../src/protocol/credit.ts";

describe("SendCredit", () => {
  test("lets nothing be sent before it is granted, and then so much", () => {
    const credit = new SendCredit();
    expect(credit.available).toBe(0);
    expect(credit.grant({ received: 0, limit: 100 })).toBe(0);
    expect(credit.send(60)).toBe(0);
    expect(credit.send(30)).toBe(60);
    expect(credit).toMatchObject({ sent: 90, available: 10, inFlight: 90 });
    expect(credit.grant({ received: 60, limit: 160 })).toBe(60);
    expect(credit).toMatchObject({ sent: 90, available: 70, inFlight: 30 });
  });

  test("ignores an older grant that arrives later, and one that is repeated", () => {
    const credit = new SendCredit();
    credit.grant({ received: 0, limit: 100 });
    credit.send(80);
    expect(credit.grant({ received: 50, limit: 150 })).toBe(50);
    expect(credit.grant({ received: 20, limit: 120 })).toBe(0);
    expect(credit.grant({ received: 50, limit: 150 })).toBe(0);
    expect(credit).toMatchObject({ available: 70, inFlight: 30 });
  });

  test("counts what has come as under way no more, consumed or not", () => {
    const credit = new SendCredit();
    credit.grant({ received: 0, limit: 100 });
    credit.send(80);
    expect(credit.grant({ arrived: 50, received: 10, limit: 110 })).toBe(50);
    expect(credit).toMatchObject({ available: 30, inFlight: 30 });
    expect(credit.grant({ arrived: 50, received: 50, limit: 150 })).toBe(0);
    expect(() => credit.grant({ arrived: 81, received: 50, limit: 150 })).toThrow("only 80 were sent");
  });

  test("refuses a grant that says more was received than was sent", () => {
    const credit = new SendCredit();
    credit.grant({ received: 0, limit: 100 });
    credit.send(80);
    expect(() => credit.grant({ received: 81, limit: 200 })).toThrow(
      expect.objectContaining({ code: "protocol_error" }),
    );
    expect(credit.available).toBe(20);
  });
});

describe("ReceiveCredit", () => {
  test("refuses data before any was granted", () => {
    const credit = new ReceiveCredit(100);
    expect(() => credit.arrive(0, 1)).toThrow("credit ends at 0");
  });

  test("refuses data beyond what was granted, at the byte", () => {
    const credit = new ReceiveCredit(100);
    expect(credit.take()).toEqual({ arrived: 0, received: 0, limit: 100 });
    credit.arrive(0, 99);
    expect(() => credit.arrive(99, 2)).toThrow(expect.objectContaining({ code: "protocol_error" }));
    credit.arrive(99, 1);
    credit.consume(100);
    // What was consumed is not granted before it is said.
    expect(() => credit.arrive(100, 1)).toThrow("credit ends at 100");
    expect(credit.take()).toEqual({ arrived: 100, received: 100, limit: 200 });
    credit.arrive(100, 100);
  });

  test("drops data that came before, and refuses what leaves out bytes or overlaps", () => {
    const credit = new ReceiveCredit(100);
    credit.take();
    expect(credit.arrive(0, 10)).toBe(true);
    for (const position of [0, 9]) expect(credit.arrive(position, 1)).toBe(false);
    const thrown = (position: number, bytes: number) => {
      try {
        return String(credit.arrive(position, bytes));
      } catch (error) {
        return error instanceof AppError ? error.code : "";
      }
    };
    expect(thrown(11, 1)).toBe("sequence_gap");
    expect(thrown(9, 2)).toBe("protocol_error");
    expect(credit.arrived).toBe(10);
  });

  test("is due at first, then when an eighth of the window is consumed, and counts what is less", () => {
    const credit = new ReceiveCredit(80);
    expect(credit.isDue).toBe(true);
    credit.take();
    expect(credit.isDue).toBe(false);
    credit.arrive(0, 50);
    credit.consume(9);
    expect(credit.isDue).toBe(false);
    credit.consume(1);
    expect(credit.isDue).toBe(true);
    credit.take();
    expect(credit.isDue).toBe(false);
    expect(credit.untold).toBe(0);
    credit.consume(9);
    expect(credit.isDue).toBe(false);
    expect(credit.untold).toBe(9);
    credit.take();
    credit.arrive(50, 30);
    expect(credit.isDue).toBe(false);
    expect(credit.untold).toBe(30);
  });
});

test("SendCredit and ReceiveCredit never stop for good, and never hold more than the window", () => {
  const window = fc.integer({ min: 1, max: 1_000 });
  const sizes = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(window, sizes, sizes, (bytes, sends, consumes) => {
      const sender = new SendCredit();
      const receiver = new ReceiveCredit(bytes);
      let left = 20_000;
      let consumed = 0;
      for (let step = 0; left > 0; step++) {
        expect(step).toBeLessThan(100_000);
        // A grant that is not due goes out a little later: here, when nothing else can happen.
        if (receiver.isDue || (sender.available === 0 && consumed === receiver.arrived))
          sender.grant(receiver.take());
        const size = Math.min(sends[step % sends.length] ?? 1, sender.available, left);
        if (size > 0) {
          receiver.arrive(sender.send(size), size);
          left -= size;
        }
        const pending = receiver.arrived - consumed;
        expect(pending).toBeLessThanOrEqual(bytes);
        const taken = Math.min(consumes[step % consumes.length] ?? 1, pending);
        consumed += taken;
        receiver.consume(taken);
      }
    }),
  );
});
