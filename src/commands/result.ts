import * as v from "valibot";
import { JobRef } from "../protocol/id.ts";
import { JobResult, type JobSummary } from "../protocol/job.ts";
import { defineForeground } from "./define.ts";
import { describeOutcome } from "./describe.ts";

export const result = defineForeground({
  name: "result",
  summary: "Tell what came of a job: a value, an error, cancelled, failed, or not finished yet",
  permission: "read",
  idempotent: true,
  input: v.object({
    job: JobRef,
    /** Answer only when the job has ended. */
    wait: v.optional(v.boolean(), false),
  }),
  positional: ["job"],
  result: JobResult,

  async run({ job, wait }, { jobs, signal }) {
    return toResult(wait ? await jobs.wait(job, signal) : await jobs.get(job));
  },

  cli: {
    args: {
      job: { type: "positional", required: true, description: "Number, id, unique prefix of one, or @last" },
      wait: { type: "boolean", description: "Wait until it has ended; --no-wait, the default, does not" },
    },
    examples: [
      ["farhand result 3 --wait", "0: a value, 1: it threw, 2: it failed, 130: it was cancelled"],
      ["farhand result @last; [ $? = 75 ] && echo later", "75: it has not finished"],
    ],
    toInput: (values) => ({ job: values.text("job") ?? "", wait: values.flag("wait") }),
    show: toText,
  },
});

/** The answer that a job's outcome is. */
export function toResult({ id, number, outcome }: JobSummary): JobResult {
  const named = { id, number };
  switch (outcome?.type) {
    case undefined:
      return { type: "not_finished", ...named };
    case "returned":
      return { type: "value", ...named, value: outcome.value, outcome };
    case "threw":
      return { type: "threw", ...named, error: outcome.error, outcome };
    case "cancelled":
      return {
        type: "cancelled",
        ...named,
        by: outcome.by,
        ...(outcome.end && { end: outcome.end }),
        outcome,
      };
    case "exited":
      if (outcome.code === 0) return { type: "value", ...named, value: { code: 0 }, outcome };
      return { type: "failed", ...named, outcome };
    case "signaled":
    case "timed_out":
    case "idle_timed_out":
    case "output_limited":
    case "not_started":
    case "lost":
      return { type: "failed", ...named, outcome };
  }
}

function toText(result: JobResult): string {
  switch (result.type) {
    case "value":
      return JSON.stringify(result.value) ?? "null";
    case "threw":
      return `Job ${result.number} threw: ${result.error.message}`;
    case "cancelled":
      return `Job ${result.number} was cancelled by ${result.by}`;
    case "failed":
      return `Job ${result.number} failed: ${describeOutcome(result.outcome)}`;
    case "not_finished":
      return `Job ${result.number} has not finished`;
  }
}
