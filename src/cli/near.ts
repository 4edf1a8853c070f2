/** Names that a word may have been meant for: those that differ from it in few letters, the nearest first. */
export function findNear(word: string, names: readonly string[]): readonly string[] {
  return names
    .map((name) => ({ name, distance: measure(word, name) }))
    .filter(
      ({ name, distance }) => distance <= limitOf(word, name) || (word.length > 2 && name.startsWith(word)),
    )
    .sort((one, other) => one.distance - other.distance)
    .slice(0, 3)
    .map(({ name }) => name);
}

/** Whoever types a longer word wrong in two places has at least begun it right. */
function limitOf(word: string, name: string): number {
  if (word.length < 2) return 0;
  return word.length < 5 || word[0] !== name[0] ? 1 : 2;
}

/** How many letters must be added, taken away, changed, or swapped with their neighbours. */
function measure(one: string, other: string): number {
  if (Math.abs(one.length - other.length) > 2) return Number.POSITIVE_INFINITY;
  let [before, row]: [number[], number[]] = [
    [],
    Array.from({ length: other.length + 1 }, (_, index) => index),
  ];
  for (let i = 1; i <= one.length; i++) {
    const next = [i];
    for (let j = 1; j <= other.length; j++) {
      const change = one[i - 1] === other[j - 1] ? 0 : 1;
      let least = Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + change);
      const isSwap = i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1];
      if (isSwap) least = Math.min(least, (before[j - 2] ?? 0) + 1);
      next.push(least);
    }
    [before, row] = [row, next];
  }
  return row[other.length] ?? 0;
}
