import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { openWorld, parseShown } from "../support/world.ts";

setDefaultTimeout(60_000);

const MiB = 1024 * 1024;
/** Bytes of a segment where 1 MiB is kept. */
const SEGMENT = 256 * 1024;
const WRITTEN = 10 * MiB;

async function setup() {
  const world = openWorld();
  await world.start();
  const diskBytes = (job: string) => {
    const ledger = join(world.state, "ledgers", job);
    return readdirSync(ledger).reduce((sum, name) => sum + statSync(join(ledger, name)).size, 0);
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
