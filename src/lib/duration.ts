const UNITS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Reads `500ms`, `5s`, `2m`, `1h` or `7d` as milliseconds. Throws a `RangeError` on anything else. */
export function parseDuration(text: string): number {
  const [, amount, unit = ""] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text) ?? [];
  const ms = Math.round(Number(amount) * (UNITS[unit] ?? Number.NaN));
  if (!Number.isSafeInteger(ms)) {
    throw new RangeError(
      `Cannot read duration "${text}": write a number with a unit, such as 500ms, 5s, 2m, 1h or 7d`,
    );
  }
  return ms;
}

/** Writes milliseconds in the largest unit that reads well: `850 ms`, `12.4 s`, `3 m 20 s`, `2 h 5 m`, `7 d 1 h`. */
export function formatDuration(ms: number): string {
  // What rounds up to a whole larger unit is written in that one.
  if (Math.round(ms) < 1_000) return `${Math.round(ms)} ms`;
  if (Math.round(ms / 100) < 600) return `${Math.round(ms / 100) / 10} s`;
  if (ms < 60_000) return "1 m";
  const [unit, size, rest, restSize] =
    ms < 3_600_000
      ? ["m", 60_000, "s", 1_000]
      : ms < 86_400_000
        ? ["h", 3_600_000, "m", 60_000]
        : ["d", 86_400_000, "h", 3_600_000];
  const whole = Math.floor(ms / (size as number));
  const remainder = Math.floor((ms % (size as number)) / (restSize as number));
  return remainder === 0 ? `${whole} ${unit}` : `${whole} ${unit} ${remainder} ${rest}`;
}
