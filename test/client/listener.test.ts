import { describe, expect, test } from "bun:test";
import { Limit } from "../../src/client/limit.ts";
import { Listener, type ListenerOptions, type JobListener } from "../../src/client/listener.ts";
import type { Ending, Reading } from "../../src/client/reading.ts";
import { Mailbox } from "../../src/lib/mailbox.ts";
import { AppError } from "../../src/protocol/error.ts";
import type { JobId } from "../../src/protocol/id.ts";
import type { Outcome } from "../../src/protocol/outcome.ts";
import type { Packet } from "../../src/protocol/packet.ts";
import { eventually } from "../support/eventually.ts";

const JOB = "00000000-0000-7000-8000-000000000007" as JobId;
const FAILED: Outcome = { type: "exited", code: 3 };

const out = (number: number): Packet => ({ type: "stdout", number, at: 0, bytes: Buffer.from(`${number}`) });

/** A job that says what the test does, and how it is read. */
function setup(options: ListenerOptions = {}) {
  const mailbox = new Mailbox<Packet>();
  const ended = Promise.withResolvers<Ending<Outcome>>();
  const consumed: number[] = [];
  const calls = { closed: 0, taken: 0 };
  async function* say(): AsyncGenerator<Packet, Ending<Outcome>, void> {
    for await (const packet of mailbox) {
      calls.taken++;
      yield packet;
    }
    return await ended.promise;
  }
  const reading: Reading<Packet, Outcome, JobId> = {
    id: JOB,
    job: JOB,
    number: 7,
    name: "job 7",
    packets: say(),
    ending: undefined,
    consumed: ({ number }) => void consumed.push(number),
    close: () => void calls.closed++,
    send: async () => {},
    kill: async () => undefined,
  };
  const listener: JobListener = new Listener(reading, options);
  const end = (ending: Partial<Ending<Outcome>> = {}) => {
    mailbox.close();
    ended.resolve({ outcome: { type: "exited", code: 0 }, error: undefined, failure: undefined, ...ending });
  };
  return { listener, mailbox, end, consumed, calls };
}

const numberOf = (packet: { readonly type: string; readonly number?: number } | null) =>
  packet?.number ?? null;

