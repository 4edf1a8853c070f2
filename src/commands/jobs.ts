import * as v from "valibot";
import { JobFilter } from "../protocol/filter.ts";
import { JobRef } from "../protocol/id.ts";
import { JobSummary } from "../protocol/job.ts";
import { defineForeground } from "./define.ts";
import { filterArgs, toFilter } from "./filter.ts";
import { DEFAULT_COLUMNS, toTable } from "./table.ts";

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

export const jobs = defineForeground({
  name: "jobs",
  summary: "List jobs, or show the named ones",
  permission: "read",
  idempotent: true,
  input: v.object({
    /** Only these: numbers, ids, unique prefixes, or @last. Nothing else then matters. */
    refs: v.optional(v.pipe(v.array(JobRef), v.maxLength(100)), []),
    /** Only jobs with lower numbers: the next page. */
    before: v.optional(count),
    /** At most so many. */
    limit: v.optional(v.pipe(count, v.minValue(1))),
    filter: v.optional(JobFilter),
  }),
  positional: ["refs"],
  result: v.object({
    /** Newest first, and with a filter perhaps none though there are more. */
    jobs: v.array(JobSummary),
    /** There may be more. */
    more: v.boolean(),
    /** What `before` is for the next page. */
    next: v.optional(count),
    /** The filter was obeyed: an older server knows of none, and lists everything. */
    filtered: v.optional(v.boolean()),
  }),

  async run({ refs, before, limit, filter }, { jobs }) {
    if (refs.length > 0) return { jobs: await Promise.all(refs.map((ref) => jobs.get(ref))), more: false };
    const page = await jobs.list({ before, limit, filter });
    return { ...page, jobs: [...page.jobs], filtered: filter !== undefined };
  },

  cli: {
    args: filterArgs,
    rest: "[JOB ...]",
    examples: [
      ["farhand jobs", "all jobs, newest first"],
      ["farhand jobs --state running,failed --since 1h", "what goes on, and what went wrong"],
      ["farhand jobs --label nightly --columns job,state,labels,command", "by label, in columns of your own"],
      ["farhand jobs --watch", "as they change, until Ctrl-C"],
      ["farhand jobs 3 @last --json | jq '.jobs[].outcome'", "what is known of two jobs"],
    ],
    toInput(values) {
      const filter = toFilter(values);
      return { refs: [...values.rest], ...(filter && { filter }) };
    },
    show: ({ jobs }) => toTable(jobs, DEFAULT_COLUMNS),
  },
});
