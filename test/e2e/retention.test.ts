import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { writeLedger } from "../support/ledgers.ts";
import { openWorld, parseShown } from "../support/world.ts";

setDefaultTimeout(60_000);

const MiB = 1024 * 1024;
/** Bytes of a segment where 1 MiB is kept. */
const SEGMENT = 256 * 1024;
const WRITTEN = 10 * MiB;

async function setup(...args: string[]) {
  const world = openWorld();
  await world.start(...args);
  const diskBytes = (job: string) => {
    const ledger = join(world.state, "ledgers", job);
    return readdirSync(ledger).reduce(
      (sum, name) => sum + (statSync(join(ledger, name), { throwIfNoEntry: false })?.size ?? 0),
      0,
    );
  };
  return { ...world, diskBytes };
}

describe("--keep-output 1MiB of a detached job that writes 10 MiB", () => {
  const lines = ["--keep-output", "1MiB", "--shell", "yes 123456789abcdef | head -c 10485760; exit 4"];

  test("leaves at most 1 MiB and one segment on the disk", async () => {
    await using world = await setup();
    const job = await world.detach(...lines);
    expect((await world.farhand(["wait", job])).code).toBe(4);
    expect(world.diskBytes(job)).toBeLessThanOrEqual(MiB + SEGMENT);
    expect(world.diskBytes(job)).toBeGreaterThan(MiB / 2);
  });

  test("gives one gap with exact counts, then an unbroken rest", async () => {
    await using world = await setup();
    const job = await world.detach(...lines);
    await world.farhand(["wait", job]);
    const packets = await world.packets(job);
    const [gap, ...rest] = packets;
    if (gap?.type !== "gap") throw new Error(`The first packet is ${gap?.type}`);
    expect(rest.map(({ type }) => type)).not.toContain("gap");

    const text = rest.map((packet) => (packet.type === "stdout" ? packet.text : "")).join("");
    expect(gap.totals.stdoutBytes + text.length).toBe(WRITTEN);
    const whole = "123456789abcdef\n".repeat(WRITTEN / 16);
    expect(text === whole.slice(gap.totals.stdoutBytes)).toBe(true);
    const exit = rest.at(-1);
    if (exit?.type !== "exit") throw new Error(`The last packet is ${exit?.type}`);
    expect(exit.totals).toMatchObject({ packets: gap.next + rest.length - 1, stdoutBytes: WRITTEN });
    expect(gap.totals.packets).toBe(gap.next);
  });

  test("is told on stderr with the exact counts, and exit 125", async () => {
    await using world = await setup();
    const job = await world.detach(...lines);
    await world.farhand(["wait", job]);
    const gap = (await world.packets(job))[0];
    if (gap?.type !== "gap") throw new Error(`The first packet is ${gap?.type}`);
    const { code, stdout, stderr } = await world.farhand(["follow", job, "--since", "0"]);
    expect([code, stdout.length]).toEqual([125, WRITTEN - gap.totals.stdoutBytes]);
    expect(stderr).toBe(
      "farhand: Output of job 1 is incomplete: " +
        `${gap.next} packets are gone (${gap.totals.stdoutBytes} bytes of stdout, 0 bytes of stderr)\n`,
    );
  });

  test("loses nothing while a client is attached, however slowly it reads", async () => {
    await using world = await setup();
    const line = "farhand exec --keep-output 1MiB --shell 'seq 1 500000' | (sleep 1; md5sum)";
    const { stdout } = await world.shell(`${line}; seq 1 500000 | md5sum`);
    const [received, expected] = stdout.trim().split("\n");
    expect(received).toBe(expected ?? "");
  });

  test("lets --recent read what is kept without a word of the gap", async () => {
    await using world = await setup();
    const job = await world.detach(...lines);
    await world.farhand(["wait", job]);
    const { code, stdout } = await world.farhand(["follow", job, "--recent", "3"]);
    expect(code).toBe(4);
    expect("123456789abcdef\n".repeat(WRITTEN / 16).endsWith(stdout)).toBe(true);
  });
});

test("follow of a job whose record was removed says so, and exits 125", async () => {
  await using world = await setup();
  const job = await world.detach("--", "echo", "hello");
  await world.farhand(["wait", job]);
  rmSync(join(world.state, "ledgers", job), { recursive: true });
  for (const words of [[], ["--recent", "3"]]) {
    expect(await world.farhand(["follow", job, ...words])).toMatchObject({
      code: 125,
      stdout: "",
      stderr: `farhand: Cannot read job ${job}: its record was removed\n`,
    });
  }
});

test("follow does not take the rest of a damaged record for the whole", async () => {
  await using world = await setup();
  const job = await world.detach("--", "echo", "hello");
  await world.farhand(["wait", job]);
  const ledger = join(world.state, "ledgers", job);
  for (const name of readdirSync(ledger)) if (name.endsWith(".seg")) rmSync(join(ledger, name));
  const { code, stderr } = await world.farhand(["follow", job]);
  expect([code, stderr]).toEqual([
    125,
    "farhand: Output of job 1 is incomplete: it ends before packet 0, the exit is packet 1\n",
  ]);
});

