import * as v from "valibot";
import { createJobId, launchAttached } from "../../client/launch.ts";
import type { ByteSource, CliValues } from "../../commands/define.ts";
import { abortable } from "../../lib/abort.ts";
import { AppError } from "../../protocol/error.ts";
import type { ArgSpecs } from "../arguments.ts";
import { toCall } from "../call.ts";
import { openSession, print } from "../context.ts";
import { attend } from "../exec.ts";
import type { Verb } from "../verb.ts";
import type { Definition } from "./definition.ts";
import { parseValue, type Schema, typesOf } from "./value.ts";

/** A command that only the server knows, as a verb: words fill its fields in their order, and each field is an option. */
export function toVerb(definition: Definition): Verb {
  const face = toFace(definition);
  const { name, summary, kind, idempotent, takesInput, event } = definition;
  if (kind === "background") return toBackground(definition, face);
  const [input, result] = [v.unknown(), v.unknown()];
  const command = { name, summary, idempotent, takesInput, kind, input, result } as const;
  if (event === undefined) return toCall({ ...command, cli: { ...face, show } });
  return toCall({ ...command, event: v.unknown(), cli: { ...face, show, conclude } });
}

export type Face = Omit<Verb, "summary" | "run"> & {
  readonly toInput: (values: CliValues) => Readonly<Record<string, unknown>>;
  readonly toSource?: () => ByteSource;
};

/** How it is written on a line. */
export function toFace(definition: Definition): Face {
  const { name, positional, takesInput } = definition;
  const words = positional.map((field) => toPlace(definition, field)).join(" ");
  return {
    args: toArgs(definition),
    ...(words !== "" && { rest: words }),
    examples: [[`${name} ${words}`.trim(), "fields by their places, or each as name=value"]],
    toInput: (values) => toInput(values, definition),
    ...(takesInput && { toSource: () => ({ type: "stdin" }) }),
  };
}

/** One that becomes a job, which the console waits for as it does for that of `exec`. */
function toBackground({ name, summary }: Definition, face: Face): Verb {
  const detach = {
    type: "boolean",
    alias: "d",
    description: "Print the job's id and leave it running",
  } as const;
  return {
    ...face,
    summary,
    args: { detach, ...face.args },
    async run(values, context) {
      const input = face.toInput(values.without(["detach"]));
      await using session = await openSession(context);
      if (!values.flag("detach"))
        return await attend(session, launchAttached(session, input, name, { feeds: false }), context);
      const start = { command: name, input, job: createJobId() };
      const { job, number } = await abortable(session.start(start), context.signal);
      print(context, { job, number }, () => job);
      return 0;
    },
  };
}

function toArgs({ input: { properties = {} } }: Definition): ArgSpecs {
  const specs = Object.entries(properties).map(([name, schema]) => {
    const types = typesOf(schema);
    const description = [schema.description, types.join(" or ")].filter(Boolean).join("; ");
    return [name, { type: types.join() === "boolean" ? "boolean" : "string", description }] as const;
  });
  return Object.fromEntries(specs);
}

function toPlace(
  { input: { properties = {}, required = [] }, positional }: Definition,
  field: string,
): string {
  const isList = field === positional.at(-1) && typesOf(properties[field] ?? {}).includes("array");
  const place = `${field.toUpperCase()}${isList ? " ..." : ""}`;
  return required.includes(field) ? place : `[${place}]`;
}

/** What was typed as the command's input. Throws `invalid_input` for a word that no field takes, or that its field cannot have. */
function toInput(values: CliValues, definition: Definition): Record<string, unknown> {
  const { properties = {} } = definition.input;
  const named = Object.entries(properties).flatMap(([name, schema]): [string, unknown][] => {
    const isOn = values.choice(name);
    const text = values.text(name);
    if (isOn !== undefined) return [[name, isOn]];
    return text === undefined ? [] : [[name, parseValue(text, schema, name)]];
  });
  const input: Record<string, unknown> = { ...Object.fromEntries(named) };
  const free = definition.positional.filter((field) => !Object.hasOwn(input, field));
  return { ...input, ...fill(free, values.rest, properties, definition) };
}

/** Words without a name, in the order of the fields that are left; the last takes all that is left if it is a list. */
function fill(
  fields: readonly string[],
  words: readonly string[],
  properties: Readonly<Record<string, Schema>>,
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

/** Text as it is, nothing for nothing, and JSON for the rest. */
function show(value: unknown): string {
  if (typeof value === "string") return value;
  return value === undefined || value === null ? "" : JSON.stringify(value, undefined, 2);
}

function conclude(result: unknown): string | undefined {
  return show(result) || undefined;
}
