import * as v from "valibot";
import { AppError } from "../protocol/error.ts";
import { FilePath } from "../protocol/path.ts";
import type { CliArg, CliValues } from "./define.ts";
import { FilePaths, pathArgs, toPaths } from "./paths.ts";

/** What goes where. */
export const transferEntries = {
  from: v.pipe(FilePaths, v.minLength(1, "names no path")),
  /** A directory that is to hold them or, of a single one, its new path. */
  to: FilePath,
  /** Leave alone what is there already. */
  noClobber: v.optional(v.boolean(), false),
};

export const transferArgs = {
  "no-clobber": { type: "boolean", alias: "n", description: "Leave alone what is there already" },
  ...pathArgs,
} as const satisfies Record<string, CliArg>;

/** The last path is where the others go. Throws `invalid_input`. */
export function toTransfer(values: CliValues) {
  const paths = toPaths(values);
  const to = paths.at(-1);
  if (to === undefined || paths.length < 2)
    throw new AppError(
      "invalid_input",
      `Cannot read the command line: ${paths.length === 0 ? "SOURCE" : "TARGET"} is missing`,
    );
  return { from: paths.slice(0, -1), to, noClobber: values.flag("no-clobber") };
}
