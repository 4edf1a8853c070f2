import { expect, test } from "bun:test";
import { type Pace, toPaced } from "../../src/cli/pace.ts";
import type { Packet } from "../../src/protocol/packet.ts";

const MINUTE = 60_000_000;

function setup(times: readonly number[], pace: Partial<Pace> = {}) {
  const stop = new AbortController();
  const consumed: number[] = [];
  const packets = times.map((at, number): Packet => ({
    type: "stdout",
    number,
    at,
    bytes: new Uint8Array(1),
  }));
  const source = {
    missing: undefined,
    next: 0,
    consumed: ({ number }: Packet) => void consumed.push(number),
    discard: () => {},
    close: () => {},
    async *[Symbol.asyncIterator]() {
      yield* packets;
    },
  };
  const paced = toPaced(source, { speed: 1, maxPause: Number.POSITIVE_INFINITY, ...pace }, stop.signal);
  const begin = performance.now();
  const read = async () => {
    const elapsed: number[] = [];
    for await (const _ of paced) elapsed.push(performance.now() - begin);
    return elapsed;
  };
  return { paced, stop, consumed, packets, read };
}

test("toPaced() gives each packet as long after the one before as it was written", async () => {
  const [first = 0, second = 0, third = 0] = await setup([MINUTE, MINUTE + 50_000, MINUTE + 120_000]).read();
  expect(first).toBeLessThan(500);
  // From before the first: that may be noted a moment after it was due.
  expect(second).toBeGreaterThanOrEqual(48);
  expect(third).toBeGreaterThanOrEqual(118);
  expect(third - first).toBeLessThan(1_200);
});

test("toPaced() divides pauses by the speed, and shortens long ones before that", async () => {
  const [, second = 0] = await setup([0, MINUTE], { speed: 600 }).read();
  expect(second).toBeGreaterThanOrEqual(98);
  expect(second).toBeLessThan(1_000);
  const [, shortened = 0] = await setup([0, 60 * MINUTE], { maxPause: 50 }).read();
  expect(shortened).toBeGreaterThanOrEqual(48);
  expect(shortened).toBeLessThan(1_000);
});

test("toPaced() stops amid a pause as soon as it is told", async () => {
  const { read, stop } = setup([0, MINUTE]);
  setTimeout(() => stop.abort(new Error("enough")), 20);
  expect(read()).rejects.toThrow("enough");
});

test("toPaced() hands on what is said of packets", () => {
  const { paced, packets, consumed } = setup([0, 1]);
  for (const packet of packets) paced.consumed(packet);
  expect(consumed).toEqual([0, 1]);
});
