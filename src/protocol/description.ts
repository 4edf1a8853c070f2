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
  /** Of a foreground command. */
  result: v.optional(Schema),
});
export type CommandDescription = v.InferOutput<typeof CommandDescription>;
