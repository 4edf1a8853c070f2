import * as v from "valibot";

/**
 * Texts by name, such as variables; any name is one. Valibot's own records leave out what objects have of themselves, so that
 * `constructor`, `prototype` and `__proto__` would silently never reach a job. The object is passed on as it is: copy it
 * by spreading, never by assignment.
 */
export const Environment = v.custom<Readonly<Record<string, string>>>(
  (value) =>
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((text) => typeof text === "string"),
  "must be an object of strings",
);
export type Environment = v.InferOutput<typeof Environment>;
