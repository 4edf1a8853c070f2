import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { openProxy } from "../support/proxy.ts";
import { openWorld } from "../support/world.ts";

setDefaultTimeout(120_000);

const MiB = 1024 * 1024;
/** Bytes that `seq 1 2000000` writes: several windows of credit. */
const SEQ_BYTES = 14_888_896;
/** Bytes that `seq 1 200000` writes. */
const SMALL_SEQ_BYTES = 1_288_895;

/** A connection that is lost stays lost. */
const ONCE = ["--reconnect-timeout", "0s"];

async function setup() {
  const world = openWorld();
  const status = await world.start();
  return { ...world, address: String(status.listen[0]) };
}

function md5(text: string): string {
  return new Bun.CryptoHasher("md5").update(text).digest("hex");
}

function seq(last: number): string {
  return Array.from({ length: last }, (_, i) => `${i + 1}\n`).join("");
}

describe("output", () => {
  test("is complete 50 of 50 times", async () => {
    await using world = await setup();
    const expected = `${md5(seq(2_000_000))}  -\n`;
    for (let round = 0; round < 50; round++) {
      const { code, stdout } = await world.shell("farhand exec -- seq 1 2000000 | md5sum");
      expect([round, code, stdout]).toEqual([round, 0, expected]);
    }
  });

  test("is in the pipe before the client exits, however slow the reader", async () => {
    await using world = await setup();
    const { code, stdout } = await world.shell("farhand exec -- seq 1 200000 | (sleep 0.5; md5sum)");
    expect([code, stdout]).toEqual([0, `${md5(seq(200_000))}  -\n`]);
  });

  test("is complete in the files of several commands at once", async () => {
    await using world = await setup();
    const line = "for i in 1 2 3 4 5 6; do farhand exec -- seq 1 200000 > out$i & done; wait; cat out?";
    const { stdout } = await world.shell(`${line} | md5sum`);
    expect(stdout).toBe(`${md5(seq(200_000).repeat(6))}  -\n`);
  });

  test("holds what both streams said when both are large", async () => {
    await using world = await setup();
    const job = "seq 1 200000 & seq 1 200000 >&2; wait";
    const { code, stdout } = await world.shell(
      `farhand exec --shell '${job}' 2> err > out; code=$?; md5sum < out; md5sum < err; exit $code`,
    );
    expect([code, stdout]).toEqual([0, `${md5(seq(200_000))}  -\n`.repeat(2)]);
  });

  test("of 256 MiB of random bytes through cat is identical", async () => {
    await using world = await setup();
    const block = randomBytes(MiB);
    const file = join(world.home, "random");
    const blocks = Array.from({ length: 256 }, (_, index) => {
      block.writeUInt32BE(index); // no two alike, so that a lost one shows
      return Buffer.from(block);
    });
    writeFileSync(file, Buffer.concat(blocks));
    const { code, stderr } = await world.shell("farhand exec -- cat < random | cmp - random");
    expect([code, stderr]).toEqual([0, ""]);
  });

  test("of a detached job is read from its ledger to the last byte", async () => {
    await using world = await setup();
    const job = await world.detach("--", "seq", "1", "2000000");
    const { code, stdout } = await world.shell(`farhand follow ${job} | md5sum`);
    expect([code, stdout]).toEqual([0, `${md5(seq(2_000_000))}  -\n`]);
  });
});

describe("a connection that is cut at a random byte", () => {
  test("from the server gives all bytes or exit 125, never success with fewer", async () => {
    await using world = await setup();
    const { token } = world.local();
    const expected = seq(2_000_000);
    for (let round = 0; round < 20; round++) {
      // Beyond the output there are the frames around it, so that a cut near the end is among them.
      const cutToClient = Math.floor(Math.random() * (SEQ_BYTES + 20_000));
      await using proxy = await openProxy(world.address, { cutToClient });
      const args = ["-H", proxy.address, ...ONCE, "exec", "--", "seq", "1", "2000000"];
      const ran = await world.farhand(args, { env: { FARHAND_TOKEN: token } });
      const isWhole = ran.stdout === expected;
      expect({ cutToClient, code: ran.code, stderr: ran.stderr, isWhole }).toEqual(
        isWhole && ran.code === 0
          ? { cutToClient, code: 0, stderr: "", isWhole: true }
          : { cutToClient, code: 125, stderr: expect.stringMatching(/^farhand: .+\n$/), isWhole },
      );
      expect(expected.startsWith(ran.stdout)).toBe(true);
    }
  });

  test("from the client leaves no input half believed", async () => {
    await using world = await setup();
    const { token } = world.local();
    const input = seq(200_000);
    for (let round = 0; round < 10; round++) {
      const cutToServer = Math.floor(Math.random() * (SMALL_SEQ_BYTES + 20_000));
      await using proxy = await openProxy(world.address, { cutToServer });
      const args = ["-H", proxy.address, ...ONCE, "exec", "--", "md5sum"];
      const ran = await world.farhand(args, { env: { FARHAND_TOKEN: token }, stdin: input });
      if (ran.code === 0) expect(ran.stdout).toBe(`${md5(input)}  -\n`);
      else expect({ cutToServer, code: ran.code }).toEqual({ cutToServer, code: 125 });
    }
  });

  test("names the job, whose output can be followed to its end", async () => {
    await using world = await setup();
    const { token } = world.local();
    await using proxy = await openProxy(world.address, { cutToClient: Math.floor(SMALL_SEQ_BYTES / 2) });
    const args = ["-H", proxy.address, ...ONCE, "exec", "--", "seq", "1", "200000"];
    const ran = await world.farhand(args, { env: { FARHAND_TOKEN: token } });
    expect(ran.code).toBe(125);
    const [, job = ""] = /follow ([0-9a-f-]{36}) --since \d+/.exec(ran.stderr) ?? [];
    const rest = await world.farhand(["follow", job]);
    expect([rest.code, rest.stdout === seq(200_000)]).toEqual([0, true]);
  });
});

test("A server that falls silent is declared lost by the client, with exit 125", async () => {
  await using world = await setup();
  const { token } = world.local();
  await using proxy = await openProxy(world.address);
  const argv = ["farhand", "-H", proxy.address, ...ONCE, "--heartbeat", "1s", "exec", "--", "sh", "-c"];
  const client = world.open([...argv, "echo ready; sleep 1000"], { env: { FARHAND_TOKEN: token } });
  await eventually(() => client.said().includes("ready"), 30_000);
  proxy.blackhole();
  const { code, stderr } = await client.ran;
  expect(code).toBe(125);
  expect(stderr).toContain("nothing received");
  expect(await world.job("@last")).toMatchObject({ state: "running" });
});
