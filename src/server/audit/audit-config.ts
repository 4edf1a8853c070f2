import * as v from "valibot";
import { parseDuration } from "../../lib/duration.ts";
import { toQuantity } from "../quantity.ts";

/**
 * What becomes of calls while the audit log cannot be written. `hold`: they go on as long as their lines can be held in memory
 * (1 MiB), and are refused then. `refuse`: they are refused at once. `continue`: they go on, whatever is lost.
 */
export const AUDIT_FAILURES = ["hold", "refuse", "continue"] as const;
export type AuditFailure = (typeof AUDIT_FAILURES)[number];

export interface AuditConfig {
  /** Milliseconds for which lines are kept at least; infinite for ever. */
  readonly keep: number;
  readonly onFailure: AuditFailure;
}

/** What the configuration file may say of it. */
export const AuditTable = v.strictObject({
  keep: v.optional(v.pipe(v.string(), toQuantity(parseKeep))),
  on_failure: v.optional(v.picklist(AUDIT_FAILURES)),
});
export type AuditTable = v.InferOutput<typeof AuditTable>;

/** Puts the file over the defaults. */
export function toAuditConfig({ keep, on_failure }: AuditTable = {}): AuditConfig {
  return { keep: keep ?? Number.POSITIVE_INFINITY, onFailure: on_failure ?? "hold" };
}

function parseKeep(text: string): number {
  if (text === "all") return Number.POSITIVE_INFINITY;
  try {
    return parseDuration(text);
  } catch (error) {
    throw error instanceof RangeError ? new RangeError(`${error.message}, or all`) : error;
  }
}
