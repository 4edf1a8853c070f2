import type { CommandDefinition, PackDefinition } from "../module/define.ts";
import { AppError } from "../protocol/error.ts";

// A command's own types are not known here: its schemas check what goes in and comes out.
export type AnyCommand = CommandDefinition<any, any, any, any>;
type AnyPack = PackDefinition<any, unknown>;

/** A command, and the pack of which it is, if it is of one. */
export interface Found {
  readonly command: AnyCommand;
  readonly pack: AnyPack | undefined;
}

/** The command of this name among what a module exports. Throws `unknown_command`. */
export function findDefinition(exports: unknown, name: string): Found {
  // What was built was described before it was called: its shape is right.
  const { default: made } = exports as { readonly default: AnyCommand | AnyPack | readonly AnyCommand[] };
  const isPack = "commands" in made;
  const commands = isPack ? made.commands : "run" in made ? [made] : made;
  const command = commands.find((each) => each.name === name);
  if (command !== undefined) return { command, pack: isPack ? made : undefined };
  throw new AppError("unknown_command", `Cannot call "${name}": its module defines no such command`);
}
