import { resolve } from "node:path";
import * as v from "valibot";
import { findCommand } from "../../commands/index.ts";
import { TASK_COMMAND } from "../auth/identity.ts";
import type { Permission } from "../../commands/define.ts";
import { parseDuration } from "../../lib/duration.ts";
import { COMMAND_NAME, MAX_COMMAND_NAME } from "../../module/name.ts";
import type { AppError } from "../../protocol/error.ts";
import { PERMISSIONS } from "../auth/role.ts";
import { findRunAsFault } from "../logins/run-as.ts";
import { toQuantity } from "../quantity.ts";
import {
  findFieldFault,
  type InputTable,
  InputTables,
  type InputSchema,
  toInputSchema,
} from "./input-table.ts";

const text = v.pipe(
  v.string(),
  v.nonEmpty(),
  v.check((text) => !text.includes("\0"), "holds a NUL"),
);

/** `[commands.NAME]`: what the operator says of a command of a module, or of a program that he makes one. */
const CommandTable = v.strictObject({
  program: v.optional(v.pipe(v.array(text), v.minLength(1))),
  summary: v.optional(text),
  kind: v.optional(v.picklist(["foreground", "background"])),
  permission: v.optional(v.picklist(PERMISSIONS)),
  idempotent: v.optional(v.boolean()),
  timeout: v.optional(v.pipe(v.string(), toQuantity(parseDuration))),
  run_as: v.optional(text),
  input: v.optional(InputTables),
  positional: v.optional(v.array(text)),
  confidential: v.optional(v.array(text)),
  inline: v.optional(v.boolean()),
});
type CommandTable = v.InferOutput<typeof CommandTable>;

/** `[commands]`: where modules are, and what is said of single commands. */
export const CommandsTable = v.objectWithRest(
  { directory: v.optional(text), files: v.optional(v.array(text)) },
  CommandTable,
);
export type CommandsTable = v.InferOutput<typeof CommandsTable>;

/** `[extensions.NAME]`: the configuration of packs, each as its own schema has it. */
export const PacksTable = v.record(v.string(), v.record(v.string(), v.unknown()));
export type PacksTable = v.InferOutput<typeof PacksTable>;

/** What the operator says of a command of some module. */
export interface CommandSettings {
  readonly permission: Permission | undefined;
  /** Milliseconds. */
  readonly timeoutMs: number | undefined;
  readonly runAs: string | undefined;
  /** Whether it is done in the server itself. */
  readonly isInline: boolean;
}

/** A program that he makes a command. */
export interface ProgramSettings extends CommandSettings {
  readonly argv: readonly string[];
  readonly summary: string;
  readonly kind: "foreground" | "background";
  readonly idempotent: boolean;
  readonly input: InputSchema;
  readonly positional: readonly string[];
  readonly confidential: readonly string[];
}

/** Which commands of one's own a server has. */
export interface ExtensionSettings {
  /** Absolute; every module directly in it is one. */
  readonly directory: string;
  /** Whether he names it, so that it has to be there. */
  readonly isNamed: boolean;
  /** Further modules, absolute. */
  readonly files: readonly string[];
  /** Whether what changes is read anew by itself. */
  readonly watch: boolean;
  readonly commands: Readonly<Record<string, CommandSettings>>;
  readonly programs: Readonly<Record<string, ProgramSettings>>;
  readonly packs: PacksTable;
}

export interface ExtensionFlags {
  readonly files: readonly string[];
  readonly watch: boolean;
}

interface Said {
  readonly commands: CommandsTable | undefined;
  readonly packs: PacksTable | undefined;
  /** The directory of the configuration file, from which its paths count. */
  readonly from: string;
  /** The state directory, which has one for modules. */
  readonly state: string;
}

/** Whether a name can be that of a command of one's own; else why it cannot, as the rest of a sentence. */
export function findNameFault(name: string): string | undefined {
  if (!COMMAND_NAME.test(name) || name.length > MAX_COMMAND_NAME)
    return `a command's name is a word in lower case, with single dashes, of at most ${MAX_COMMAND_NAME} characters`;
  const isTaken = findCommand(name) !== undefined || name === TASK_COMMAND;
  return isTaken ? "there is a built-in command of that name" : undefined;
}

/** Puts flags and file together. Throws what `refuse` makes of a key, and of why it makes no sense. */
export function toExtensionSettings(
  flags: ExtensionFlags,
  { commands = {}, packs = {}, from, state }: Said,
  refuse: (key: string, why: string) => AppError,
): ExtensionSettings {
  const { directory, files = [], ...tables } = commands;
  // What the file may say besides those two are the tables of commands: its schema has just checked it.
  const entries = Object.entries(tables as Readonly<Record<string, CommandTable>>);
  for (const [name, table] of entries)
    checkTable(name, table, (key, why) => refuse(`commands.${name}${key && `.${key}`}`, why));
  const programs = entries.flatMap(([name, table]) => (table.program ? [[name, toProgram(table)]] : []));
  return {
    directory: resolve(...(directory === undefined ? [state, "commands"] : [from, directory])),
    isNamed: directory !== undefined,
    files: [...files.map((file) => resolve(from, file)), ...flags.files.map((file) => resolve(file))],
    watch: flags.watch,
    commands: Object.fromEntries(entries.map(([name, table]) => [name, toSettings(table)])),
    programs: Object.fromEntries(programs),
    packs,
  };
}

const OF_PROGRAMS = ["summary", "kind", "idempotent", "input", "positional", "confidential"] as const;

function checkTable(name: string, table: CommandTable, refuse: (key: string, why: string) => AppError): void {
  const { program, run_as: runAs, timeout, inline, input = {}, positional = [], confidential = [] } = table;
  const fault = findNameFault(name);
  if (fault !== undefined) throw refuse("", fault);
  const alone = OF_PROGRAMS.find((key) => program === undefined && table[key] !== undefined);
  if (alone !== undefined)
    throw refuse(alone, "a module says that itself; it is for commands that have a program");
  if (inline && (program !== undefined || runAs !== undefined))
    throw refuse("inline", "what is done in the server itself is neither a program nor another user's");
  if (timeout === 0) throw refuse("timeout", "a limit is more than nothing");
  const unfit = runAs === undefined ? undefined : findRunAsFault(runAs);
  if (unfit !== undefined) throw refuse("run_as", unfit);
  for (const [name, field] of Object.entries(input)) {
    const wrong = findFieldFault(field);
    if (wrong !== undefined) throw refuse(`input.${name}.${wrong.key}`, wrong.why);
  }
  for (const [key, fields] of Object.entries({ positional, confidential }))
    for (const [index, field] of fields.entries())
      if (!Object.hasOwn(input, field)) throw refuse(`${key}.${index}`, `the input has no field "${field}"`);
}

function toSettings({ permission, timeout, run_as: runAs, inline = false }: CommandTable): CommandSettings {
  return { permission, timeoutMs: timeout, runAs, isInline: inline };
}

function toProgram(table: CommandTable): ProgramSettings {
  const { program: argv = [], input = {}, kind = "foreground", idempotent = false } = table;
  const { summary = `Run ${argv.join(" ")}`, positional = [], confidential = [] } = table;
  const fields: InputTable = input;
  return {
    ...toSettings(table),
    argv,
    summary,
    kind,
    idempotent,
    input: toInputSchema(fields),
    positional,
    confidential,
  };
}
