import { parseDuration } from "../../lib/duration.ts";

/** Longer than any token should live, and short of where sums of moments break. */
const MAX_LIFETIME = 3_650 * 86_400_000;

/** Milliseconds, infinite for `never`. Throws a `RangeError`. */
export function parseLifetime(text: string): number {
  if (text === "never") return Number.POSITIVE_INFINITY;
  const ms = read(text);
  if (ms > 0 && ms <= MAX_LIFETIME) return ms;
  throw new RangeError(`Cannot read time "${text}": write from 1s to 3650d, or never`);
}

function read(text: string): number {
  try {
    return parseDuration(text);
  } catch (error) {
    throw error instanceof RangeError ? new RangeError(`${error.message}, or never`) : error;
  }
}
