import { describe, expect, test } from "bun:test";
import { inTurns, listProcesses } from "../../../src/server/machine/processes.ts";

const never = new AbortController().signal;

/** Items each of which takes a millisecond of work. */
function* slow(count: number) {
  for (let item = 0; item < count; item++) {
    for (const end = performance.now() + 1; performance.now() < end;);
    yield item;
  }
}

describe("inTurns()", () => {
  test("gives everything in its order, with many turns for everybody else in between", async () => {
    let turns = 0;
    const others = setInterval(() => turns++, 0);
    const items: number[] = [];
    for await (const item of inTurns(slow(300), never)) items.push(item);
    clearInterval(others);
    expect(items).toEqual(Array.from({ length: 300 }, (_, item) => item));
    expect(turns).toBeGreaterThan(10);
  });

  test("stops with the signal's reason", async () => {
    const stop = new AbortController();
    const items: number[] = [];
    const taken = (async () => {
      for await (const item of inTurns(slow(10_000), stop.signal))
        if (items.push(item) === 20) stop.abort(new Error("enough"));
    })();
    expect(await taken.catch(({ message }) => message)).toBe("enough");
    expect(items.length).toBeLessThan(1_000);
  });
});

test("listProcesses() finds this process with its own command line", async () => {
  const found = [];
  for await (const process of listProcesses(never)) found.push(process);
  const self = found.find(({ pid }) => pid === process.pid);
  expect(self?.ppid).toBe(process.ppid);
  expect(self?.argv.length).toBeGreaterThan(0);
});
