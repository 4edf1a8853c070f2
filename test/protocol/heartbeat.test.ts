import { describe, expect, test } from "bun:test";
import { heartbeat } from "../../src/protocol/heartbeat.ts";

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
    const ending = heartbeat(line, { every: 20, patience: 3, signal: new AbortController().signal });
    await expect(ending).rejects.toMatchObject({ code: "peer_lost" });
    expect(performance.now() - start).toBeWithin(59, 600);
    expect(beats()).toBeGreaterThanOrEqual(1);
  });

  test("goes on while the peer answers, until it is told to stop", async () => {
    const { line, beats } = setup(true);
    const stop = new AbortController();
    const ending = heartbeat(line, { every: 5, patience: 3, signal: stop.signal });
    while (beats() < 10) await Bun.sleep(1);
    stop.abort(new Error("enough"));
    await expect(ending).rejects.toThrow("enough");
  });
});
