import { readFileSync } from "node:fs";

/** Bytes of memory that only this process has: what would be free without it. 0 once it is gone. */
export function privateBytes(pid: number): number {
  try {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    const sizes = [...text.matchAll(/^Private_(?:Clean|Dirty): +(\d+) kB$/gm)];
    return sizes.reduce((sum, [, kilobytes]) => sum + Number(kilobytes) * 1024, 0);
  } catch {
    return 0; // it ended meanwhile
  }
}

/** Samples the private memory of some processes together until disposed. */
export interface Gauge extends Disposable {
  /** Most bytes seen beyond those at the beginning, of each process by itself. */
  readonly peaks: () => readonly number[];
}

export function openGauge(pids: readonly number[], every = 20): Gauge {
  const idle = pids.map(privateBytes);
  const peaks = pids.map(() => 0);
  const sample = () => {
    pids.forEach((pid, index) => {
      peaks[index] = Math.max(peaks[index] ?? 0, privateBytes(pid) - (idle[index] ?? 0));
    });
  };
  const timer = setInterval(sample, every);
  return { peaks: () => peaks, [Symbol.dispose]: () => clearInterval(timer) };
}
