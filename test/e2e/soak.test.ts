import { expect, setDefaultTimeout, test } from "bun:test";
import { storm } from "../soak/storm.ts";
import { countWhole, stall } from "../soak/volume.ts";

setDefaultTimeout(400_000);

const MiB = 1024 * 1024;

test("Whatever fails for a minute, no job is lost, runs twice, or ends as something that it is not", async () => {
  const seed = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  console.log(`Storm of a minute: seed ${seed}`);
  const { jobs, faults, verdicts, struck, failures, wrongs } = await storm({ seconds: 60, seed });
  console.log(`${jobs} jobs, ${faults} faults`, verdicts, struck, failures);
  expect(wrongs).toEqual([]);
});

test("Output over a slow link is complete 20 of 20 times", async () => {
  expect(await countWhole(20, { bytesPerSecond: 10_000_000, width: 4 })).toBe(20);
});

test("1 GB past a reader that is stopped for 10 s arrive, and take no memory meanwhile", async () => {
  const { code, receivedBytes, peakBytes } = await stall(1_000_000_000, 10_000);
  console.log(`Front and keeper took ${Math.round(peakBytes / MiB)} MiB more`);
  expect([code, receivedBytes]).toEqual([0, 1_000_000_000]);
  expect(peakBytes).toBeLessThan(10 * 64 * MiB);
});
