import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { listSegments, SEGMENT_HEADER_BYTES, segmentPath } from "../../src/ledger/segment.ts";
import { RECORD_HEADER_BYTES } from "../../src/protocol/packet.ts";
import { writeApart } from "../support/apart.ts";
import { eventually } from "../support/eventually.ts";
import { openWorld, type World } from "../support/world.ts";

setDefaultTimeout(60_000);

async function setup() {
  const world = openWorld();
  await world.start();
  return {
    ...world,
    ledger: (job: string) => join(world.state, "ledgers", job),
    touch: (name: string) => writeFileSync(join(world.home, name), ""),
  };
}

/** The server goes on as if nothing had been. */
async function expectServing(world: World): Promise<void> {
  expect(await world.farhand(["exec", "--", "echo", "here"])).toMatchObject({ code: 0, stdout: "here\n" });
}

describe("A ledger that is damaged", () => {
  /** A job that wrote `one`, `two` and `three`, a packet each, and exited with 4. */
  async function setupDamaged() {
    const world = await setup();
    const job = await writeApart(world, ["one", "two", "three"], 4);
    expect((await world.farhand(["wait", job])).code).toBe(4);
    const path = segmentPath(world.ledger(job), 0);
    const second = SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES + "one\n".length;
    const flip = (offset: number) => {
      const bytes = readFileSync(path);
      bytes[offset] = (bytes[offset] ?? 0) ^ 1;
      writeFileSync(path, bytes);
    };
    return { ...world, id: job, path, second, flip };
  }

  test("in a packet is shown up to that, and can be read behind it", async () => {
    await using world = await setupDamaged();
    const { id: job, second } = world;
    world.flip(second + RECORD_HEADER_BYTES);
    const { code, stdout, stderr } = await world.farhand(["follow", job]);
    const damaged = `Cannot read on: the ledger of job ${job} is damaged at packet 1; it can be read again from packet 2 on`;
    expect([code, stdout, stderr]).toEqual([125, "one\n", expect.stringContaining(damaged)]);
    expect(await world.farhand(["follow", job, "--since", "2"])).toMatchObject({
      code: 4,
      stdout: "three\n",
    });
    expect(await world.job(job)).toMatchObject({ state: "closed", outcome: { type: "exited", code: 4 } });
    expect((await world.farhand(["wait", job])).code).toBe(4);
    await expectServing(world);

    // A server that must read from the ledgers how jobs ended finds that behind the damage too.
    await world.farhandd(["stop"]);
    for (const suffix of ["", "-wal", "-shm"])
      rmSync(join(world.state, `state.db${suffix}`), { force: true });
    await world.start();
    expect(await world.job(job)).toMatchObject({ state: "closed", outcome: { type: "exited", code: 4 } });
    expect((await world.farhand(["follow", job])).stderr).toContain(damaged);
  });

  test.each([
    ["a record's length", (second: number) => second + 1],
    ["a record's checksum", (second: number) => second + 5],
    ["a record's number", (second: number) => second + 19],
  ])("in %s is shown up to that", async (_, toOffset) => {
    await using world = await setupDamaged();
    world.flip(toOffset(world.second));
    const { code, stdout, stderr } = await world.farhand(["follow", world.id]);
    expect([code, stdout]).toEqual([125, "one\n"]);
    expect(stderr).toMatch(/packet 1\b/);
  });

  test("in its header, or has lost its segments, shows nothing and says so", async () => {
    await using world = await setupDamaged();
    world.flip(20);
    const header = await world.farhand(["follow", world.id]);
    expect([header.code, header.stdout, header.stderr]).toEqual([
      125,
      "",
      expect.stringContaining("is damaged at packet 0"),
    ]);
    truncateSync(world.path, 0);
    expect(await world.farhand(["follow", world.id])).toMatchObject({ code: 125, stdout: "" });
    rmSync(world.path);
    expect(await world.farhand(["follow", world.id])).toMatchObject({ code: 125, stdout: "" });
    expect((await world.farhand(["jobs"])).stdout).toContain("exited 4");
  });

  test("in its start record is listed, followed and waited for all the same", async () => {
    await using world = await setupDamaged();
    truncateSync(join(world.ledger(world.id), "start.ndjson"), 30);
    await world.farhandd(["stop"]);
    await world.start();
    expect(await world.farhand(["follow", world.id])).toMatchObject({
      code: 4,
      stdout: "one\ntwo\nthree\n",
    });
    expect((await world.farhand(["wait", "1"])).code).toBe(4);
  });
});

