import * as v from "valibot";
import { Environment } from "../protocol/environment.ts";
import { MAX_ENV } from "../protocol/limits.ts";

const noNul = v.check((text: string) => !text.includes("\0"), "must not contain a NUL byte");
/** Half of a surrogate pair has no UTF-8: the program would get U+FFFD in its place. */
const wellFormed = v.check((text: string) => text.isWellFormed(), "must be well-formed Unicode");
/** What a program can be given. */
export const Text = v.pipe(v.string(), noNul, wellFormed);

export const VariableName = v.pipe(Text, v.regex(/^[^=]+$/, "must be a name without '='"));
const variable = v.tuple([VariableName, Text]);

/** Variables by name. Each is checked on its own, so that a refusal names the one that it means. */
export const Variables = v.pipe(
  Environment,
  v.maxEntries(MAX_ENV),
  v.rawCheck<Environment>(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    for (const [key, value] of Object.entries(dataset.value)) {
      const parsed = v.safeParse(variable, [key, value]);
      if (parsed.success) continue;
      const path = { type: "object", origin: "value", input: dataset.value, key, value } as const;
      return addIssue({ message: parsed.issues[0].message, path: [path] });
    }
  }),
);

/** Reads `NAME=VALUE`. Throws a `RangeError`. `where`: what it was read from. */
export function parseAssignment(assignment: string, where: string): [name: string, value: string] {
  const equals = assignment.indexOf("=");
  if (equals < 1) throw new RangeError(`Cannot read ${where} "${assignment}": write NAME=VALUE`);
  return [assignment.slice(0, equals), assignment.slice(equals + 1)];
}
