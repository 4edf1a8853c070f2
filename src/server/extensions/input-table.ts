import * as v from "valibot";

/** What the configuration says of one field of a program's input. */
const FieldTable = v.strictObject({
  type: v.optional(v.picklist(["string", "number", "integer", "boolean", "array", "object"]), "string"),
  description: v.optional(v.string()),
  /** What it is where its caller says nothing; one that has none must be given, unless it is optional. */
  default: v.optional(v.unknown()),
  optional: v.optional(v.boolean(), false),
  /** All that it may be. */
  enum: v.optional(v.pipe(v.array(v.union([v.string(), v.number()])), v.minLength(1))),
  /** Of a list: what is in it. */
  items: v.optional(v.picklist(["string", "number", "integer", "boolean", "object"])),
});

/** `input` of `[commands.NAME]`: its fields by their names. */
export const InputTables = v.record(v.string(), FieldTable);
export type InputTable = v.InferOutput<typeof InputTables>;

/** The JSON Schema of an object. */
export type InputSchema = Readonly<Record<string, unknown>>;

/** What the fields of an input amount to. */
export function toInputSchema(fields: InputTable): InputSchema {
  const properties = Object.entries(fields).map(([name, { items, optional: _, ...field }]) => [
    name,
    { ...field, ...(items && { items: { type: items } }) },
  ]);
  const required = Object.entries(fields).flatMap(([name, { optional, default: known }]) =>
    optional || known !== undefined ? [] : [name],
  );
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    type: "object",
    properties: Object.fromEntries(properties),
    required,
    additionalProperties: false,
  };
}
