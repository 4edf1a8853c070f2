import * as v from "valibot";
import { JobFilter } from "../protocol/filter.ts";
import { JobId } from "../protocol/id.ts";
import { JobSummary } from "../protocol/job.ts";
import { defineForeground } from "./define.ts";

export const jobChanges = defineForeground({
  name: "job-changes",
  summary: "Wait until jobs change, and tell which",
  permission: "read",
  idempotent: true,
  input: v.object({
    /** From the last answer; without, the first cursor is answered at once. */
    cursor: v.optional(v.pipe(v.string(), v.maxLength(64))),
    filter: v.optional(JobFilter),
  }),
  result: v.object({
    cursor: v.string(),
    /** The cursor is not known any more: list the jobs anew. */
    isReset: v.boolean(),
    changed: v.array(v.object({ job: JobSummary, isMeant: v.boolean() })),
    removed: v.array(JobId),
  }),

  async run({ cursor, filter }, { jobs, signal }) {
    const changes = await jobs.changes(cursor, filter, signal);
    return { ...changes, changed: [...changes.changed], removed: [...changes.removed] };
  },

  cli: { args: {}, examples: [], toInput: () => ({}), show: () => "" },
});
