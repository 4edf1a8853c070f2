/** One way to do a thing, and how long it took each time (ms). */
export interface Contender {
  readonly name: string;
  readonly run: () => Promise<unknown>;
  /** How far Farhand's median may be from this one's: its time at most so many times this one's. */
  readonly target?: number;
}

export interface Row {
  readonly what: string;
  readonly name: string;
  readonly runs: string;
  readonly figure: string;
  readonly ratio: string;
  readonly target: string;
}

/** Runs each contender once in turn, as often as told, after one round that does not count. */
async function race(contenders: readonly Contender[], runs: number): Promise<number[]> {
  const times = contenders.map((): number[] => []);
  for (let round = -1; round < runs; round++) {
    for (const [index, { run }] of contenders.entries()) {
      const start = performance.now();
      await run();
      if (round >= 0) times[index]?.push(performance.now() - start);
    }
  }
  return times.map(median);
}

/** A row for each; the first is Farhand, the ratio is its time by theirs. `format`: how a median (ms) is shown. */
export async function compare(
  what: string,
  contenders: readonly Contender[],
  runs: number,
  format: (ms: number) => string = formatTime,
): Promise<Row[]> {
  const medians = await race(contenders, runs);
  const own = medians[0] ?? Number.NaN;
  return contenders.map(({ name, target }, index) => {
    const ratio = own / (medians[index] ?? Number.NaN);
    return {
      what: index === 0 ? what : "",
      name,
      runs: String(runs),
      figure: format(medians[index] ?? Number.NaN),
      ratio: index === 0 ? "" : formatRatio(ratio),
      target: target === undefined ? "" : verdict(ratio <= target, `at most ${formatRatio(target)}`),
    };
  });
}

export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((one, other) => one - other);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

export function formatTime(ms: number): string {
  return ms < 1
    ? `${Math.round(ms * 1_000)} µs`
    : ms < 1_000
      ? `${ms.toFixed(1)} ms`
      : `${(ms / 1_000).toFixed(2)} s`;
}

/** Below one as a fraction, which is how the targets are written. */
function formatRatio(ratio: number): string {
  return ratio >= 1 ? `${ratio.toFixed(2)}×` : `1/${(1 / ratio).toFixed(1)}`;
}

export function verdict(reached: boolean, target: string): string {
  return `${target}: ${reached ? "reached" : "MISSED"}`;
}
