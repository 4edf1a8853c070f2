import * as v from "valibot";
import { escapeControls } from "../../lib/escape.ts";

/** What of a JSON Schema says how a value is written. Everything else in it is the server's to check. */
export interface Schema {
  readonly type?: string | readonly string[] | undefined;
  readonly description?: string | undefined;
  readonly enum?: readonly unknown[] | undefined;
  readonly const?: unknown;
  readonly default?: unknown;
  readonly examples?: readonly unknown[] | undefined;
  readonly items?: Schema | undefined;
  readonly anyOf?: readonly Schema[] | undefined;
  readonly oneOf?: readonly Schema[] | undefined;
  readonly allOf?: readonly Schema[] | undefined;
  readonly properties?: Readonly<Record<string, Schema>> | undefined;
  readonly required?: readonly string[] | undefined;
}

/** What a server calls something that is typed: a word without controls. */
export const PlainName = v.pipe(
  v.string(),
  v.check((name) => escapeControls(name) === name),
);

/** What a server says of something, harmless on a terminal, on one line. */
export const ShownText = v.pipe(v.string(), v.transform(escapeControls));

/** A schema as a server describes it: `true`, which allows everything, and other keywords are let through. */
export const Schema: v.GenericSchema<unknown, Schema> = v.union([
  v.object({
    type: v.optional(v.union([ShownText, v.array(ShownText)])),
    description: v.optional(ShownText),
    enum: v.optional(v.array(v.unknown())),
    const: v.optional(v.unknown()),
    default: v.optional(v.unknown()),
    examples: v.optional(v.array(v.unknown())),
    items: v.optional(v.lazy(() => Schema)),
    anyOf: v.optional(v.array(v.lazy(() => Schema))),
    oneOf: v.optional(v.array(v.lazy(() => Schema))),
    allOf: v.optional(v.array(v.lazy(() => Schema))),
    properties: v.optional(
      v.record(
        PlainName,
        v.lazy(() => Schema),
      ),
    ),
    required: v.optional(v.array(v.string())),
  }),
  v.pipe(
    v.boolean(),
    v.transform((): Schema => ({})),
  ),
]);

/** The same with the fields of all that it is made of, of which those are required that are in every case. */
export function flatten(schema: Schema): Schema {
  const every = (schema.allOf ?? []).map(flatten);
  const either = [schema.anyOf ?? [], schema.oneOf ?? []].map((list) => list.map(flatten));
  const parts = [schema, ...every, ...either.flat()];
  if (parts.length === 1) return schema;
  const properties = new Map<string, Schema>();
  for (const [name, field] of parts.flatMap((part) => Object.entries(part.properties ?? {}))) {
    const known = properties.get(name);
    properties.set(name, known === undefined ? field : { ...known, ...join(known, field) });
  }
  const always = either.flatMap(([first, ...others]) =>
    (first?.required ?? []).filter((name) => others.every(({ required = [] }) => required.includes(name))),
  );
  const required = [...[schema, ...every].flatMap((part) => part.required ?? []), ...always];
  return { ...schema, properties: Object.fromEntries(properties), required: [...new Set(required)] };
}

/** A field that is of either kind. */
function join(one: Schema, other: Schema): Schema {
  return { type: undefined, enum: undefined, const: undefined, anyOf: [one, other] };
}

/** The types of JSON that a schema names; none if it leaves that open. */
export function typesOf({ type, enum: choices, const: only, anyOf, oneOf }: Schema): readonly string[] {
  if (type !== undefined) return typeof type === "string" ? [type] : type;
  if (only !== undefined) return [typeOf(only)];
  if (choices !== undefined) return [...new Set(choices.map(typeOf))];
  return [...new Set([...(anyOf ?? []), ...(oneOf ?? [])].flatMap(typesOf))];
}

/** The values that it may have, where they are few; none if that is open. */
export function choicesOf(schema: Schema): readonly string[] {
  const { enum: choices, const: only, anyOf, oneOf } = schema;
  const own = only !== undefined ? [only] : (choices ?? []);
  const all = [...own, ...[...(anyOf ?? []), ...(oneOf ?? [])].flatMap(choicesOf)].map(String);
  return typesOf(schema).join() === "boolean" && all.length === 0 ? ["true", "false"] : [...new Set(all)];
}

/** The name of the type that a value has in JSON. */
export function typeOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value;
}