describe("Listener.next()", () => {
  test("gives each packet once, null at the end, and null ever after", async () => {
    const { listener, mailbox, end } = setup();
    mailbox.push(out(0));
    mailbox.push(out(1));
    end();
    expect([await listener.next(), await listener.next()].map(numberOf)).toEqual([0, 1]);
    expect(listener.done).toBe(false);
    expect([await listener.next(), await listener.next(), await listener.next()]).toEqual([null, null, null]);
    expect(listener.done).toBe(true);
  });

  test("keeps the order for several that wait at once", async () => {
    const { listener, mailbox, end } = setup();
    const waiting = [listener.next(), listener.next(), listener.next()];
    mailbox.push(out(0));
    mailbox.push(out(1));
    end();
    expect((await Promise.all(waiting)).map(numberOf)).toEqual([0, 1, null]);
  });

  test("reports a packet consumed only when the next is asked for", async () => {
    const { listener, mailbox, end, consumed } = setup();
    mailbox.push(out(0));
    mailbox.push(out(1));
    await listener.next();
    expect(consumed).toEqual([]);
    await listener.next();
    expect(consumed).toEqual([0]);
    end();
    await listener.next();
    expect(consumed).toEqual([0, 1]);
  });

  test("throws listener_timeout when nothing came for maxInterval, and loses nothing by that", async () => {
    const { listener, mailbox, end, calls } = setup({ maxInterval: 20 });
    const error = await listener.next().catch((error: unknown) => error);
    expect(error).toMatchObject({ name: "ClientError", code: "listener_timeout", details: { job: JOB } });
    await expect(listener.next()).rejects.toMatchObject({ code: "listener_timeout" });
    mailbox.push(out(0));
    end();
    expect(numberOf(await listener.next())).toBe(0);
    expect(await listener.next()).toBeNull();
    expect(calls.closed).toBe(0);
  });

  test("obeys a maxInterval that is set while it waits, also to wait on", async () => {
    const { listener, mailbox } = setup();
    const waiting = listener.next();
    listener.maxInterval = 20;
    await expect(waiting).rejects.toMatchObject({ code: "listener_timeout" });
    listener.maxInterval = 10;
    const patient = listener.next();
    listener.maxInterval = undefined;
    await Bun.sleep(40); // longer than the interval that was taken back
    mailbox.push(out(0));
    expect(numberOf(await patient)).toBe(0);
  });

  test("gives the error at the end, or with raiseError throws it once", async () => {
    const error = new AppError("forbidden", "Cannot do that");
    const ending = { outcome: undefined, error, failure: error };
    const told = setup();
    told.end(ending);
    expect(await told.listener.next()).toEqual({ type: "error", error });
    expect(await told.listener.next()).toBeNull();
    const raised = setup({ raiseError: true });
    raised.end(ending);
    await expect(raised.listener.next()).rejects.toBe(error);
    expect(await raised.listener.next()).toBeNull();
  });

  test("with raiseError throws a failure behind the last packet, and the outcome is known all the same", async () => {
    const { listener, mailbox, end } = setup({ raiseError: true });
    const failure = new AppError("job_failed", "Job 7 failed: exited 3");
    mailbox.push(out(0));
    end({ outcome: FAILED, failure });
    expect(numberOf(await listener.next())).toBe(0);
    await expect(listener.next()).rejects.toBe(failure);
    expect(await listener.outcome).toEqual(FAILED);
    expect(await listener.exitCode).toBe(3);
  });

  test("tells every reader what broke it", async () => {
    const { listener, mailbox } = setup();
    mailbox.fail(new AppError("connection_lost", "Connection lost"));
    for (const read of [() => listener.next(), () => listener.next(), () => listener.clear()])
      await expect(read()).rejects.toMatchObject({ name: "ClientError", code: "connection_lost" });
    await expect(Promise.resolve(listener.outcome)).rejects.toMatchObject({ code: "connection_lost" });
    expect(listener.done).toBe(false);
  });
});

describe("a loop over a Listener", () => {
  test("that is left ends nothing: another goes on where it stopped", async () => {
    const { listener, mailbox, end, calls } = setup();
    for (let number = 0; number < 4; number++) mailbox.push(out(number));
    for await (const _packet of listener) break;
    const seen: (number | null)[] = [];
    for await (const packet of listener) if (seen.push(numberOf(packet)) === 2) break;
    end();
    for await (const packet of listener) seen.push(numberOf(packet));
    expect(seen).toEqual([1, 2, 3]);
    expect(calls.closed).toBe(0);
    expect(await Array.fromAsync(listener)).toEqual([]);
  });

  test("can be begun again after a silence", async () => {
    const { listener, mailbox, end } = setup({ maxInterval: 20 });
    const seen: (number | null)[] = [];
    const loop = async () => {
      for await (const packet of listener) seen.push(numberOf(packet));
    };
    mailbox.push(out(0));
    await expect(loop()).rejects.toMatchObject({ code: "listener_timeout" });
    mailbox.push(out(1));
    end();
    await loop();
    expect(seen).toEqual([0, 1]);
  });
});

