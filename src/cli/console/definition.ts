import * as v from "valibot";
import { toResult } from "../../client/invoke.ts";
import type { Session } from "../../client/session.ts";
import { PlainName, Schema, ShownText } from "./value.ts";

/** A command as its server describes it. */
export const Definition = v.object({
  name: PlainName,
  summary: v.optional(ShownText, ""),
  kind: v.picklist(["foreground", "background"]),
  idempotent: v.optional(v.boolean(), false),
  takesInput: v.optional(v.boolean(), false),
  positional: v.optional(v.array(PlainName), []),
  input: v.optional(Schema, {}),
  /** There is one if it says something on the way. */
  event: v.optional(v.unknown()),
});
export type Definition = v.InferOutput<typeof Definition>;

/** The commands that a server offers, as far as they can be understood. Throws as the call fails. */
export async function listDefinitions(session: Session, signal: AbortSignal): Promise<readonly Definition[]> {
  const listed = await session.call("commands", {}, { signal, isIdempotent: true });
  return toResult({ name: "commands", result: v.array(v.unknown()) }, listed).flatMap((command) => {
    const parsed = v.safeParse(Definition, command);
    return parsed.success ? [parsed.output] : []; // of a kind that only a newer client knows
  });
}
