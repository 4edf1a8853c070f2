import * as v from "valibot";

/** More than any screen has; the kernel keeps 16 bits of each. */
export const MAX_CELLS = 10_000;

const cells = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MAX_CELLS));

/** How large a terminal is, in characters. */
export const TerminalSize = v.object({ columns: cells, rows: cells });
export type TerminalSize = v.InferOutput<typeof TerminalSize>;

/** The terminal on which a job's program runs: its size at the start, and of which kind it is. */
export const Terminal = v.object({
  ...TerminalSize.entries,
  /** The program's TERM: an entry of terminfo. */
  term: v.pipe(v.string(), v.regex(/^[\w.+-]{1,64}$/, "is no name of a kind of terminal")),
});
export type Terminal = v.InferOutput<typeof Terminal>;
