import * as v from "valibot";
import { parseDuration } from "../lib/duration.ts";

const bytes = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** Sizes in bytes, the bounds included. */
export const SizeBounds = v.object({ min: v.optional(bytes), max: v.optional(bytes) });
export type SizeBounds = v.InferOutput<typeof SizeBounds>;

/** A moment: so many milliseconds before the call, on the server's clock, or a time. */
export const Moment = v.variant("type", [
  v.object({ type: v.literal("ago"), ms: v.pipe(v.number(), v.safeInteger(), v.minValue(0)) }),
  v.object({ type: v.literal("at"), time: v.pipe(v.string(), v.isoTimestamp()) }),
]);
export type Moment = v.InferOutput<typeof Moment>;

/** A moment in milliseconds since 1970. */
export function toMs(moment: Moment, now: number): number {
  return moment.type === "ago" ? now - moment.ms : Date.parse(moment.time);
}

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
  t: 1024 ** 4,
};

/** Reads `+10M` (at least), `-4k` (at most) or `512` (exactly), in bytes or with k, M, G or T. Throws a `RangeError`. */
export function parseSizeBounds(text: string): SizeBounds {
  const [, sign = "", amount, unit = ""] = /^([+-]?)(\d+(?:\.\d+)?)(?:([bkmgt])(?:i?b)?)?$/i.exec(text) ?? [];
  const size = Math.round(Number(amount) * (UNITS[unit.toLowerCase()] ?? Number.NaN));
  if (!Number.isSafeInteger(size))
    throw new RangeError(
      `Cannot read size "${text}": write +10M for at least, -4k for at most, or 512 bytes`,
    );
  if (sign === "+") return { min: size };
  return sign === "-" ? { max: size } : { min: size, max: size };
}

/** Reads `7d` (so long ago) or `2026-11-01` or `2026-11-01T08:00:00Z`. Throws a `RangeError`. */
export function parseMoment(text: string): Moment {
  if (/^\d+(\.\d+)?(ms|s|m|h|d)$/.test(text)) return { type: "ago", ms: parseDuration(text) };
  const time = /^\d{4}-\d{2}-\d{2}/.test(text) ? new Date(text) : new Date(Number.NaN);
  if (!Number.isNaN(time.getTime())) return { type: "at", time: time.toISOString() };
  throw new RangeError(
    `Cannot read time "${text}": write how long ago, such as 7d, or a date, such as 2026-11-01`,
  );
}
