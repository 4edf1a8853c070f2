import * as v from "valibot";
import { ErrorBody } from "../protocol/error.ts";
import { ModuleDescription } from "./description.ts";

/** What a process that builds a module leaves behind: the bundle, and at last this. */
export const SOURCE_FILE = "module.js";
export const ANSWER_FILE = "answer.json";

/** The word behind the others by which a process that builds a module is told to run none of which others may write a part. */
export const TRUSTED = "trusted";

/** What such a process finds on its stdin. */
export const BuildOrder = v.object({
  /** The pid of whoever started it, with whom it ends. */
  parent: v.number(),
  /** What the configuration says of packs, which may hold secrets; absent where nobody asks whether it fits. */
  packs: v.optional(v.record(v.string(), v.unknown())),
});
export type BuildOrder = v.InferOutput<typeof BuildOrder>;

/** What came of it. */
export const BuildAnswer = v.variant("type", [
  v.object({
    type: v.literal("built"),
    description: ModuleDescription,
    warnings: v.array(v.string()),
    inputs: v.array(v.string()),
  }),
  v.object({ type: v.literal("failed"), error: ErrorBody }),
]);
export type BuildAnswer = v.InferOutput<typeof BuildAnswer>;
