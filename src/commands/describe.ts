import { formatDuration } from "../lib/duration.ts";
import type { JobSummary } from "../protocol/job.ts";
import type { Outcome } from "../protocol/outcome.ts";

/** Where a job is, or how it ended, in a few words. */
export function describeState({ state, attached, outcome, processes }: JobSummary): string {
  if (state === "running") return attached ? "running, attached" : "running";
  if (state === "lost") {
    const living = processes?.map(({ pid }) => `pid ${pid}`) ?? [];
    return living.length > 0 ? `lost, still alive: ${living.join(", ")}` : "lost";
  }
  return outcome === undefined ? state : describeOutcome(outcome);
}

/** How a job ended, in a few words. */
export function describeOutcome(outcome: Outcome): string {
  switch (outcome.type) {
    case "exited":
      return `exited ${outcome.code}`;
    case "signaled":
      return `ended by ${outcome.signal}`;
    case "returned":
      return "returned";
    case "threw":
      return `threw: ${outcome.error.message}`;
    case "timed_out":
      return `timed out after ${formatDuration(outcome.limit)}`;
    case "idle_timed_out":
      return `wrote nothing for ${formatDuration(outcome.limit)}`;
    case "output_limited":
      return `wrote more than ${outcome.limit} bytes`;
    case "cancelled":
      return `cancelled by ${outcome.by}`;
    case "not_started":
      return `not started: ${outcome.reason.message}`;
    case "lost":
      return "lost";
  }
}
