import * as v from "valibot";
import { parseDuration } from "../lib/duration.ts";
import { AppError } from "../protocol/error.ts";
import type { CommandDefinition, PackDefinition, TaskDefinition } from "./define.ts";
import { Command, isObject, Pack, Task } from "./shape.ts";

/** What a module defines. */
export type Definitions =
  | {
      readonly type: "commands";
      /** That they are all of, if they are of one. */
      readonly pack?: PackDefinition;
      readonly commands: readonly CommandDefinition[];
    }
  | { readonly type: "task"; readonly task: TaskDefinition };

/** What is wrong with a definition: the object itself, and the field that is wrong, by which they are found in the source. */
export interface Fault {
  readonly message: string;
  readonly subject?: object;
  readonly field?: string;
}

/** What a module has that exports this. Throws `invalid_module`, which names what is wrong. */
export function readDefinitions(exports: unknown): Definitions {
  const read = inspect(exports);
  if (!("faults" in read)) return read;
  throw new AppError("invalid_module", `Cannot use the module: ${read.faults[0]?.message}`);
}

/** The same, or all that is wrong with it. */
export function inspect(exports: unknown): Definitions | { readonly faults: readonly Fault[] } {
  const main = findMain(exports);
  if (main === undefined)
    return { faults: [{ message: "it exports no definition: write export default defineCommand({ … })" }] };
  if (isTask(main)) {
    const faults = check(Task, main, "the task");
    // Checked in the line above.
    return faults.length > 0 ? { faults } : { type: "task", task: main as TaskDefinition };
  }
  return inspectCommands(main);
}

/** Whether it means to be a task, whole or not. */
function isTask(main: object): boolean {
  return "exec" in main || (("init" in main || "exit" in main) && !("commands" in main));
}

/** Milliseconds, if it has a time limit of its own. */
export function toTimeout({ timeout }: Pick<CommandDefinition, "timeout">): number | undefined {
  return typeof timeout === "string" ? parseDuration(timeout) : timeout;
}

function inspectCommands(main: object): Definitions | { readonly faults: readonly Fault[] } {
  const pack = "commands" in main ? main : undefined;
  const of = pack === undefined ? [] : check(Pack, pack, "the pack");
  if (of.length > 0) return { faults: of };
  const listed: unknown = pack === undefined ? main : pack.commands;
  const commands: readonly unknown[] = Array.isArray(listed) ? listed : [listed];
  const faults = commands.flatMap((command, index) => check(Command, command, toTitle(command, index)));
  const names = commands.map(findName);
  const twice = names.find((name, index) => name !== undefined && names.indexOf(name) !== index);
  if (twice !== undefined) faults.push({ message: `two of its commands are called "${twice}"` });
  if (commands.length === 0) faults.push({ message: "it exports an empty list" });
  if (faults.length > 0) return { faults };
  // Both were checked above.
  const checked = commands as readonly CommandDefinition[];
  return { type: "commands", ...(pack && { pack: pack as PackDefinition }), commands: checked };
}

/** The default export; of a task also the functions themselves. */
function findMain(exports: unknown): object | undefined {
  if (!isObject(exports)) return undefined;
  // A file that exports nothing at all is taken for CommonJS, which then exports an empty object.
  if ("default" in exports)
    return isObject(exports.default) && Reflect.ownKeys(exports.default).length > 0
      ? exports.default
      : undefined;
  const functions = ["init", "exec", "exit"].flatMap((name) => (name in exports ? [name] : []));
  return functions.includes("exec")
    ? Object.fromEntries(functions.map((name) => [name, Reflect.get(exports, name)]))
    : undefined;
}

function check(schema: v.GenericSchema, subject: unknown, title: string): Fault[] {
  const { success, issues } = v.safeParse(schema, subject);
  if (success) return [];
  return issues.map((issue) => {
    const field = v.getDotPath(issue) ?? undefined;
    const message = `${title}: ${field === undefined ? "it" : `"${field}"`} ${toClause(issue)}`;
    return { message, ...(isObject(subject) && { subject }), ...(field !== undefined && { field }) };
  });
}

function toClause({ type, kind, expected, received, message }: v.BaseIssue<unknown>): string {
  if (type === "strict_object" && expected === "never") return "is no field of it";
  if (received === "undefined") return "is missing";
  if (kind === "schema" && type !== "custom") return `is ${received}, which should be ${expected}`;
  return message;
}

function toTitle(command: unknown, index: number): string {
  const name = findName(command);
  return name === undefined ? `command ${index + 1}` : `command "${name}"`;
}

function findName(command: unknown): string | undefined {
  return isObject(command) && "name" in command && typeof command.name === "string"
    ? command.name
    : undefined;
}
