import { expect, test } from "bun:test";
import { Flight } from "../../src/protocol/flight.ts";
import { FIRST_FLIGHT_BYTES } from "../../src/protocol/limits.ts";

const KiB = 1024;

/** Delivers so many bytes per second over a link, in steps of 10 ms, for some seconds; keeps it as full as allowed. */
function deliver(flight: Flight, bytesPerSecond: number, seconds: number, from = 0): number {
  let flying = 0;
  let now = from;
  for (; now < from + seconds * 1_000; now += 10) {
    const room = Math.max(0, Math.floor(flight.room));
    flight.send(room, now);
    flying += room;
    const landed = Math.min(flying, bytesPerSecond / 100);
    flight.land(landed, now + 10);
    flying -= landed;
  }
  flight.land(flying, now, true);
  return now;
}

test("Flight lets 256 KiB be in flight at first, over all channels", () => {
  const flight = new Flight();
  expect(flight.room).toBe(FIRST_FLIGHT_BYTES);
  flight.send(100 * KiB, 0);
  flight.send(100 * KiB, 0);
  expect(flight.room).toBe(FIRST_FLIGHT_BYTES - 200 * KiB);
  flight.land(100 * KiB, 1);
  expect(flight.room).toBe(FIRST_FLIGHT_BYTES - 100 * KiB);
});

test("Flight allows half a second's worth of a fast link", () => {
  const flight = new Flight();
  deliver(flight, 20_000 * KiB, 3);
  expect(flight.room).toBeGreaterThan(7_000 * KiB);
  expect(flight.room).toBeLessThan(13_000 * KiB);
});

test("Flight never allows less than 256 KiB, however slow the link", () => {
  const flight = new Flight();
  deliver(flight, 100 * KiB, 10);
  expect(flight.room).toBe(FIRST_FLIGHT_BYTES);
});

test("Flight comes down again when a link slows down", () => {
  const flight = new Flight();
  const now = deliver(flight, 20_000 * KiB, 3);
  deliver(flight, 200 * KiB, 20, now);
  expect(flight.room).toBeLessThan(1_000 * KiB);
});

test("Flight does not take idle time for a slow link", () => {
  const flight = new Flight();
  const now = deliver(flight, 20_000 * KiB, 3);
  const { room } = flight;
  for (let idle = 1; idle <= 5; idle++) {
    flight.send(1 * KiB, now + idle * 10_000);
    flight.land(1 * KiB, now + idle * 10_000 + 1);
  }
  expect(flight.room).toBe(room);
});

test("Flight measures a reader that says nothing before it has everything", () => {
  const flight = new Flight();
  for (let now = 0; now < 1_000; now += 2) {
    const room = Math.min(500 * KiB, flight.room);
    flight.send(room, now);
    flight.land(room, now + 2);
  }
  expect(flight.room).toBeGreaterThan(50_000 * KiB);
});

test("Flight does not take a program that writes little for a slow link", () => {
  const flight = new Flight();
  let now = deliver(flight, 20_000 * KiB, 3);
  const { room } = flight;
  for (const end = now + 10_000; now < end; now += 10) {
    flight.send(1 * KiB, now);
    flight.land(1 * KiB, now + 9);
  }
  expect(flight.room).toBe(room);
});

test("Flight frees what a closed channel had in flight, and does not count it as delivered", () => {
  const flight = new Flight();
  flight.send(FIRST_FLIGHT_BYTES, 0);
  flight.land(FIRST_FLIGHT_BYTES, 30, true);
  expect(flight.room).toBe(FIRST_FLIGHT_BYTES);
});
