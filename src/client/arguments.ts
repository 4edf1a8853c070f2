import * as v from "valibot";
import { CallTerms } from "../protocol/terms.ts";
import { ClientError } from "./client-error.ts";
import { CallOptions, type JobTerms } from "./options.ts";

/** What a method was called with: the command's input, and how to call it. */
export interface Asked {
  readonly input: Readonly<Record<string, unknown>>;
  readonly options: CallOptions;
}

interface Definition {
  readonly name: string;
  readonly input: v.GenericSchema;
  readonly positional?: readonly string[];
}

/** Tells a command's input from the call's options, in what its method was called with. Throws `invalid_input`. */
export function parseArguments(command: Definition, args: readonly unknown[]): Asked {
  const { name, positional = [] } = command;
  const given = args.slice(0, args.findLastIndex((arg) => arg !== undefined) + 1);
  const last = given.at(-1);
  const named = isNamed(last) ? last : {};
  const leading = isNamed(last) ? given.slice(0, -1) : given;
  if (leading.length > positional.length)
    throw refused(name, `it takes at most ${positional.length} arguments before the options`);
  const entries = findEntries(command.input);
  const { input, options } = split(entries, named);
  const twice = positional.slice(0, leading.length).find((field) => Object.hasOwn(input, field));
  if (twice !== undefined) throw refused(name, `"${twice}" is given twice`);
  const filled = leading.flatMap((value, index) => {
    const field = positional[index];
    return field === undefined || value === undefined
      ? []
      : [[field, toField(entries[field], value)] as const];
  });
  return { input: { ...Object.fromEntries(filled), ...input }, options: parseOptions(name, options) };
}

/** Reads a call's options. Throws `invalid_input`. */
export function parseOptions(name: string, options: unknown): CallOptions {
  const parsed = v.safeParse(CallOptions, options);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  throw refused(name, `option "${v.getDotPath(issue) ?? ""}" is not valid: ${issue.message}`);
}

/** How a command of the server's own is called, and on what terms its job runs, if it was told. */
export interface AskedOfCustom {
  readonly options: CallOptions;
  readonly terms: JobTerms | undefined;
}

/** Tells the terms of a job from the call's options. Throws `invalid_input`. */
export function parseCustomOptions(name: string, how: unknown): AskedOfCustom {
  if (!isRecord(how)) return { options: parseOptions(name, how), terms: undefined };
  const { terms, others } = splitTerms(how);
  const options = parseOptions(name, others);
  if (Object.keys(terms).length === 0) return { options, terms: undefined };
  const parsed = v.safeParse(CallTerms, terms);
  // As it was given: what is not said is for the server to decide.
  if (parsed.success) return { options, terms };
  const [issue] = parsed.issues;
  throw refused(name, `option "${v.getDotPath(issue) ?? ""}" ${issue.message}`);
}

function splitTerms(how: Entries) {
  const isTerm = ([key, value]: readonly [string, unknown]) =>
    key !== "stdin" && Object.hasOwn(CallTerms.entries, key) && value !== undefined;
  const entries = Object.entries(how);
  return {
    terms: Object.fromEntries(entries.filter(isTerm)),
    others: Object.fromEntries(entries.filter((entry) => !isTerm(entry))),
  };
}

type Entries = Readonly<Record<string, unknown>>;

/** The fields of an input come before options of the same name. */
function split(entries: Entries, named: Readonly<Record<string, unknown>>) {
  const known = Object.entries(named).filter(([, value]) => value !== undefined);
  const isField = ([key]: readonly [string, unknown]) => Object.hasOwn(entries, key);
  return {
    input: Object.fromEntries(known.filter(isField)),
    options: Object.fromEntries(known.filter((entry) => !isField(entry))),
  };
}

/** A list may be given as its only element. */
function toField(schema: unknown, value: unknown): unknown {
  return isList(schema) && !Array.isArray(value) ? [value] : value;
}

function findEntries(schema: v.GenericSchema): Entries {
  return "entries" in schema && isRecord(schema.entries) ? schema.entries : {};
}

function isList(schema: unknown): boolean {
  if (!isRecord(schema)) return false;
  return schema["type"] === "array" || ("wrapped" in schema && isList(schema["wrapped"]));
}

/** Fields and options by name, and neither a value nor the bytes of a path (`{ bytes }`). */
function isNamed(value: unknown): value is Readonly<Record<string, unknown>> {
  if (!isRecord(value) || ![Object.prototype, null].includes(Object.getPrototypeOf(value))) return false;
  return !(typeof value["bytes"] === "string" && Object.keys(value).length === 1);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function refused(name: string, why: string): ClientError {
  return new ClientError("invalid_input", `Cannot call "${name}": ${why}`);
}