describe("Listener.outcome", () => {
  test("reads on and drops what is read when no loop is open, so that it never waits for itself", async () => {
    const { listener, mailbox, end, consumed } = setup();
    for (let number = 0; number < 3; number++) mailbox.push(out(number));
    end();
    expect(await listener.outcome).toEqual({ type: "exited", code: 0 });
    expect(consumed).toEqual([0, 1, 2]);
    expect(await listener.next()).toBeNull();
    expect([await listener.outcome, await listener.exitCode]).toEqual([{ type: "exited", code: 0 }, 0]);
  });

  test("robs no loop, whichever comes first", async () => {
    const { listener, mailbox, end } = setup();
    for (let number = 0; number < 3; number++) mailbox.push(out(number));
    end();
    const asked = listener.outcome; // nobody waits for it yet
    const loop = async () => (await Array.fromAsync(listener)).map(numberOf);
    const [outcome, seen] = await Promise.all([asked, loop()]);
    expect(seen).toEqual([0, 1, 2]);
    expect(outcome).toEqual({ type: "exited", code: 0 });
  });

  test("goes on from a loop that was left", async () => {
    const { listener, mailbox, end, consumed } = setup();
    mailbox.push(out(0));
    const waiting = (async () => {
      for await (const _packet of listener) {
        await Bun.sleep(20); // the outcome is asked for meanwhile
        break;
      }
    })();
    const outcome = listener.outcome.then((outcome) => outcome);
    await waiting;
    mailbox.push(out(1));
    end();
    expect(await outcome).toEqual({ type: "exited", code: 0 });
    expect(consumed).toEqual([0, 1]);
  });

  test("that could not be told yet is told later", async () => {
    const { listener, end } = setup({ maxInterval: 20 });
    await expect(Promise.resolve(listener.outcome)).rejects.toMatchObject({ code: "listener_timeout" });
    expect(listener.done).toBe(false);
    end({ outcome: FAILED });
    expect(await listener.outcome).toEqual(FAILED);
    expect(await listener.exitCode).toBe(3);
  });

  test("of a job that was refused is the refusal", async () => {
    const { listener, end } = setup();
    const error = new AppError("too_many", "Cannot start another");
    end({ outcome: undefined, error, failure: error });
    await expect(Promise.resolve(listener.outcome)).rejects.toBe(error);
  });
});

describe("a Listener that nobody wants", () => {
  test("lets the job go, tells whoever waits, and does so once", async () => {
    const { listener, calls } = setup();
    const waiting = listener.next();
    await Promise.resolve();
    listener.detach();
    listener.detach();
    await listener[Symbol.asyncDispose]();
    await expect(waiting).rejects.toMatchObject({ name: "ClientError", code: "cancelled" });
    await expect(Promise.resolve(listener.outcome)).rejects.toMatchObject({ code: "cancelled" });
    expect(calls.closed).toBe(1);
  });

  test("is left alone when it has everything", async () => {
    const { listener, end, calls } = setup();
    end({ outcome: FAILED });
    {
      await using own = listener;
      await own.clear();
    }
    expect(await listener.outcome).toEqual(FAILED);
    expect(calls.closed).toBe(0);
  });

  test("clears what is left, however long it is silent", async () => {
    const { listener, mailbox, end, consumed } = setup({ maxInterval: 10 });
    mailbox.push(out(0));
    const clearing = listener.clear();
    await eventually(() => consumed.length === 1);
    await Bun.sleep(30); // longer than the interval
    end();
    await clearing;
    expect([listener.done, listener.maxInterval, await listener.next()]).toEqual([true, 10, null]);
  });
});

describe("a Listener with a limit", () => {
  const timeout = () => new Limit({ timeout: 20 }, (ms) => new AppError("timeout", `Waited ${ms} ms`));

  test("is over when that is reached, for a read and for all that follow", async () => {
    const { listener, calls } = setup({ limit: timeout() });
    await expect(listener.next()).rejects.toMatchObject({ code: "timeout" });
    await expect(listener.next()).rejects.toMatchObject({ code: "timeout" });
    expect(calls.closed).toBe(1);
  });

  test("is not once it has everything", async () => {
    const { listener, end, calls } = setup({ limit: timeout() });
    end();
    await listener.clear();
    await Bun.sleep(40);
    expect(await listener.outcome).toEqual({ type: "exited", code: 0 });
    expect(calls.closed).toBe(0);
  });

  test("is told the signal's reason", async () => {
    const stop = new AbortController();
    const limit = new Limit({ signal: stop.signal }, () => new Error("never"));
    const { listener } = setup({ limit });
    const waiting = listener.next();
    stop.abort("enough");
    expect(await waiting.catch((reason: unknown) => reason)).toBe("enough");
    expect(() => new Limit({ signal: stop.signal }, () => new Error("never"))).toThrow("enough");
  });
});
