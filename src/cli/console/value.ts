import * as v from "valibot";
import { escapeControls } from "../../lib/escape.ts";
import { AppError } from "../../protocol/error.ts";

/** What of a JSON Schema says how a value is written. Everything else in it is the server's to check. */
export interface Schema {
  readonly type?: string | readonly string[] | undefined;
  readonly description?: string | undefined;
  readonly enum?: readonly unknown[] | undefined;
  readonly const?: unknown;
  readonly default?: unknown;
  readonly items?: Schema | undefined;
  readonly anyOf?: readonly Schema[] | undefined;
  readonly oneOf?: readonly Schema[] | undefined;
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
    items: v.optional(v.lazy(() => Schema)),
    anyOf: v.optional(v.array(v.lazy(() => Schema))),
    oneOf: v.optional(v.array(v.lazy(() => Schema))),
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

/**
 * A word as a value of the type that the schema names: numbers, `true` and `false` (as Python writes them, too), JSON for
 * lists and objects, and strings as they are. Throws `invalid_input`.
 */
export function parseValue(text: string, schema: Schema, name: string): unknown {
  const types = typesOf(schema);
  for (const type of ORDER) {
    const read = types.length === 0 || types.includes(type) ? READERS[type]?.(text) : undefined;
    if (read !== undefined) return read.value;
  }
  if (types.length === 0 || types.includes("string")) return text;
  const wanted = types.map((type) => NAMES[type] ?? type).join(" or ");
  throw new AppError("invalid_input", `Cannot use ${name} "${text.slice(0, 100)}": write ${wanted}`);
}

/** Where several are possible, what is less likely to be meant by chance comes first. */
const ORDER = ["null", "boolean", "integer", "number", "array", "object"] as const;

const READERS: Readonly<Record<string, (text: string) => { readonly value: unknown } | undefined>> = {
  null: (text) => (text === "null" || text === "None" ? { value: null } : undefined),
  boolean: (text) => (/^(true|false)$/i.test(text) ? { value: text.toLowerCase() === "true" } : undefined),
  integer: (text) => (/^[+-]?\d+$/.test(text) ? toNumber(text, Number.isSafeInteger) : undefined),
  number: (text) =>
    /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? toNumber(text, Number.isFinite) : undefined,
  array: (text) => toJson(text, Array.isArray),
  object: (text) => toJson(text, (value) => typeOf(value) === "object"),
};

const NAMES: Readonly<Record<string, string>> = {
  integer: "a whole number",
  number: "a number",
  boolean: "true or false",
  array: 'a list in JSON, such as \'["a", "b"]\'',
  object: "an object in JSON, such as '{\"a\": 1}'",
};

function toNumber(text: string, isFine: (value: number) => boolean): { readonly value: number } | undefined {
  const value = Number(text);
  return isFine(value) ? { value } : undefined;
}

function toJson(text: string, isFine: (value: unknown) => boolean): { readonly value: unknown } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isFine(value) ? { value } : undefined;
  } catch {
    return undefined; // it is none
  }
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value;
}
