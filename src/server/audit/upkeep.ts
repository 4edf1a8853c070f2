import { delay } from "../../lib/abort.ts";
import type { Audit } from "./audit.ts";
import type { AuditConfig } from "./audit-config.ts";

/** Milliseconds between two looks for files that are old enough to go. */
const PRUNE_INTERVAL = 3_600_000;

/** Removes what the configuration does not want kept any longer, until the signal is aborted. */
export async function keepPruning(
  audit: Audit,
  { keep }: Pick<AuditConfig, "keep">,
  signal: AbortSignal,
): Promise<void> {
  if (keep === Number.POSITIVE_INFINITY) return;
  for (;;) {
    audit.prune(new Date(Date.now() - keep));
    await delay(PRUNE_INTERVAL, signal);
  }
}
