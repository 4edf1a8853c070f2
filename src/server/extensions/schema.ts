/** A JSON Schema as far as it is looked at here; what it says besides is left to whoever reads the value. */
interface Schema {
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema | boolean | readonly Schema[];
  readonly anyOf?: readonly Schema[];
  readonly default?: unknown;
}

/** Levels of a value that are looked at. */
const MAX_DEPTH = 16;

/** What is wrong with a value: where, as a path with dots that is empty for all of it, and why, as the rest of a sentence. */
export interface SchemaFault {
  readonly path: string;
  readonly why: string;
}

/** What the types, fields and choices of a JSON Schema find wrong with a value. */
export function findFault(
  schema: Readonly<Record<string, unknown>>,
  value: unknown,
): SchemaFault | undefined {
  return look(schema, value, []);
}

/** The value with the defaults of those of its fields that it lacks. */
export function withDefaults(schema: Readonly<Record<string, unknown>>, value: unknown): unknown {
  const { properties = {} }: Schema = schema;
  if (!isObject(value)) return value;
  const missing = Object.entries(properties).filter(
    ([name, field]) => field.default !== undefined && value[name] === undefined,
  );
  return { ...value, ...Object.fromEntries(missing.map(([name, field]) => [name, field.default])) };
}

function look(schema: Schema, value: unknown, path: readonly string[]): SchemaFault | undefined {
  const at = (why: string, ...more: string[]) => ({ path: [...path, ...more].join("."), why });
  if (path.length > MAX_DEPTH) return undefined;
  const types = [schema.type ?? []].flat();
  if (types.length > 0 && !types.some((type) => isOf(type, value)))
    return at(`must be ${types.map(toArticle).join(" or ")}, and is ${toArticle(typeOf(value))}`);
  const choices = schema.enum ?? ("const" in schema ? [schema.const] : undefined);
  if (choices !== undefined && !choices.some((choice) => Bun.deepEquals(choice, value)))
    return at(`must be one of ${choices.map((choice) => JSON.stringify(choice)).join(", ")}`);
  if (schema.anyOf !== undefined && schema.anyOf.every((one) => look(one, value, path) !== undefined))
    return schema.anyOf.length === 1
      ? look(schema.anyOf[0] ?? {}, value, path)
      : at("is none that it may be");
  if (Array.isArray(value)) return lookIn(schema, value, path);
  if (!isObject(value)) return undefined;
  const { properties = {}, required = [], additionalProperties = true } = schema;
  const missing = required.find((name) => isMissing(value, name, properties[name]));
  if (missing !== undefined) return at("is missing", missing);
  for (const [name, each] of Object.entries(value)) {
    const field = Object.hasOwn(properties, name) ? properties[name] : undefined;
    if (field === undefined && additionalProperties === false)
      return at(`is unknown; there is ${Object.keys(properties).join(", ") || "none"}`, name.slice(0, 64));
    const fault = field && each !== undefined ? look(field, each, [...path, name]) : undefined;
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** What is there and `undefined` is missing only where that is none of what the field may be. */
function isMissing(value: Readonly<Record<string, unknown>>, name: string, field: Schema = {}): boolean {
  if (!Object.hasOwn(value, name)) return true;
  return value[name] === undefined && look(field, undefined, []) !== undefined;
}

function lookIn(
  { items }: Schema,
  value: readonly unknown[],
  path: readonly string[],
): SchemaFault | undefined {
  if (items === undefined || typeof items === "boolean" || Array.isArray(items)) return undefined;
  // Not a list, as was just asked; the compiler does not follow Array.isArray through readonly types.
  const item = items as Schema;
  for (const [index, each] of value.entries()) {
    const fault = look(item, each, [...path, String(index)]);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function isOf(type: string, value: unknown): boolean {
  switch (type) {
    case "integer":
      return Number.isSafeInteger(value);
    case "array":
      return Array.isArray(value);
    case "object":
      return isObject(value);
    case "null":
      return value === null;
    default:
      return typeof value === type;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function typeOf(value: unknown): string {
  if (value === null || value === undefined) return "nothing";
  return Array.isArray(value) ? "array" : typeof value;
}

function toArticle(type: string): string {
  if (type === "nothing" || type === "null") return "nothing";
  const word = type === "array" ? "list" : type;
  return `${/^[aeio]/.test(word) ? "an" : "a"} ${word}`;
}
