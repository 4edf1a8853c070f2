import { toJsonSchema } from "@valibot/to-json-schema";
import * as v from "valibot";
import type { CommandDefinition } from "./define.ts";
import { type Definitions, type Fault, toTimeout } from "./definition.ts";
import { type CustomDescription, JsonSchema, type ModuleDescription } from "./description.ts";

/** What clients are told of one command must fit beside others into what they are told at once. */
const MAX_DESCRIPTION_CHARACTERS = 32 * 1024;

/** Describes a module, or tells what is wrong with its commands that only shows as a JSON Schema. */
export function describeModule(
  hash: string,
  definitions: Definitions,
): ModuleDescription | { readonly faults: readonly Fault[] } {
  if (definitions.type === "task") {
    const { init, exit } = definitions.task;
    return { hash, commands: [], task: { hasInit: init !== undefined, hasExit: exit !== undefined } };
  }
  const { pack, commands } = definitions;
  const described = commands.map(describeCommand);
  const faults = described.flatMap((description, index) => findFaults(description, commands[index]));
  if (faults.length > 0) return { faults };
  const { name, init, config } = pack ?? {};
  return {
    hash,
    ...(name !== undefined && {
      pack: { name, hasInit: init !== undefined, ...(config && { config: toSchema(config) }) },
    }),
    commands: described,
  };
}

function describeCommand(command: CommandDefinition): CustomDescription {
  const { name, kind = "foreground", summary, permission = "exec", idempotent = false } = command;
  const {
    event,
    result,
    positional = [],
    confidential = [],
    runAs,
    takesInput = kind === "background",
  } = command;
  const timeoutMs = toTimeout(command);
  return {
    name,
    kind,
    summary,
    permission,
    idempotent,
    takesInput,
    positional: [...positional],
    input: toSchema(command.input ?? v.object({})),
    ...(event && { event: toSchema(event) }),
    ...(result && { result: toSchema(result) }),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(runAs !== undefined && { runAs }),
    confidential: [...confidential],
    doing: event !== undefined || isGenerator(command.run) ? "stream" : "plain",
  };
}

function findFaults(description: CustomDescription, subject: CommandDefinition | undefined): Fault[] {
  const fault = (field: string, what: string): Fault => ({
    message: `command "${description.name}": "${field}" ${what}`,
    ...(subject && { subject }),
    field,
  });
  const { input, positional, confidential } = description;
  if (!isOfObjects(input))
    return [fault("input", "is not of named fields: write v.object({ … }), whose fields are the arguments")];
  const size = JSON.stringify(description).length;
  if (size > MAX_DESCRIPTION_CHARACTERS)
    return [
      fault(
        "input",
        `and the other schemas take ${size} characters, of at most ${MAX_DESCRIPTION_CHARACTERS}`,
      ),
    ];
  const fields = listFields(input);
  const named = Object.entries({ positional, confidential });
  return named.flatMap(([field, names]) =>
    names
      .filter((name) => !fields.has(name))
      .map((name) => fault(field, `names "${name}", which is no field of its input`)),
  );
}

/** Checks that are code have no place in a JSON Schema: they are left out. */
function toSchema(schema: v.GenericSchema): Record<string, unknown> {
  return { ...toJsonSchema(schema, { errorMode: "ignore", typeMode: "input" }) };
}

type Json = Readonly<Record<string, unknown>>;

function isOfObjects(schema: Json): boolean {
  if (schema["type"] === "object") return true;
  const parts = listParts(schema);
  return parts.length > 0 && parts.every(isOfObjects);
}

function listFields(schema: Json): ReadonlySet<string> {
  const { properties = {} } = schema;
  const own = typeof properties === "object" && properties !== null ? Object.keys(properties) : [];
  return new Set([...own, ...listParts(schema).flatMap((part) => [...listFields(part)])]);
}

function listParts(schema: Json): readonly Json[] {
  return ["anyOf", "oneOf", "allOf"].flatMap((key) => {
    const parsed = v.safeParse(v.array(JsonSchema), schema[key]);
    return parsed.success ? parsed.output : [];
  });
}

function isGenerator(run: Function): boolean {
  return Object.prototype.toString.call(run) === "[object AsyncGeneratorFunction]";
}
