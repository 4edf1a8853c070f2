import * as v from "valibot";
import { findFault } from "./schema.ts";

/** What the configuration says of one field of a program's input. */
const FieldTable = v.strictObject({
  /** What its default and its choices are, where it says nothing; or else a text. */
  type: v.optional(v.picklist(["string", "number", "integer", "boolean", "array", "object"])),
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

type Field = InputTable[string];

/** Why a field could never be what it says, and under which of its keys. */
export function findFieldFault(field: Field): { readonly key: string; readonly why: string } | undefined {
  const { enum: choices, ...open } = toFieldSchema(field);
  const wrong = (field.enum ?? [])
    .map((choice) => findFault(open, choice))
    .find((fault) => fault !== undefined);
  if (wrong !== undefined) return { key: "enum", why: `what it may be ${wrong.why}` };
  const fault =
    field.default === undefined ? undefined : findFault({ ...open, enum: choices }, field.default);
  return fault && { key: "default", why: `it ${fault.why}` };
}

/** What the fields of an input amount to. */
export function toInputSchema(fields: InputTable): InputSchema {
  const properties = Object.entries(fields).map(([name, field]) => [name, toFieldSchema(field)]);
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

function toFieldSchema(field: Field): InputSchema {
  const { items, optional: _, type = findType(field), ...rest } = field;
  return { ...(type !== undefined && { type }), ...rest, ...(items && { items: { type: items } }) };
}

/** The type of the values that a field names, if these are all of one. */
function findType({ enum: choices = [], default: known, items }: Field): string | undefined {
  if (items !== undefined) return "array";
  const named = [...choices, ...(known === undefined ? [] : [known])];
  const types = new Set(named.map((value) => (Array.isArray(value) ? "array" : typeof value)));
  const [type = "string"] = types;
  return types.size > 1 ? undefined : type;
}
