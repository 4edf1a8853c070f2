import { fromTagged } from "../../protocol/cbor/untag.ts";
import { AppError } from "../../protocol/error.ts";
import { type Schema, typeOf, typesOf } from "./schema.ts";

/**
 * A word as a value of the type that the schema names: numbers, `true` and `false` (as Python writes them, too), JSON for
 * lists and objects, and strings as they are. Throws `invalid_input`, also for one that is none of the few that there are.
 */
export function parseValue(text: string, schema: Schema, name: string): unknown {
  const value = parse(text, schema, name);
  const { enum: choices } = schema;
  if (choices === undefined || choices.includes(value)) return value;
  throw refused(name, text, `choose one of ${choices.map(String).join(", ")}`);
}

/**
 * The words that were given for one field. A list may be written as one in JSON, or as one word for each of its items; of
 * another field the last word counts. Throws `invalid_input`.
 */
export function parseWords(texts: readonly string[], schema: Schema, name: string): unknown {
  const [first = "", ...others] = texts;
  if (!typesOf(schema).includes("array")) return parseValue(others.at(-1) ?? first, schema, name);
  const whole = others.length === 0 ? READERS["array"]?.(first) : undefined;
  return whole === undefined ? texts.map((text) => parseValue(text, schema.items ?? {}, name)) : whole.value;
}

function parse(text: string, schema: Schema, name: string): unknown {
  const types = typesOf(schema);
  for (const type of ORDER) {
    const read = types.length === 0 || types.includes(type) ? READERS[type]?.(text) : undefined;
    if (read !== undefined) return read.value;
  }
  if (types.length === 0 || types.includes("string")) return text;
  const wanted = types.map((type) => NAMES[type] ?? type).join(" or ");
  throw refused(name, text, `write ${wanted}`);
}

function refused(name: string, text: string, what: string): AppError {
  return new AppError("invalid_input", `Cannot use ${name} "${text.slice(0, 100)}": ${what}`);
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
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined; // it is none
  }
  return isFine(value) ? { value: fromTagged(value) } : undefined;
}
