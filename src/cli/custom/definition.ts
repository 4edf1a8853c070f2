import * as v from "valibot";
import { toResult } from "../../client/invoke.ts";
import type { Session } from "../../client/session.ts";
import { flatten, PlainName, Schema, ShownText } from "./schema.ts";

/** A command as its server describes it. */
export const Definition = v.object({
  name: PlainName,
  summary: v.optional(ShownText, ""),
  kind: v.picklist(["foreground", "background"]),
  idempotent: v.optional(v.boolean(), false),
  takesInput: v.optional(v.boolean(), false),
  positional: v.optional(v.array(PlainName), []),
  input: v.optional(v.pipe(Schema, v.transform(flatten)), {}),
  /** There is one if it says something on the way. */
  event: v.optional(v.unknown()),
  custom: v.optional(v.boolean(), false),
});
export type Definition = v.InferOutput<typeof Definition>;

/**
 * The commands that a server offers, or those of these names, as far as they can be understood. Throws as the call fails:
 * `unknown_command` for a name that the server does not know, or where it is too old to tell.
 */
export async function listDefinitions(
  session: Session,
  signal: AbortSignal,
  names: readonly string[] = [],
): Promise<readonly Definition[]> {
  const listed = await session.call("commands", { names }, { signal, isIdempotent: true });
  return toResult({ name: "commands", result: v.array(v.unknown()) }, listed).flatMap((command) => {
    const parsed = v.safeParse(Definition, command);
    return parsed.success ? [parsed.output] : []; // of a kind that only a newer client knows
  });
}
