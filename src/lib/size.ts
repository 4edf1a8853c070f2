const UNITS: Record<string, number> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

/** Reads `512B`, `64KiB`, `1MiB` or `1GiB` as bytes. Throws a `RangeError` on anything else. */
export function parseSize(text: string): number {
  const [, amount, unit = ""] = /^(\d+(?:\.\d+)?)(B|KiB|MiB|GiB)$/.exec(text) ?? [];
  const bytes = Math.round(Number(amount) * (UNITS[unit] ?? Number.NaN));
  if (!Number.isSafeInteger(bytes)) {
    throw new RangeError(
      `Cannot read size "${text}": write a number with a unit, such as 64KiB, 1MiB or 1GiB`,
    );
  }
  return bytes;
}

/** Writes bytes in the largest unit that reads well: `512 B`, `64 KiB`, `1.5 MiB`, `10 GiB`. */
export function formatSize(bytes: number): string {
  const [unit, size] = Object.entries(UNITS).findLast(([, size]) => bytes >= size) ?? ["B", 1];
  return `${Math.round((bytes / size) * 10) / 10} ${unit}`;
}
