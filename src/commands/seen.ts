import { toTagged } from "../protocol/cbor/tagged.ts";
import type { RecordedOutcome } from "../protocol/outcome.ts";
import { fromValue } from "../protocol/value.ts";

/**
 * An outcome as people and their programs see it: what was returned as JSON that says all of it. One that the outcome itself has no
 * room for is left out, and so is what is no value: `result` tells it, or why not.
 */
export function toSeenOutcome(outcome: RecordedOutcome): object {
  if (outcome.type !== "returned") return outcome;
  const { type, value } = outcome;
  if (value.encoding === "parts") return { type };
  try {
    return { type, value: toTagged(fromValue(value)) };
  } catch {
    return { type }; // one job that says nonsense must not hide the others
  }
}

/** A job with its outcome like that. */
export function toSeenJob<J extends { readonly outcome?: RecordedOutcome | undefined }>(job: J): object {
  return job.outcome === undefined ? job : { ...job, outcome: toSeenOutcome(job.outcome) };
}
