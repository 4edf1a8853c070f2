import { eventually } from "../support/eventually.ts";
import { openGauge } from "../support/memory.ts";
import { openProxy } from "../support/proxy.ts";
import { openWorld } from "../support/world.ts";

/** Writes 15 MB, several windows of credit. */
const SEQ = "seq 1 2000000";

/** Runs `seq` so often over a link that carries so much, some at a time; answers how many were complete. Throws at a wrong success. */
export async function countWhole(
  rounds: number,
  { bytesPerSecond, width }: { readonly bytesPerSecond: number; readonly width: number },
): Promise<number> {
  await using world = openWorld();
  const status = await world.start();
  await using proxy = await openProxy(String(status.listen[0]));
  proxy.shape({ bytesPerSecond });
  const env = { FARHAND_TOKEN: world.local().token, FARHAND_HOST: proxy.address };
  const { stdout: expected } = await world.shell(`${SEQ} | md5sum`);
  let left = rounds;
  let whole = 0;
  const work = async () => {
    while (left-- > 0) {
      const { code, stdout } = await world.shell(`farhand exec -- ${SEQ} | md5sum`, { env });
      if (code === 0 && stdout !== expected)
        throw new Error(`Output is missing, with exit code 0: ${stdout}`);
      if (code === 0) whole++;
    }
  };
  await Promise.all(Array.from({ length: width }, work));
  return whole;
}

/** What became of much output whose reader was stopped for a while. */
export interface Stalled {
  readonly code: number | null;
  readonly receivedBytes: number;
  /** Of front and keeper together, beyond what they take when idle. */
  readonly peakBytes: number;
  readonly seconds: number;
}

/** Runs a job that writes so many bytes, and stops its reader in the middle for so long (ms). */
export async function stall(bytes: number, stopped: number): Promise<Stalled> {
  await using world = openWorld();
  const { pid, keepers } = await world.start();
  await world.shell("farhand exec -- seq 1 200000 | tail -1"); // idle is what they are after their first job
  using gauge = openGauge([pid, ...keepers.map((keeper) => keeper.pid ?? 0)]);
  const began = performance.now();
  const reader = world.open([
    "bash",
    "-c",
    `set -o pipefail; farhand exec -- head -c ${bytes} /dev/zero | wc -c`,
  ]);
  const find = () => world.processes(/^\S*farhand exec /)[0];
  await eventually(() => find() !== undefined && world.processes(/^head /).length === 1, 30_000);
  const client = find() ?? 0;
  process.kill(client, "SIGSTOP");
  await Bun.sleep(stopped);
  process.kill(client, "SIGCONT");
  const { code, stdout } = await reader.ran;
  return {
    code,
    receivedBytes: Number(stdout),
    peakBytes: gauge.peaks().reduce((sum, peak) => sum + peak, 0),
    seconds: (performance.now() - began) / 1_000,
  };
}