describe("Beyond --retention-bytes", () => {
  /** A detached job that keeps everything, has written 20 MB, and waits for the file `go`. */
  async function setupLarge(...limits: string[]) {
    const world = await setup(...limits);
    const script =
      "yes 123456789abcdef | head -c 20000000; : > written; while [ ! -e go ]; do sleep 0.02; done; echo last; exit 4";
    const job = await world.detach("--keep-output", "all", "--shell", script);
    await eventually(() => existsSync(join(world.home, "written")), 30_000);
    return { ...world, id: job };
  }

  test("a running detached job loses its oldest output, and its readers are told exactly what", async () => {
    await using world = await setupLarge("--retention-bytes", "4MiB");
    const { id: job } = world;
    await eventually(() => world.diskBytes(job) <= 4 * MiB, 30_000);
    expect(await world.job(job)).toMatchObject({ state: "running" });
    writeFileSync(join(world.home, "go"), "");
    expect((await world.farhand(["wait", job])).code).toBe(4);
    const [gap, ...rest] = await world.packets(job);
    if (gap?.type !== "gap") throw new Error(`The first packet is ${gap?.type}`);
    const text = rest.map((packet) => (packet.type === "stdout" ? packet.text : "")).join("");
    expect(rest.map(({ type }) => type)).not.toContain("gap");
    expect(gap.totals.stdoutBytes + text.length).toBe(20_000_000 + "last\n".length);
    expect(text.endsWith("\nlast\n")).toBe(true);
    expect((await world.farhand(["follow", job])).code).toBe(125);
  });

  test("jobs that are over go first, and a job loses nothing that a client still reads", async () => {
    await using world = await setup("--retention-bytes", "4MiB");
    await world.farhand(["exec", "--", "echo", "over"]);
    const line = "farhand exec --keep-output all --shell 'seq 1 2000000' | (sleep 3; md5sum)";
    const { stdout } = await world.shell(`${line}; seq 1 2000000 | md5sum`);
    const [received, expected] = stdout.trim().split("\n");
    expect(received).toBe(expected ?? "");
    await eventually(async () => (await world.farhand(["follow", "1"])).code === 125, 30_000);
    expect((await world.farhand(["follow", "1"])).stderr).toContain('Cannot find job "1"');
  });
});

test("[retention] of the configuration is kept to by a server from its start, and numbers go on", async () => {
  await using world = openWorld();
  mkdirSync(world.state, { mode: 0o700 });
  for (let number = 1; number <= 5; number++) writeLedger(world.state, ["said"], 3, { number });
  const config = join(world.home, "farhandd.toml");
  writeFileSync(config, 'listen = "127.0.0.1:0"\n[retention]\njobs = 2\n');
  await world.start("--config", config);
  await eventually(async () => (await world.status()).jobs.total === 2, 30_000);
  expect(await world.farhand(["follow", "5"])).toMatchObject({ code: 3, stdout: "said" });
  expect(readdirSync(join(world.state, "ledgers"))).toHaveLength(2);
  expect((await world.job(await world.detach("--", "true"))).number).toBe(6);

  await world.farhandd(["stop"]);
  await world.start("--config", config, "--retention-age", "1d");
  await eventually(async () => (await world.status()).jobs.total === 1, 30_000);
  const wrong = await world.farhandd(["start", "--config", config, "--retention-age", "old"]);
  expect([wrong.code, wrong.stderr]).toEqual([
    1,
    expect.stringContaining('Cannot use --retention-age "old": '),
  ]);
});

test("--keep-output all keeps more than the default budget", async () => {
  await using world = await setup();
  const job = await world.detach("--keep-output", "all", "--", "head", "-c", String(80 * MiB), "/dev/zero");
  expect((await world.farhand(["wait", job])).code).toBe(0);
  expect(world.diskBytes(job)).toBeGreaterThanOrEqual(80 * MiB);
  const { code, stdout } = await world.shell(`farhand follow ${job} | wc -c`);
  expect([code, stdout.trim()]).toEqual([0, String(80 * MiB)]);
});

test("Packets that --json shows have rising numbers and match their totals", async () => {
  await using world = await setup();
  const { stdout } = await world.farhand(["exec", "--json", "--shell", "seq 1 20000; seq 1 20000 >&2"]);
  const shown = parseShown(stdout);
  const bytes = (type: string) =>
    shown.reduce(
      (sum, packet) => sum + (packet.type === type && "text" in packet ? (packet.text?.length ?? 0) : 0),
      0,
    );
  const exit = shown.at(-1);
  if (exit?.type !== "exit") throw new Error(`The last packet is ${exit?.type}`);
  expect(exit.totals).toMatchObject({
    packets: shown.length - 2,
    stdoutBytes: bytes("stdout"),
    stderrBytes: bytes("stderr"),
  });
});
