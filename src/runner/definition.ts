import type { CommandDefinition, PackDefinition } from "../module/define.ts";
import { readDefinitions } from "../module/definition.ts";
import { AppError } from "../protocol/error.ts";

/** A command, and the pack of which it is, if it is of one. */
export interface Found {
  readonly command: CommandDefinition;
  readonly pack: PackDefinition | undefined;
}

/** The command of this name among what a module exports. Throws `unknown_command`, `invalid_module`. */
export function findDefinition(exports: unknown, name: string): Found {
  const read = readDefinitions(exports);
  const command = read.type === "commands" ? read.commands.find((each) => each.name === name) : undefined;
  if (read.type === "commands" && command !== undefined) return { command, pack: read.pack };
  throw new AppError("unknown_command", `Cannot call "${name}": its module defines no such command`);
}
