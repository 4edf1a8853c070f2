import { afterEach, beforeEach, expect, jest, test } from "bun:test";
import * as v from "valibot";
import { Holds, MAX_ORPHANS } from "../../src/keeper/holds.ts";
import { HolderId } from "../../src/protocol/id.ts";
import { HOLD_GRACE } from "../../src/protocol/limits.ts";

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

function setup() {
  let changes = 0;
  let abandoned = 0;
  const holds = new Holds({
    onChange: () => changes++,
    onAbandoned: () => abandoned++,
    grace: () => HOLD_GRACE,
  });
  const newHolder = () => v.parse(HolderId, crypto.randomUUID());
  return {
    holds,
    one: newHolder(),
    other: newHolder(),
    changes: () => changes,
    abandoned: () => abandoned,
  };
}

test("Holds without a holder hold nothing back", () => {
  const { holds } = setup();
  expect(holds.isEmpty).toBe(true);
  expect(holds.released).toBe(Number.POSITIVE_INFINITY);
});

test("Holds release what the slowest holder has passed", () => {
  const { holds, one, other, changes } = setup();
  holds.attach(one, 10);
  holds.attach(other, 0);
  expect(holds.released).toBe(0);
  holds.move(other, 30);
  expect(holds.released).toBe(10);
  holds.move(one, 20);
  expect(holds.released).toBe(20);
  holds.move(one, 5);
  expect(holds.released).toBe(20);
  expect(changes()).toBe(2);
  holds.release(one);
  expect(holds.released).toBe(30);
  holds.release(other);
  expect(holds.isEmpty).toBe(true);
  expect(changes()).toBe(4);
});

test("Holds replace a hold that is attached again, also by one that is further back", () => {
  const { holds, one } = setup();
  holds.attach(one, 10);
  holds.attach(one, 4);
  expect(holds.released).toBe(4);
  holds.release(one);
  expect(holds.isEmpty).toBe(true);
});

test("Holds ignore the moves and releases of those that hold nothing", () => {
  const { holds, one, other, changes } = setup();
  holds.attach(one, 0);
  holds.move(other, 10);
  holds.release(other);
  holds.orphan(other);
  expect(holds.released).toBe(0);
  expect(changes()).toBe(0);
});

test("Holds keep an orphan's hold for the grace, and then let it go", () => {
  const { holds, one, other, changes } = setup();
  holds.attach(one, 0);
  holds.attach(other, 7);
  holds.orphan(one);
  jest.advanceTimersByTime(HOLD_GRACE - 1);
  holds.orphan(one); // said again, it lasts no longer
  expect(holds.released).toBe(0);
  jest.advanceTimersByTime(1);
  expect(holds.released).toBe(7);
  expect(changes()).toBe(1);
});

test("Holds keep a hold whose client came back within the grace", () => {
  const { holds, one } = setup();
  holds.attach(one, 0);
  holds.orphan(one);
  jest.advanceTimersByTime(HOLD_GRACE / 2);
  holds.attach(one, 3);
  jest.advanceTimersByTime(HOLD_GRACE * 2);
  expect(holds.released).toBe(3);
});

test("Holds orphan all at once when the front is gone", () => {
  const { holds, one, other } = setup();
  holds.attach(one, 0);
  holds.attach(other, 0);
  holds.orphanAll();
  holds.attach(other, 9);
  jest.advanceTimersByTime(HOLD_GRACE);
  expect(holds.released).toBe(9);
});

test("Holds say that nobody reads a stream once every holder has said so", () => {
  const { holds, one, other } = setup();
  const discard = (id: HolderId, stream: "stdout" | "stderr") => {
    holds.discard(id, stream);
    return holds.isUnread(stream);
  };
  expect(discard(one, "stdout")).toBe(false);
  holds.attach(one, 0);
  holds.attach(other, 0);
  expect(discard(one, "stdout")).toBe(false);
  expect(discard(other, "stderr")).toBe(false);
  expect(discard(other, "stdout")).toBe(true);
  expect(discard(one, "stderr")).toBe(true);
});

test("Holds say that nobody reads a stream once the last holder that did is released, but not when none is left", () => {
  const { holds, one, other } = setup();
  holds.attach(one, 0);
  holds.attach(other, 0);
  holds.discard(one, "stdout");
  holds.release(other);
  expect(holds.isUnread("stdout")).toBe(true);
  holds.release(one);
  expect(holds.isUnread("stdout")).toBe(false);
});

test("Holds forget what a holder discarded when it attaches again", () => {
  const { holds, one, other } = setup();
  holds.attach(one, 0);
  holds.attach(other, 0);
  holds.discard(one, "stdout");
  holds.attach(one, 0);
  holds.discard(other, "stdout");
  expect(holds.isUnread("stdout")).toBe(false);
});

test("Holds that are cleared hold nothing, and no grace fires later", () => {
  const { holds, one, other, changes } = setup();
  holds.attach(one, 0);
  holds.attach(other, 0);
  holds.orphan(one);
  holds.clear();
  expect(holds.isEmpty).toBe(true);
  const before = changes();
  jest.advanceTimersByTime(HOLD_GRACE);
  expect(changes()).toBe(before);
});

test("Holds are abandoned when the last one ends with its grace, not when it is released", () => {
  const { holds, one, other, abandoned } = setup();
  holds.attach(one, 0);
  holds.release(one);
  expect(abandoned()).toBe(0);
  holds.attach(one, 0);
  holds.attach(other, 0);
  holds.orphan(one);
  jest.advanceTimersByTime(HOLD_GRACE);
  expect(abandoned()).toBe(0);
  holds.orphan(other);
  jest.advanceTimersByTime(HOLD_GRACE - 1);
  expect(abandoned()).toBe(0);
  jest.advanceTimersByTime(1);
  expect(abandoned()).toBe(1);
});

test("Holds whose client came back in time are not abandoned", () => {
  const { holds, one, abandoned } = setup();
  holds.attach(one, 0);
  holds.orphanAll();
  jest.advanceTimersByTime(HOLD_GRACE - 1);
  holds.attach(one, 10);
  jest.advanceTimersByTime(HOLD_GRACE);
  expect(abandoned()).toBe(0);
  expect(holds.isEmpty).toBe(false);
});

test("Holds forget the longest gone of very many clients, and none that is there", () => {
  const { holds, one, abandoned } = setup();
  holds.attach(one, 0);
  const gone = Array.from({ length: MAX_ORPHANS + 1 }, (_, index) => {
    const id = v.parse(HolderId, crypto.randomUUID());
    holds.attach(id, index + 1);
    holds.orphan(id);
    return id;
  });
  expect(holds.released).toBe(0);
  holds.release(one);
  expect(holds.released).toBe(2);
  holds.attach(gone.at(-1) ?? one, 9_999);
  for (const id of gone) holds.release(id);
  expect([holds.isEmpty, abandoned()]).toEqual([true, 0]);
});
