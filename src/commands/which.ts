import * as v from "valibot";
import { escapeControls } from "../lib/escape.ts";
import { AppError } from "../protocol/error.ts";
import { Found } from "../protocol/machine.ts";
import { defineForeground } from "./define.ts";

const MAX_NAMES = 100;

export const which = defineForeground({
  name: "which",
  summary: "Tell which files exec would run, and exit 1 if there is none for a name",
  permission: "read",
  idempotent: true,
  asUser: true,
  input: v.object({
    names: v.pipe(
      v.array(v.pipe(v.string(), v.maxLength(4096), v.excludes("\0", "must not contain a NUL byte"))),
      v.minLength(1, "names no program"),
      v.maxLength(MAX_NAMES, `has more than ${MAX_NAMES} names`),
    ),
  }),
  positional: ["names"],
  /** One for each name, in their order. */
  result: v.array(Found),

  run: ({ names }, { machine }) => Promise.all(names.map((name) => machine.findProgram(name))),

  cli: {
    args: {},
    rest: "NAME ...",
    examples: [
      ["farhand which git python3", "their files, one per line"],
      ["farhand -w build which make || echo missing", "as the workspace's PATH and directory have it"],
    ],
    toInput({ rest }) {
      if (rest.length === 0)
        throw new AppError(
          "invalid_input",
          "Cannot look for nothing: name a program, as in farhand which git",
        );
      return { names: [...rest] };
    },
    show: (found) =>
      found.map(({ path, reason }) => escapeControls(path ?? reason?.message ?? "")).join("\n"),
    toExitCode: (found) => (found.every(({ path }) => path !== undefined) ? 0 : 1),
  },
});
