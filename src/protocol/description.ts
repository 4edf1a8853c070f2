import * as v from "valibot";

/** A JSON Schema (draft 7) of a value on the wire; what only code can check is not in it. */
const Schema = v.record(v.string(), v.unknown());

/** What a command is, for whoever has no definition of it. */
export const CommandDescription = v.object({
  name: v.string(),
  kind: v.picklist(["foreground", "background"]),
  summary: v.string(),
  /** What a caller must be allowed to. */
  permission: v.string(),
  /** Whether repeating a call does no harm. */
  idempotent: v.boolean(),
  /** It takes bytes besides its input. */
  takesInput: v.boolean(),
  /** Fields of the input that arguments without a name fill, in this order. */
  positional: v.array(v.string()),
  input: Schema,
  /** Of one that says something on the way. */
  event: v.optional(Schema),
  /** What it answers; of a background command, what its job returns, if that is known. */
  result: v.optional(Schema),
  /** Whether it is no built-in one, but the operator's of this server. */
  custom: v.optional(v.boolean()),
});
export type CommandDescription = v.InferOutput<typeof CommandDescription>;
