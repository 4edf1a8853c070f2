import type { ByteSource, CliArg, CliValues } from "../../commands/define.ts";
import { escapeControls, toJsonLine } from "../../lib/escape.ts";
import { toKebab } from "../../lib/kebab.ts";
import { AppError } from "../../protocol/error.ts";
import { globalArgs } from "../globals.ts";
import type { Verb } from "../verb.ts";
import type { Definition } from "./definition.ts";
import { choicesOf, type Schema, typesOf } from "./schema.ts";
import { parseValue, parseWords } from "./value.ts";

export type Face = Omit<Verb, "summary" | "run"> & {
  readonly toInput: (values: CliValues) => Readonly<Record<string, unknown>>;
  readonly toSource?: () => ByteSource;
};

type Fields = Readonly<Record<string, Schema>>;

/** How a command that only the server knows is written: words fill its fields in their order, and each field is an option. */
export function toFace(definition: Definition): Face {
  const { name, input, positional, takesInput } = definition;
  const { properties: fields = {}, examples = [] } = input;
  const options = toOptionNames(fields);
  const args = [...options].map(([option, field]) => [option, toArg(definition, field)] as const);
  const words = positional.map((field) => toPlace(definition, field)).join(" ");
  const line = ["farhand", name, words].filter(Boolean).join(" ");
  return {
    args: Object.fromEntries<CliArg>(args),
    ...(words !== "" && { rest: words, words: positional.map((field) => toArg(definition, field)) }),
    examples: [
      [line, "fields by their places, or each as --name value or name=value"],
      ...examples.map((example): [string, string] => [
        `farhand call ${name} --input '${toJsonLine(example)}'`,
        "the whole input as JSON",
      ]),
    ],
    toInput: (values) => toInput(values, definition, options),
    ...(takesInput && { toSource: () => ({ type: "stdin" }) }),
  };
}

/**
 * Options by their names, each with the field that it fills. What every verb has means the same here: a field that is called
 * like that is `--field-NAME`.
 */
function toOptionNames(fields: Fields): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  for (const field of Object.keys(fields)) {
    const kebab = toKebab(field);
    const option = Object.hasOwn(globalArgs, kebab) ? `field-${kebab}` : kebab;
    names.set(names.has(option) ? field : option, field);
  }
  return names;
}

function toArg({ input: { properties = {}, required = [] } }: Definition, field: string): CliArg {
  const schema = properties[field] ?? {};
  const types = typesOf(schema);
  const choices = choicesOf(types.includes("array") ? (schema.items ?? {}) : schema);
  const isSwitch = types.join() === "boolean";
  const what = choices.length > 0 && !isSwitch ? `one of ${choices.join(", ")}` : types.join(" or ");
  const facts = [
    schema.description,
    what,
    schema.default === undefined ? undefined : `default ${JSON.stringify(schema.default)}`,
    required.includes(field) ? "required" : undefined,
    schema.examples && `such as ${schema.examples.map((example) => JSON.stringify(example)).join(", ")}`,
  ];
  return {
    type: isSwitch ? "boolean" : "string",
    valueHint: toKebab(field),
    description: escapeControls(facts.filter(Boolean).join("; ")), // of which some is as the server has it
    ...(choices.length > 0 && !isSwitch && { choices }),
  };
}

function toPlace(
  { input: { properties = {}, required = [] }, positional }: Definition,
  field: string,
): string {
  const isList = field === positional.at(-1) && typesOf(properties[field] ?? {}).includes("array");
  const place = `${field.toUpperCase()}${isList ? " ..." : ""}`;
  return required.includes(field) ? place : `[${place}]`;
}

/** What was typed as the command's input. Throws `invalid_input`, naming the field that is missing or cannot have its value. */
function toInput(
  values: CliValues,
  definition: Definition,
  options: ReadonlyMap<string, string>,
): Record<string, unknown> {
  const { name, positional, input: schema } = definition;
  const { properties = {}, required = [] } = schema;
  const named = [...options].flatMap(([option, field]): [string, unknown][] => {
    const isOn = values.choice(option);
    const texts = values.list(option);
    if (isOn !== undefined) return [[field, isOn]];
    return texts.length === 0 ? [] : [[field, parseWords(texts, properties[field] ?? {}, field)]];
  });
  const given: Record<string, unknown> = { ...Object.fromEntries(named) };
  const free = positional.filter((field) => !Object.hasOwn(given, field));
  const input = { ...given, ...fill(free, values.rest, properties, definition) };
  const missing = required.find((field) => !Object.hasOwn(input, field));
  if (missing === undefined) return input;
  throw new AppError(
    "invalid_input",
    `Cannot do "${name}": ${missing} is missing; farhand ${name} --help tells more`,
  );
}

/** Words without a name, in the order of the fields that are left; the last takes all that is left if it is a list. */
function fill(
  fields: readonly string[],
  words: readonly string[],
  properties: Fields,
  { name, positional }: Definition,
): Record<string, unknown> {
  const filled: Record<string, unknown> = {};
  for (const [index, field] of fields.entries()) {
    const word = words[index];
    if (word === undefined) return filled;
    const schema = properties[field] ?? {};
    if (field !== positional.at(-1) || !typesOf(schema).includes("array"))
      filled[field] = parseValue(word, schema, field);
    else {
      const left = words.slice(index);
      filled[field] = left.map((each) => parseValue(each, schema.items ?? {}, field));
      return filled;
    }
  }
  const extra = words[fields.length];
  if (extra === undefined) return filled;
  throw new AppError("invalid_input", `Cannot do "${name}": there is no place for "${extra.slice(0, 100)}"`);
}
