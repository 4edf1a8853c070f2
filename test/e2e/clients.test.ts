import { expect, setDefaultTimeout, test } from "bun:test";
import { turn } from "../../src/lib/abort.ts";
import { Pool } from "../../src/sdk.ts";
import { openConnected } from "../support/connected.ts";
import { isRunning } from "../support/world.ts";
import { createFuzz, type Sample } from "../support/fuzz.ts";
import { Random } from "../support/random.ts";
import { RawClient, type RawTarget } from "../support/raw.ts";

setDefaultTimeout(60_000);

/** Milliseconds: ten times what the slowest hundredth of calls may take. */
const LATE = 2_500;

const samples = (): readonly Sample[] => [
  { type: "call", seq: 1, call: 1, command: "exec", input: { encoding: "json", value: { argv: ["true"] } } },
  { type: "credit", channel: 1, received: 0, limit: 1_000_000 },
];

/** Has the server say as much as it likes, reads none of it, and says nothing more. */
async function openSilent(target: RawTarget): Promise<RawClient> {
  const client = await RawClient.open(target);
  client.sequenced({
    type: "call",
    call: 1,
    command: "exec",
    input: { encoding: "json", value: { argv: ["yes"] } },
    job: crypto.randomUUID(),
    output: { channel: 1, holder: crypto.randomUUID(), limit: 2 ** 40 },
  });
  await client.control("accepted");
  client.pause();
  return client;
}

/** Sends garbage, connecting anew whenever it is thrown out, until told to stop. */
async function sendGarbage(target: RawTarget, random: Random, stop: AbortSignal): Promise<number> {
  const fuzz = createFuzz(random, samples, true);
  let sent = 0;
  while (!stop.aborted) {
    using client = await (sent % 2 === 0 ? RawClient.open(target) : RawClient.connect(target.url));
    let isOver = false;
    void client.ended.then(() => (isOver = true));
    for (let burst = 0; burst < 200 && !isOver && !stop.aborted; burst++, sent++) {
      client.write(fuzz());
      await turn();
    }
  }
  return sent;
}

/** Works as any client does, and answers how long (ms) each of its calls took. */
async function work({ url, token }: RawTarget, name: number): Promise<number[]> {
  await using pool = new Pool({});
  const web1 = await pool.add(url, { token }).connect({ timeout: 20_000 });
  const times: number[] = [];
  for (let round = 0; round < 40; round++) {
    const begun = performance.now();
    const { text, exitCode } = await web1.exec(["echo", `${name} ${round}`], { timeout: 30_000 });
    expect([text, exitCode]).toEqual([`${name} ${round}\n`, 0]);
    await web1.ping();
    times.push(performance.now() - begun);
  }
  return times;
}

test("of ten clients at once one is silent and one sends garbage, and the other eight do not notice", async () => {
  const random = new Random();
  console.log(`Garbage: seed ${random.seed}`);
  await using stage = await openConnected();
  const { pid } = await stage.world.status();
  const target = stage.world.local();
  const stop = new AbortController();
  using _silent = await openSilent(target);
  const garbage = sendGarbage(target, random, stop.signal);
  const times = (await Promise.all(Array.from({ length: 8 }, (_, name) => work(target, name)))).flat();
  stop.abort();
  expect(await garbage).toBeGreaterThan(100);
  const [slowest] = times.toSorted((a, b) => b - a).slice(Math.floor(times.length / 100));
  console.log(`99 of 100 calls took at most ${Math.round(slowest ?? 0)} ms`);
  expect(slowest).toBeLessThan(LATE);
  expect(isRunning(pid)).toBe(true);
  expect(await stage.web1.heartbeat()).toBe(true);
});
