import * as v from "valibot";

/** What a file's mode may be: its number or, as people write it, octal digits (`0755`). */
export const Mode = v.union(
  [
    v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0o7777)),
    v.pipe(v.string(), v.regex(/^(?:0o)?0?[0-7]{1,4}$/)),
  ],
  "is no mode: write octal digits, such as 0755",
);
export type Mode = v.InferOutput<typeof Mode>;

export function toModeNumber(mode: Mode | undefined): number | undefined {
  return typeof mode === "string" ? Number.parseInt(mode.replace(/^0o/, ""), 8) : mode;
}
