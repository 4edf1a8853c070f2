import * as v from "valibot";
import { AppError } from "../protocol/error.ts";
import type { PackDefinition } from "./define.ts";

/** Of a pack that has no configuration. */
const NOTHING = v.strictObject({}, "the pack has no such key");

/** What a pack is given of what its table `[extensions.NAME]` says. Throws `invalid_config`, which names the key. */
export function parseConfig(
  { name, config }: Pick<PackDefinition, "name" | "config">,
  table: unknown = {},
): unknown {
  const parsed = v.safeParse(config ?? NOTHING, table);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  const key = ["extensions", name, v.getDotPath(issue)].filter((part) => part !== null).join(".");
  const why = issue.received === "undefined" ? "it is missing" : issue.message;
  throw new AppError("invalid_config", `Cannot set up the pack "${name}": ${key}: ${why}`);
}
