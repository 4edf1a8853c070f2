import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { openConnected } from "../support/connected.ts";
import { openGauge } from "../support/memory.ts";
import { codeOf, COUNTER, writeModule } from "../support/tasks.ts";

setDefaultTimeout(240_000);

async function setup() {
  const connected = await openConnected();
  const { world, web1 } = connected;
  const { pid } = await world.status();
  return {
    world,
    tasks: web1.tasks,
    pid,
    counter: writeModule(world, "counter.ts", COUNTER),
    [Symbol.asyncDispose]: () => connected[Symbol.asyncDispose](),
  };
}

describe("Tasks", () => {
  test("count 10,000 executions once each and in order, and the server stays as small as it was", async () => {
    await using world = await setup();
    const { tasks, counter, pid } = world;
    await tasks.start("counter", { module: counter });
    const counts: unknown[] = [];
    await tasks.exec("counter", { mute: true });
    using gauge = openGauge([pid]);
    // As many at once as may wait, less some.
    for (let round = 0; round < 20; round++) {
      const asked = Array.from({ length: 500 }, () => tasks.exec("counter", {}));
      counts.push(...(await Promise.all(asked)).map(({ value }) => value));
    }
    expect(counts).toEqual(Array.from({ length: 10_000 }, (_, index) => index + 2));
    expect(await tasks.show("counter")).toMatchObject({ executed: { finished: 10_001 }, waiting: 0 });
    // Ten times what they may take: a flood of calls grows the heap before it is collected.
    const [peak = 0] = gauge.peaks();
    expect(peak).toBeLessThan(160 * 1024 ** 2);
  });

  test("answer each with its own state when a hundred are asked at once", async () => {
    await using world = await setup();
    const { tasks, counter } = world;
    const names = Array.from({ length: 100 }, (_, index) => `task-${index}`);
    for (let start = 0; start < 100; start += 10)
      await Promise.all(
        names
          .slice(start, start + 10)
          .map((name, index) =>
            tasks.start(name, { module: counter, args: { from: (start + index) * 1_000 } }),
          ),
      );
    const rounds = await Promise.all(
      names.flatMap((name) => [1, 2, 3].map(async () => (await tasks.exec(name, {})).value)),
    );
    expect(rounds).toEqual(names.flatMap((_name, index) => [1, 2, 3].map((round) => index * 1_000 + round)));
    expect(await tasks.list()).toHaveLength(100);
    await Promise.all(names.map((name) => tasks.stop(name)));
  });

  test("take an argument of 16 MiB and give it back", async () => {
    await using world = await setup();
    const { tasks, counter } = world;
    await tasks.start("counter", { module: counter });
    const large = crypto.getRandomValues(new Uint8Array(65_536));
    const echo = new Uint8Array(16 * 1024 ** 2).map(
      (_, index) => (large[index % 65_536] ?? 0) + (index >> 16),
    );
    await tasks.exec("counter", { echo });
    const began = performance.now();
    const { value } = await tasks.exec("counter", { echo });
    // Well under a second, and ten times that where others have the machine.
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(value).toEqual(echo);
  });

  test("leave little behind in the server of the large values that go through it", async () => {
    await using world = await setup();
    const { tasks, counter, pid } = world;
    await tasks.start("counter", { module: counter });
    await tasks.exec("counter", { echo: 1 });
    using gauge = openGauge([pid]);
    for (let round = 0; round < 12; round++)
      await tasks.exec("counter", { echo: new Uint8Array(16 * 1024 ** 2) });
    // Measured at 25 MB, and at twice that where the collector is left to itself.
    expect(gauge.peaks()[0]).toBeLessThan(38 * 1024 ** 2);
  });

  test("refuse what would wait behind more than a thousand, and go on with those", async () => {
    await using world = await setup();
    const { tasks, counter } = world;
    await tasks.start("counter", { module: counter });
    const first = tasks.exec("counter", { hold: 5_000 });
    const queue = () =>
      Promise.allSettled(
        Array.from({ length: 550 }, () => tasks.exec("counter", { mute: true }, { wait: "queued" })),
      );
    const waiting = [...(await queue()), ...(await queue())];
    const refused = waiting.filter(({ status }) => status === "rejected");
    expect(refused.length).toBeGreaterThan(50);
    for (const each of refused) expect(each).toMatchObject({ reason: { code: "queue_full" } });
    await first;
    expect((await tasks.exec("counter", {})).value).toBe(1_102 - refused.length);
  });

  test("hold no more than 8 MiB of arguments for those that wait", async () => {
    await using world = await setup();
    const { tasks, counter } = world;
    await tasks.start("counter", { module: counter });
    const first = tasks.exec("counter", { hold: 2_000 });
    const large = { bytes: new Uint8Array(3 * 1024 ** 2) };
    const queue = () => tasks.exec("counter", large, { wait: "queued" });
    const queued = [await queue(), await queue()];
    expect(await codeOf(queue())).toBe("queue_full");
    await first;
    for (const { execution } of queued) await tasks.await("counter", execution);
    expect((await tasks.exec("counter", {})).value).toBe(4);
  });
});
