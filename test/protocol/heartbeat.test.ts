import { afterEach, beforeEach, describe, expect, jest, test } from "bun:test";
import { turn } from "../../src/lib/abort.ts";
import { heartbeat } from "../../src/protocol/heartbeat.ts";
import { eventually } from "../support/eventually.ts";

/** A line whose other end answers a beat as told. */
function setup(answers: boolean) {
  let [sentAt, receivedAt, beats] = [performance.now(), performance.now(), 0];
  const line = {
    beat() {
      beats++;
      sentAt = performance.now();
      if (answers) receivedAt = sentAt;
    },
    idle: () => performance.now() - sentAt,
    silence: () => performance.now() - receivedAt,
  };
  return { line, beats: () => beats };
}

describe("heartbeat()", () => {
  test("declares a silent peer lost after so many intervals", async () => {
    const { line, beats } = setup(false);
    const start = performance.now();
    const ending = heartbeat(line, { every: 200, patience: 3, signal: new AbortController().signal });
    await expect(ending).rejects.toMatchObject({ code: "peer_lost" });
    expect(performance.now() - start).toBeWithin(500, 6_000);
    expect(beats()).toBeGreaterThanOrEqual(1);
  });

  test("goes on while the peer answers, until it is told to stop", async () => {
    const { line, beats } = setup(true);
    const stop = new AbortController();
    const ending = heartbeat(line, { every: 200, patience: 50, signal: stop.signal });
    await eventually(() => beats() >= 4);
    stop.abort(new Error("enough"));
    await expect(ending).rejects.toThrow("enough");
  });
});

/** A line whose clock is the test's. */
function setupClock() {
  let now = 0;
  let heard = 0;
  let said = 0;
  const beats: number[] = [];
  const stop = new AbortController();
  const line = {
    beat: () => {
      beats.push(now);
      said = now;
    },
    silence: () => now - heard,
    idle: () => now - said,
  };
  return {
    beats,
    stop,
    run: () => heartbeat(line, { every: 1_000, patience: 3, signal: stop.signal }),
    hear: () => (heard = now),
    say: () => (said = now),
    /** Lets time pass in small steps. */
    async pass(ms: number, each: () => void = () => {}) {
      for (const end = now + ms; now < end;) {
        now += 50;
        each();
        jest.advanceTimersByTime(50);
        await turn();
        await turn();
      }
    },
  };
}

describe("heartbeat() by a clock of its own", () => {
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  test("says something at least once per interval when nothing else is sent", async () => {
    const { run, pass, hear, beats, stop } = setupClock();
    const beating = run();
    await pass(20_000, hear);
    const gaps = beats.map((at, index) => at - (beats[index - 1] ?? 0));
    expect(Math.max(...gaps)).toBeLessThanOrEqual(1_050);
    expect(beats.length).toBeGreaterThanOrEqual(19);
    stop.abort("enough");
    expect(await beating.catch((reason) => reason)).toBe("enough");
  });

  test("is silent while other things are sent", async () => {
    const { run, pass, hear, say, beats, stop } = setupClock();
    const beating = run();
    await pass(20_000, () => {
      hear();
      say();
    });
    expect(beats).toEqual([]);
    stop.abort("enough");
    await beating.catch(() => {});
  });

  test("loses a peer after three silent intervals, and not before", async () => {
    const { run, pass, hear } = setupClock();
    let ended: unknown;
    const beating = run().catch((error) => (ended = error));
    await pass(5_000, hear);
    await pass(2_900);
    expect(ended).toBeUndefined();
    await pass(200);
    await beating;
    expect(ended).toMatchObject({
      code: "peer_lost",
      message: "Connection lost: nothing received for 3000 ms",
    });
  });
});
