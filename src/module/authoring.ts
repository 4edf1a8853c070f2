import type * as v from "valibot";
import type { CommandContext, CommandDefinition, PackDefinition, TaskDefinition } from "./define.ts";

export * as v from "valibot";
export { AppError } from "../protocol/error.ts";
export type {
  CommandContext,
  CommandDefinition,
  ModuleContext,
  PackDefinition,
  TaskContext,
  TaskDefinition,
} from "./define.ts";

/** Adds only types. A command of a pack says what it is given: `run(input, context: CommandContext<Config, Shared>)`. */
export function defineCommand<
  I extends v.GenericSchema = v.ObjectSchema<{}, undefined>,
  E extends v.GenericSchema = v.NeverSchema<undefined>,
  R extends v.GenericSchema = v.UnknownSchema,
  C extends CommandContext<any, any> = CommandContext,
>(command: CommandDefinition<I, E, R, C>): CommandDefinition<I, E, R, C> {
  return command;
}

/** Adds only types. */
export function definePack<C extends v.GenericSchema, S>(pack: PackDefinition<C, S>): PackDefinition<C, S> {
  return pack;
}

/** Adds only types. */
export function defineTask<S, A>(task: TaskDefinition<S, A>): TaskDefinition<S, A> {
  return task;
}
