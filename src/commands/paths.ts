import { escapeBytes, escapeControls } from "../lib/escape.ts";
import { AppError } from "../protocol/error.ts";
import { FilePath, type FileName, toBytes } from "../protocol/path.ts";
import * as v from "valibot";
import type { CliArg, CliValues } from "./define.ts";

/** Paths that one call takes at most. */
const MAX_PATHS = 1_000;

/** Several paths in an input. */
export const FilePaths = v.pipe(
  v.array(FilePath),
  v.maxLength(MAX_PATHS, `has more than ${MAX_PATHS} paths`),
);

/** The option by which a path is named whose bytes no command line carries. */
export const pathArgs = {
  "path-bytes": {
    type: "string",
    valueHint: "base64",
    multiple: true,
    description: "A path by its bytes, as nameBytes gives them; may be repeated, and comes before the others",
  },
} as const satisfies Record<string, CliArg>;

/** The paths of a command line: those named by their bytes, then those in words. Throws `invalid_input`. */
export function toPaths(values: CliValues, words: readonly string[] = values.rest): FilePath[] {
  return [...values.list("path-bytes").map(parsePathBytes), ...words];
}

/** Exactly so many paths. `names`: what each is called in help, such as `PATH`. Throws `invalid_input`. */
export function toPathsOf(values: CliValues, names: readonly string[]): FilePath[] {
  const given = toPaths(values);
  const missing = names[given.length];
  if (missing !== undefined) throw refused(`${missing} is missing`);
  if (given.length === names.length) return given;
  throw refused(`there is no place for "${showPath(given[names.length] ?? "")}"`);
}

function parsePathBytes(text: string): FilePath {
  const parsed = v.safeParse(FilePath, { bytes: text });
  if (parsed.success) return parsed.output;
  const why = v.is(v.pipe(v.string(), v.base64()), text)
    ? `it ${parsed.issues[0].message}`
    : "write the path's bytes in base64";
  throw new AppError("invalid_input", `Cannot use --path-bytes "${text.slice(0, 50)}": ${why}`);
}

/** A path on one line, harmless on a terminal. */
export function showPath(path: FilePath): string {
  return escapeBytes(toBytes(path));
}

/** A name of a result on one line, harmless on a terminal. */
export function showName({ name, nameBytes }: FileName): string {
  return nameBytes === undefined ? escapeControls(name) : escapeBytes(Buffer.from(nameBytes, "base64"));
}

function refused(what: string): AppError {
  return new AppError("invalid_input", `Cannot read the command line: ${what}`);
}
