import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Direction } from "../support/lane.ts";
import type { Faults } from "../support/proxy-connection.ts";
import { eventually } from "../support/eventually.ts";
import { openProxy } from "../support/proxy.ts";
import { RawClient } from "../support/raw.ts";
import { openWorld, type Ran } from "../support/world.ts";

setDefaultTimeout(300_000);

/** Milliseconds within which a client ends, whatever becomes of its first connection. */
const LIMIT = 40_000;
const DIRECTIONS: readonly Direction[] = ["toServer", "toClient"];
/** What the job says; it leaves a line in `ran` too, so that running twice would show. */
const job = (name: string) => `echo ${name} >> ran; echo out; echo err >&2; exit 7`;

async function setup() {
  const world = openWorld();
  const status = await world.start();
  const address = String(status.listen[0]);
  const env = { FARHAND_TOKEN: world.local().token };
  /** Runs a client whose first connection meets with this. */
  const run = async (faults: Faults, words: readonly string[]) => {
    await using proxy = await openProxy(address, (connection) => (connection === 0 ? faults : {}));
    const began = performance.now();
    const ran = await world.farhand(["-H", proxy.address, "--heartbeat", "1s", ...words], { env });
    return { ...ran, took: performance.now() - began };
  };
  writeFileSync(join(world.home, "ran"), "");
  const countRuns = (name: string) =>
    readFileSync(join(world.home, "ran"), "utf8")
      .split("\n")
      .filter((line) => line === name).length;
  return { ...world, address, run, countRuns };
}

/** Runs all of these, some at a time. */
async function inTurns<T>(cases: readonly T[], run: (one: T) => Promise<void>, width = 4): Promise<void> {
  const left = [...cases];
  const work = async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) await run(next);
  };
  await Promise.all(Array.from({ length: width }, work));
}

/** The whole truth, or an honest failure in one sentence. */
function isHonest({ code, stdout, stderr }: Ran): boolean {
  if (code === 7) return stdout === "out\n" && stderr === "err\n";
  return code === 125 && "out\n".startsWith(stdout) && /^(?:err\n)?farhand: [^\n]+\n$/.test(stderr);
}

describe("A connection that breaks", () => {
  test("after any of its first 2000 bytes, by FIN or RST, never hangs, lies, or runs a job twice", async () => {
    await using world = await setup();
    const cases = Array.from({ length: 50 }, (_, step) => step * 40 + Math.floor(Math.random() * 40)).flatMap(
      (after) =>
        DIRECTIONS.flatMap((direction) =>
          (["fin", "reset"] as const).map((by) => ({ after, direction, by })),
        ),
    );
    await inTurns(cases, async ({ after, direction, by }) => {
      const name = `${direction}-${after}-${by}`;
      const cut = direction === "toServer" ? { cutToServer: after } : { cutToClient: after };
      const ran = await world.run({ ...cut, cutBy: by }, ["exec", "--shell", job(name)]);
      expect({ name, isHonest: isHonest(ran), ran }).toEqual({ name, isHonest: true, ran });
      expect([name, ran.took < LIMIT, world.countRuns(name) <= 1]).toEqual([name, true, true]);
      if (ran.code === 7) expect([name, world.countRuns(name)]).toEqual([name, 1]);
    });
  });
});

describe("A flipped bit", () => {
  /** Up to its call: a field's name there that is another is one that a newer client may have sent, and ignored. */
  test("in a client's request, hello or frame header never hangs it, and the server serves on", async () => {
    await using world = await setup();
    const offsets = Array.from({ length: 60 }, () => Math.floor(Math.random() * 405));
    await inTurns(offsets, async (offset) => {
      const bits = 1 << Math.floor(Math.random() * 8);
      const { took } = await world.run({ flipToServer: { offset, bits } }, [
        "exec",
        "--shell",
        job("flipped"),
      ]);
      expect([offset, bits, took < LIMIT]).toEqual([offset, bits, true]);
    });
    expect(await world.farhand(["exec", "--shell", job("after")])).toMatchObject({
      code: 7,
      stdout: "out\n",
    });
  });

  test("in what the server sends is never taken for output or an outcome", async () => {
    await using world = await setup();
    const offsets = Array.from({ length: 60 }, () => Math.floor(Math.random() * 1_500));
    await inTurns(offsets, async (offset) => {
      const bits = 1 << Math.floor(Math.random() * 8);
      const ran = await world.run({ flipToClient: { offset, bits } }, ["exec", "--shell", job("flipped")]);
      expect({ offset, bits, isHonest: isHonest(ran), ran }).toEqual({ offset, bits, isHonest: true, ran });
      expect([offset, bits, ran.took < LIMIT]).toEqual([offset, bits, true]);
    });
  });

  test("in the middle of much output is found by its checksum", async () => {
    await using world = await setup();
    const whole = (await world.shell("seq 1 200000 | md5sum")).stdout;
    for (let round = 0; round < 10; round++) {
      const offset = 10_000 + Math.floor(Math.random() * 1_200_000);
      const ran = await world.run({ flipToClient: { offset, bits: 1 } }, [
        "exec",
        "--",
        "seq",
        "1",
        "200000",
      ]);
      const sum = `${new Bun.CryptoHasher("md5").update(ran.stdout).digest("hex")}  -\n`;
      if (ran.code === 0) expect([offset, sum]).toEqual([offset, whole]);
      else expect([offset, ran.code]).toEqual([offset, 125]);
    }
  });
});

test("Late bytes are bytes all the same: 300 ms there and back, give or take", async () => {
  await using world = await setup();
  await using proxy = await openProxy(world.address);
  proxy.shape({ delay: 100, jitter: 100 });
  const env = { FARHAND_TOKEN: world.local().token, FARHAND_HOST: proxy.address };
  const line = "seq 1 300000 | farhand exec -- cat | md5sum; seq 1 300000 | md5sum";
  const [received, sent] = (await world.shell(line, { env })).stdout.split("\n");
  expect(received).toBe(sent ?? "");
});

test("A server that stops leaves nothing unsaid of what it sent to a slow reader", async () => {
  await using world = await setup();
  await using proxy = await openProxy(world.address);
  using client = await RawClient.open({ url: `http://${proxy.address}`, token: world.local().token });
  const id = crypto.randomUUID();
  const output = { channel: 1, holder: crypto.randomUUID(), limit: 1_048_576 };
  proxy.blackhole("toClient");
  client.call(1, "exec", { argv: ["seq", "1", "200000"] }, { job: id, output });
  await eventually(async () => (await world.job(id).catch(() => undefined))?.state === "closed", 30_000);
  const stopped = world.farhandd(["stop"]);
  await Bun.sleep(2_000);
  proxy.heal();
  expect(await client.ended).toMatchObject({ type: "closed", code: 1012 });
  expect((await stopped).code).toBe(0);
  const frames = client.received.flatMap((received) => (received.type === "data" ? [received.bytes] : []));
  // All that may be in flight before anything is acknowledged, in frames of whole records.
  expect(frames.reduce((sum, { length }) => sum + length, 0)).toBeGreaterThan(64 * 1024);
});
