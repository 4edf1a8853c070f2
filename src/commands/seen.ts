import { toTagged } from "../protocol/cbor/tagged.ts";
import type { Outcome, RecordedOutcome } from "../protocol/outcome.ts";
import { fromValue } from "../protocol/value.ts";

/** An outcome with what was returned. What it has no room for is left out, and so is what is no value: `result` tells it, or why not. */
export function readOutcome(outcome: RecordedOutcome): Outcome {
  if (outcome.type !== "returned") return outcome;
  const { type, value } = outcome;
  if (value.encoding === "parts") return { type };
  try {
    return { type, value: fromValue(value) };
  } catch {
    return { type }; // one job that says nonsense must not hide the others
  }
}

/** The same as people and their programs see it: what was returned as JSON that says all of it. */
export function toSeenOutcome(recorded: RecordedOutcome): object {
  const outcome = readOutcome(recorded);
  return outcome.type === "returned" && "value" in outcome
    ? { ...outcome, value: toTagged(outcome.value) }
    : outcome;
}

/** A job with its outcome like that. */
export function toSeenJob<J extends { readonly outcome?: RecordedOutcome | undefined }>(job: J): object {
  return job.outcome === undefined ? job : { ...job, outcome: toSeenOutcome(job.outcome) };
}
