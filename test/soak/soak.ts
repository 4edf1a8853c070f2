import { parseArgs } from "node:util";
import { type Report, storm } from "./storm.ts";

const usage = `Usage: bun run soak [--seconds N] [--seed N] [--only storm|seq|volume]

Runs programs through Farhand while clients, server and network fail (600 s), a thousand times over a slow link, and 10 GB past a
stopped reader. Ends with 1 when anything was lost, repeated, or passed off as something else.`;

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "600" },
    seed: { type: "string", default: String(crypto.getRandomValues(new Uint32Array(1))[0]) },
    only: { type: "string" },
    help: { type: "boolean" },
  },
});

if (values.help) console.log(usage);
else await soak();

async function soak(): Promise<void> {
  const seed = Number(values.seed);
  const seconds = Number(values.seconds);
  console.log(`Storm of ${seconds} s with seed ${seed}`);
  print(await storm({ seconds, seed, log: console.log }));
}

function print(report: Report): void {
  console.log(JSON.stringify(report, undefined, 2));
  if (report.wrongs.length > 0) process.exitCode = 1;
}
