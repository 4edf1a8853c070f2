import * as v from "valibot";
import { escapeControls } from "../lib/escape.ts";
import { Environment } from "../protocol/environment.ts";
import { AppError } from "../protocol/error.ts";
import { MAX_ENV } from "../protocol/limits.ts";
import type { VariableChange, WorkspaceAccess } from "./access/workspace.ts";
import { defineForeground } from "./define.ts";
import { parseAssignment, VariableName, Variables } from "./variables.ts";

const names = v.optional(
  v.pipe(v.array(VariableName), v.maxLength(MAX_ENV, `has more than ${MAX_ENV} names`)),
  [],
);

const Input = v.pipe(
  v.object({
    /** Those to tell, besides what is changed; all if nothing is named at all. */
    names,
    set: v.optional(Variables, {}),
    /** Not to be passed on, though the server has it. */
    unset: names,
    /** To be as the server itself has it. */
    inherit: names,
  }),
  v.check(({ set, unset, inherit }) => {
    const changed = [...Object.keys(set), ...unset, ...inherit];
    return new Set(changed).size === changed.length;
  }, "names a variable twice"),
);

/** Variables as jobs get them, and which of them are so because of the workspace. */
const Result = v.object({ variables: Environment, set: v.array(v.string()), unset: v.array(v.string()) });
type Result = v.InferOutput<typeof Result>;

export const env = defineForeground({
  name: "env",
  summary: "Show, set and unset variables that the workspace gives to jobs",
  permission: "exec",
  idempotent: true,
  input: Input,
  positional: ["names"],
  confidential: ["set"],
  result: Result,

  async run({ names, ...change }, { workspace }) {
    checkThere(names, change, workspace);
    const changed = toNames(change);
    if (changed.length > 0) await workspace.change(change);
    return toResult([...names, ...changed], workspace);
  },

  cli: {
    args: {
      unset: {
        type: "string",
        alias: "u",
        valueHint: "NAME",
        multiple: true,
        description: "Do not pass this variable on; may be repeated",
      },
      inherit: {
        type: "string",
        valueHint: "NAME",
        multiple: true,
        description: "Have this variable as the server itself has it; may be repeated",
      },
      changed: { type: "boolean", description: "Only what is set or unset here" },
    },
    rest: "[NAME|NAME=VALUE ...]",
    examples: [
      ["farhand env", "all that a job in the workspace gets"],
      ["farhand env CC=clang MAKEFLAGS=-j4", "set two"],
      ["farhand env PATH", "the value of one"],
      ["farhand env --unset DISPLAY", "take one away"],
      ["farhand env --changed --json", "what is set and unset here, for a script"],
    ],
    toInput: ({ rest, list }) => ({
      names: rest.filter((word) => !word.includes("=")),
      set: Object.fromEntries(
        rest.filter((word) => word.includes("=")).map((word) => parseAssignment(word, "variable")),
      ),
      unset: [...list("unset")],
      inherit: [...list("inherit")],
    }),
    show: showVariables,
  },
});

/** A variable on each line, those that are unset here last. */
function showVariables({ variables, unset }: Result): string {
  const lines = Object.entries(variables).map(([name, value]) => escapeControls(`${name}=${value}`));
  return [...lines.sort(), ...unset.toSorted().map((name) => `unset ${escapeControls(name)}`)].join("\n");
}

/** Throws `not_found` for a name that is asked for and would not be there. */
function checkThere(
  names: readonly string[],
  change: VariableChange,
  { name, environment }: WorkspaceAccess,
): void {
  const isThere = (asked: string) => Object.hasOwn(environment, asked) || toNames(change).includes(asked);
  const missing = names.find((asked) => !isThere(asked));
  if (missing === undefined) return;
  throw new AppError(
    "not_found",
    `Cannot find variable "${missing.slice(0, 200)}": it is not set in workspace "${name}"`,
  );
}

function toNames({ set, unset, inherit }: VariableChange): readonly string[] {
  return [...Object.keys(set), ...unset, ...inherit];
}

/** `asked`: names of what is wanted; none for all. */
function toResult(asked: readonly string[], { environment, changed }: WorkspaceAccess): Result {
  const wanted = new Set(asked);
  const isWanted = (name: string) => wanted.size === 0 || wanted.has(name);
  return {
    variables: Object.fromEntries(Object.entries(environment).filter(([name]) => isWanted(name))),
    set: changed.set.filter(isWanted),
    unset: changed.unset.filter(isWanted),
  };
}
