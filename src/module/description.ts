import * as v from "valibot";
import { CommandDescription } from "../protocol/description.ts";

export const JsonSchema = v.record(v.string(), v.unknown());

/** A command of a module's, as it says of itself. */
export const CustomDescription = v.object({
  ...CommandDescription.entries,
  /** Milliseconds. */
  timeoutMs: v.optional(v.number()),
  /** The user of the machine as whom it runs. */
  runAs: v.optional(v.string()),
  /** Fields of the input whose values no record shows. */
  confidential: v.array(v.string()),
  /** Whether it says something on the way, as far as can be told before it runs. */
  doing: v.picklist(["stream", "plain"]),
});
export type CustomDescription = v.InferOutput<typeof CustomDescription>;

/** What a module defines, for whoever does not run it. */
export const ModuleDescription = v.object({
  /** Of the bundle: SHA-256 as hex. */
  hash: v.string(),
  pack: v.optional(v.object({ name: v.string(), hasInit: v.boolean(), config: v.optional(JsonSchema) })),
  commands: v.array(CustomDescription),
  /** It is a task, and has no commands. */
  task: v.optional(v.object({ hasInit: v.boolean(), hasExit: v.boolean() })),
});
export type ModuleDescription = v.InferOutput<typeof ModuleDescription>;