describe("A ledger of a running job that somebody", () => {
  const waiter = ": > ready; echo one; while [ ! -e go ]; do sleep 0.02; done; echo two; exit 7";

  test("truncates is missed by who is attached and has not read it yet; the job and the server go on", async () => {
    await using world = await setup();
    const script = "echo one; while [ ! -e go ]; do sleep 0.02; done; yes | head -c 3000000; exit 7";
    const client = world.open(["farhand", "exec", "--keep-output", "all", "--shell", script]);
    await eventually(() => client.said() === "one\n", 30_000);
    const { id } = await world.job("@last");
    const path = segmentPath(world.ledger(id), 0);
    const { pid } = await world.status();
    // The server cannot read while it is frozen, and the keeper writes.
    process.kill(pid, "SIGSTOP");
    world.touch("go");
    await eventually(() => statSync(path).size > 3_000_000, 30_000);
    truncateSync(path, 2_000_000);
    process.kill(pid, "SIGCONT");
    const { code, stdout, stderr } = await client.ran;
    expect([code, stderr]).toEqual([125, expect.stringMatching(/is damaged at packet \d+/)]);
    expect(`one\n${"y\n".repeat(1_500_000)}`.startsWith(stdout)).toBe(true);
    expect(stdout.length).toBeLessThan(2_000_000);
    expect((await world.farhand(["wait", id])).code).toBe(7);
    await expectServing(world);
  });

  test("deletes is read to its end by who has it open, and whoever comes later is told", async () => {
    await using world = await setup();
    const client = world.open(["farhand", "exec", "--shell", waiter]);
    await eventually(() => client.said() === "one\n", 30_000);
    const { id } = await world.job("@last");
    rmSync(world.ledger(id), { recursive: true });
    expect(await world.farhand(["follow", id])).toMatchObject({
      code: 125,
      stderr: expect.stringContaining("its record was removed"),
    });
    world.touch("go");
    expect(await client.ran).toMatchObject({ code: 7, stdout: "one\ntwo\n" });
    expect((await world.farhand(["wait", id])).code).toBe(7);
    await expectServing(world);
  });

  test("deletes while it grows ends with its outcome, and its reader with 125", async () => {
    await using world = await setup();
    const script =
      ": > ready; echo one; while [ ! -e go ]; do sleep 0.02; done; yes | head -c 3000000; exit 7";
    const client = world.open(["farhand", "exec", "--keep-output", "1MiB", "--shell", script]);
    await eventually(() => client.said() === "one\n", 30_000);
    const { id } = await world.job("@last");
    expect(listSegments(world.ledger(id))).toEqual([0]);
    rmSync(world.ledger(id), { recursive: true });
    const waiting = world.open(["farhand", "wait", id]);
    world.touch("go");
    expect((await waiting.ran).code).toBe(7);
    const { code, stderr } = await client.ran;
    expect([code, stderr.length > 0]).toEqual([125, true]);
    await expectServing(world);
  });
});

test("A job whose ledger is removed while no server runs is lost, and waits for nobody", async () => {
  await using world = await setup();
  const job = await world.detach("sleep", "1000");
  const [keeper] = (await world.status()).keepers;
  await world.farhandd(["stop"]);
  process.kill(keeper?.pid ?? 0, "SIGKILL");
  rmSync(world.ledger(job), { recursive: true });
  await world.start();
  // It is forgotten by the next sweep.
  expect((await world.farhand(["wait", job])).code).toBe(125);
  await expectServing(world);
});
