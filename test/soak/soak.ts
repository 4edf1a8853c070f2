import { parseArgs } from "node:util";
import { type Report, storm } from "./storm.ts";
import { countWhole, stall } from "./volume.ts";

const usage = `Usage: bun run soak [--seconds N] [--seed N] [--only storm|slow|stalled]

storm     programs through Farhand while clients, server and network fail (default 600 s), compared with what they do alone
slow      a program of much output a thousand times over a slow link
stalled   10 GB of output whose reader is stopped for 30 s

Ends with 1 when anything was lost, repeated, or passed off as something else, or when too little was tried.`;

const MiB = 1024 * 1024;
const ROUNDS = 1_000;
const STALLED_BYTES = 10_000_000_000;
const STALLED_FOR = 30_000;
/** What front and keeper together may take beyond what they take when idle. */
const BOUND = 64 * MiB;

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "600" },
    seed: { type: "string", default: String(crypto.getRandomValues(new Uint32Array(1))[0]) },
    only: { type: "string" },
    help: { type: "boolean" },
  },
});

/** Each says how it went, and whether that is well. */
const phases: Record<string, () => Promise<boolean>> = {
  async storm() {
    const [seconds, seed] = [Number(values.seconds), Number(values.seed)];
    console.log(`Storm of ${seconds} s with seed ${seed}`);
    const report = await storm({ seconds, seed, log: console.log });
    print(report);
    return report.wrongs.length === 0;
  },
  async slow() {
    const bytesPerSecond = 50_000_000;
    const whole = await countWhole(ROUNDS, { bytesPerSecond, width: 4 });
    console.log(`${whole} of ${ROUNDS} outputs were whole at ${bytesPerSecond / 1e6} MB/s`);
    return whole === ROUNDS;
  },
  async stalled() {
    const { code, receivedBytes, peakBytes, seconds } = await stall(STALLED_BYTES, STALLED_FOR);
    const peak = `${Math.round(peakBytes / MiB)} MiB at most beyond idle (aimed at: ${BOUND / MiB})`;
    console.log(
      `${receivedBytes} bytes past a stopped reader in ${Math.round(seconds)} s, exit code ${code}; ${peak}`,
    );
    return code === 0 && receivedBytes === STALLED_BYTES && peakBytes <= BOUND;
  },
};

if (values.help) console.log(usage);
else {
  for (const [name, run] of Object.entries(phases)) {
    if (values.only !== undefined && values.only !== name) continue;
    if (!(await run())) process.exitCode = 1;
  }
}

function print({ seed, jobs, faults, wrongs, privateBytes, ...tallies }: Report): void {
  console.log(`Seed ${seed}: ${jobs} jobs, ${faults} faults, ${wrongs.length} wrong`);
  for (const [name, counts] of Object.entries({
    "How jobs went": tallies.verdicts,
    "What they were": tallies.kinds,
    "What struck": tallies.struck,
    "What clients said that failed": tallies.failures,
  })) {
    const list = Object.entries(counts).toSorted(([one], [other]) => one.localeCompare(other));
    console.log(`${name}: ${list.map(([what, count]) => `${count} ${what}`).join("; ")}`);
  }
  const sizes = privateBytes.map((bytes) => `${Math.round(bytes / MiB)} MiB`);
  console.log(`Memory of front and keeper in the end: ${sizes.join(" and ")}`);
  for (const wrong of wrongs) console.log(`WRONG: ${wrong}`);
}
