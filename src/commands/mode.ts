import * as v from "valibot";

const NO_MODE = "is no mode: write octal digits, such as 0755";

/** What a file's mode may be: its number or, as people write it, octal digits (`0755`). */
export const Mode = v.union(
  [
    v.pipe(v.number(), v.integer(NO_MODE), v.minValue(0, NO_MODE), v.maxValue(0o7777, NO_MODE)),
    v.pipe(v.string(), v.regex(/^(?:0o)?0?[0-7]{1,4}$/, NO_MODE)),
  ],
  NO_MODE,
);
export type Mode = v.InferOutput<typeof Mode>;

export function toModeNumber(mode: Mode | undefined): number | undefined {
  return typeof mode === "string" ? Number.parseInt(mode.replace(/^0o/, ""), 8) : mode;
}
