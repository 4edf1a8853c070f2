import { expect, setDefaultTimeout, test } from "bun:test";
import { eventually } from "../support/eventually.ts";
import { RawClient } from "../support/raw.ts";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(60_000);

/** More than a job may run ahead of a reader that holds it, and an exit code to know it by. */
const FLOOD = { shell: "head -c 10000000 /dev/zero; exit 3" };

async function setup() {
  const world = openWorld();
  await world.start();
  const call = async (last: (client: RawClient) => void) => {
    const job = Bun.randomUUIDv7();
    using client = await RawClient.open(world.local());
    const output = { channel: 1, holder: crypto.randomUUID(), limit: 0 };
    client.call(1, "exec", FLOOD, { job, output });
    last(client);
    await eventually(async () => (await world.farhand(["jobs", job])).code === 0);
    return job;
  };
  return { ...world, call };
}

test("A client that says goodbye right behind its call leaves no hold on the job", async () => {
  await using world = await setup();
  const jobs = [];
  for (let round = 0; round < 5; round++)
    jobs.push(await world.call((client) => client.text({ type: "goodbye" })));
  for (const job of jobs) expect((await world.farhand(["wait", job])).code).toBe(3);
});

test("A client that closes the channel right behind its call leaves no hold on the job", async () => {
  await using world = await setup();
  const job = await world.call((client) => client.sequenced({ type: "close", channel: 1 }));
  expect((await world.farhand(["wait", job])).code).toBe(3);
});

test("A client that is cut off right behind its call is not shown as attached", async () => {
  await using world = await setup();
  const job = await world.call((client) => client[Symbol.dispose]());
  await eventually(async () => !(await world.job(job)).attached);
  // Its hold waits for it: the grace is longer than this test.
  expect(await world.job(job)).toMatchObject({ state: "running", attached: false });
});
