import * as v from "valibot";
import { parseDuration } from "../lib/duration.ts";
import { COMMAND_NAME, MAX_COMMAND_NAME } from "./name.ts";

const Name = v.pipe(
  v.string(),
  v.maxLength(MAX_COMMAND_NAME, `takes more than ${MAX_COMMAND_NAME} characters`),
  v.regex(
    COMMAND_NAME,
    "is not in kebab-case: lower-case letters, digits and single hyphens, such as disk-usage",
  ),
);
const Callable = v.custom<Function>((value) => typeof value === "function", "is no function");
const Schema = v.custom<v.GenericSchema>(
  isSchema,
  'is no schema of v, such as v.object({ … }) from "farhand"',
);
const FieldNames = v.array(v.string());

/** A definition of a command, as a module exports it. */
export const Command = v.strictObject({
  name: Name,
  kind: v.optional(v.picklist(["foreground", "background"])),
  summary: v.pipe(v.string(), v.regex(/^\S[^\n]{0,199}$/, "is not one line of at most 200 characters")),
  permission: v.optional(v.picklist(["read", "write", "exec", "control", "power"])),
  idempotent: v.optional(v.boolean()),
  input: v.optional(Schema),
  event: v.optional(Schema),
  result: v.optional(Schema),
  positional: v.optional(FieldNames),
  confidential: v.optional(FieldNames),
  takesInput: v.optional(v.boolean()),
  timeout: v.optional(
    v.custom<number | string>(isTimeout, "is neither milliseconds nor a duration such as 30s"),
  ),
  runAs: v.optional(v.pipe(v.string(), v.regex(/^[\w@.:-]+$/, "is no name of a user"))),
  run: Callable,
});

/** Of a pack; its commands are looked at one by one. */
export const Pack = v.strictObject({
  name: Name,
  config: v.optional(Schema),
  init: v.optional(Callable),
  dispose: v.optional(Callable),
  commands: v.pipe(v.array(v.unknown()), v.nonEmpty("has no command in it")),
});

export const Task = v.strictObject({
  init: v.optional(Callable),
  exec: Callable,
  exit: v.optional(Callable),
});

export function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function isSchema(value: unknown): boolean {
  return isObject(value) && "kind" in value && value.kind === "schema" && "async" in value && !value.async;
}

function isTimeout(value: unknown): boolean {
  try {
    const ms = typeof value === "string" ? parseDuration(value) : value;
    return typeof ms === "number" && Number.isFinite(ms) && ms > 0;
  } catch {
    return false; // it is no duration
  }
}
