import * as v from "valibot";
import { formatSize } from "../lib/size.ts";
import { MAX_MODULE_BYTES } from "../protocol/limits.ts";
import { ModuleHash } from "../protocol/task.ts";
import { defineForeground } from "./define.ts";

export const modulePut = defineForeground({
  name: "module-put",
  summary: "Send the bundle of a task, once for each server",
  permission: "exec",
  idempotent: true,
  takesInput: true,
  input: v.object({
    /** SHA-256 of what is sent along. */
    hash: ModuleHash,
    /** How much that is. */
    bytes: v.pipe(
      v.number(),
      v.safeInteger(),
      v.minValue(1, "is nothing"),
      v.maxValue(MAX_MODULE_BYTES, `takes more than ${formatSize(MAX_MODULE_BYTES)}`),
    ),
  }),
  positional: ["hash"],
  /** Whether it was there already: then nothing need be sent. */
  result: v.object({ hash: ModuleHash, known: v.boolean() }),

  run: async (module, { tasks, input, signal }) => ({
    hash: module.hash,
    known: await tasks.keepModule(module, input, signal),
  }),

  cli: {
    args: {},
    examples: [],
    toInput: ({ rest: [hash = "", bytes = "0"] }) => ({ hash, bytes: Number(bytes) }),
    toSource: () => ({ type: "stdin" }),
    show: ({ hash, known }) => `${known ? "Knows" : "Has got"} ${hash}`,
  },
});
