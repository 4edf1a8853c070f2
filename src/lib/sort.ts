import { turn } from "./abort.ts";

/** Comparisons after which everything else has a turn: a few milliseconds. */
const SLICE = 16_384;

/** Sorts like `Array.sort`, stably; however many there are, it keeps nothing else waiting. Rejects with the signal's reason. */
export async function sortInTurns<T>(
  items: readonly T[],
  compare: (a: T, b: T) => number,
  signal: AbortSignal,
): Promise<readonly T[]> {
  let runs: (readonly T[])[] = [];
  for (let start = 0; start < items.length; start += SLICE / 8) {
    runs.push(items.slice(start, start + SLICE / 8).sort(compare));
    await pause(signal);
  }
  for (; runs.length > 1;) {
    const merged: (readonly T[])[] = [];
    for (let index = 0; index < runs.length; index += 2)
      merged.push(await merge(runs[index] ?? [], runs[index + 1] ?? [], compare, signal));
    runs = merged;
  }
  return runs[0] ?? [];
}

async function merge<T>(
  left: readonly T[],
  right: readonly T[],
  compare: (a: T, b: T) => number,
  signal: AbortSignal,
): Promise<readonly T[]> {
  const merged: T[] = [];
  let [fromLeft, fromRight] = [0, 0];
  while (fromLeft < left.length && fromRight < right.length) {
    const [a, b] = [left[fromLeft] as T, right[fromRight] as T];
    if (compare(a, b) <= 0) {
      merged.push(a);
      fromLeft++;
    } else {
      merged.push(b);
      fromRight++;
    }
    if (merged.length % SLICE === 0) await pause(signal);
  }
  return merged.concat(left.slice(fromLeft), right.slice(fromRight));
}

async function pause(signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await turn();
}
