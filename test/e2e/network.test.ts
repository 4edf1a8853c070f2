import { describe, expect, setDefaultTimeout } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { openGauge } from "../support/memory.ts";
import { findNetemFault, findNetworkFault, openNetwork } from "../support/network.ts";
import { testIf } from "../support/test-if.ts";
import { openWorld, type RunOptions } from "../support/world.ts";

setDefaultTimeout(180_000);

const fault = findNetworkFault();
const testApart = testIf(fault === undefined, `two machines with a link between them: ${fault}`);
const netemFault = fault ?? findNetemFault();
const testDisturbed = testIf(netemFault === undefined, `packets that are late or lost: ${netemFault}`);

/** Bits per second of a modem. */
const MODEM = 56_000;
/** Milliseconds within which a job has the signal, and the terminal is free: ten times what is aimed at. */
const PROMPT = 10_000;

/** A server on one machine, and what starts a client on the other. */
async function setup() {
  const network = openNetwork();
  const world = openWorld({ inside: network.server.inside });
  const { pid, keepers, listen } = await world.start();
  const address = await network.forward(String(listen[0]).split(":").at(-1) ?? "");
  const env = { FARHAND_TOKEN: world.local().token, FARHAND_HOST: address };
  const open = (line: string, options: RunOptions = {}) =>
    world.open([...network.client.inside, "bash", "-c", line], { env, ...options });
  const exists = (name: string) => eventually(() => existsSync(join(world.home, name)), 60_000);
  return {
    ...world,
    network,
    open,
    exists,
    pids: [pid, ...keepers.map((keeper) => keeper.pid ?? 0)],
    async [Symbol.asyncDispose]() {
      await world[Symbol.asyncDispose]();
      await network[Symbol.asyncDispose]();
    },
  };
}

describe("A partition of 10 s", () => {
  testApart.each(["15s", "1s"])(
    "loses and repeats nothing in either direction, with a heartbeat of %s",
    async (heartbeat) => {
      await using world = await setup();
      // The client's lines go there and back: what is lost, doubled or out of order on either way shows.
      const count = 1_200;
      const source = `for i in $(seq 1 ${count}); do echo $i; sleep 0.01; done`;
      const client = world.open(`{ ${source}; } | farhand --heartbeat ${heartbeat} exec -- cat`);
      await eventually(() => client.said().length > 100, 30_000);
      world.network.partition();
      await Bun.sleep(10_000);
      expect(client.said().length).toBeLessThan(5_000);
      world.network.heal();
      const { code, stdout } = await client.ran;
      expect(stdout).toBe(Array.from({ length: count }, (_, index) => `${index + 1}\n`).join(""));
      expect(code).toBe(0);
    },
  );
});

describe("On a link of 56 kbit/s", () => {
  testApart("a job that writes 1 MB has the signal soon after Ctrl-C, and memory stays flat", async () => {
    await using world = await setup();
    using gauge = openGauge(world.pids);
    world.network.limit(MODEM);
    const job = 'trap ": > told; exit 9" INT; : > ready; head -c 1000000 /dev/zero; sleep 1000 & wait';
    const client = world.open(`exec farhand exec --shell '${job}' > out`);
    await world.exists("ready");
    await Bun.sleep(3_000); // the way to the client is full by now
    const began = performance.now();
    client.kill("SIGINT");
    await world.exists("told");
    const told = performance.now() - began;
    console.log(`The job had the signal after ${Math.round(told)} ms`);
    expect(told).toBeLessThan(PROMPT);
    client.kill("SIGINT");
    client.kill("SIGINT");
    await client.ran;
    for (const peak of gauge.peaks()) expect(peak).toBeLessThan(64 * 1024 * 1024);
  });

  testApart("a second Ctrl-C frees the terminal", async () => {
    await using world = await setup();
    world.network.limit(MODEM);
    const client = world.open(`exec farhand exec --shell "trap '' INT TERM; : > ready; yes" > out`);
    await world.exists("ready");
    await Bun.sleep(3_000);
    client.kill("SIGINT");
    await Bun.sleep(500);
    const began = performance.now();
    client.kill("SIGINT");
    const { code } = await client.ran;
    console.log(
      `The terminal was free after ${Math.round(performance.now() - began)} ms, with exit code ${code}`,
    );
    expect(performance.now() - began).toBeLessThan(2 * PROMPT);
    expect(code).not.toBe(0);
  });
});

testDisturbed("Delayed and lost packets change no byte", async () => {
  await using world = await setup();
  world.network.disturb({ delay: 150, lossPercent: 5 });
  const client = world.open("seq 1 200000 | farhand exec -- cat | md5sum; seq 1 200000 | md5sum");
  const [received, sent] = (await client.ran).stdout.split("\n");
  expect(received).toBe(sent ?? "");
});
