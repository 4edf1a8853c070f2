import * as v from "valibot";
import { AppError } from "../protocol/error.ts";
import { JobFilter } from "../protocol/filter.ts";
import { JobSummary } from "../protocol/job.ts";
import type { JobAccess } from "./access/jobs.ts";
import { defineForeground } from "./define.ts";
import { filterArgs, parseMoment, toFilter } from "./filter.ts";
import { DEFAULT_COLUMNS, toTable } from "./table.ts";

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

export const jobPrune = defineForeground({
  name: "job-prune",
  summary: "Remove all ended jobs that match, with all that they said",
  permission: "exec",
  idempotent: true,
  input: v.object({
    filter: v.optional(JobFilter, {}),
    /** Only tell which. */
    dryRun: v.optional(v.boolean(), false),
    /** Only jobs with lower numbers: the next page. */
    before: v.optional(count),
  }),
  /** As they were. It may be empty though there are more. */
  result: v.object({ removed: v.array(JobSummary), more: v.boolean(), next: count }),

  async run({ filter, dryRun, before }, { jobs }) {
    const page = await jobs.list({ before, limit: undefined, filter });
    const ended = page.jobs.filter(hasEnded);
    const removed = dryRun ? ended : await removeEach(jobs, ended);
    return { removed, more: page.more, next: page.next };
  },

  cli: {
    args: {
      "older-than": {
        type: "string",
        valueHint: "when",
        description: "Only ended before then: 7d (ago), or a time such as 2026-01-31",
      },
      ...filterArgs,
      "dry-run": { type: "boolean", alias: "n", description: "Only tell which would be removed" },
      yes: { type: "boolean", alias: "y", description: "Remove all ended jobs, where nothing says which" },
    },
    examples: [
      ["farhand job prune --older-than 7d", "what ended more than a week ago"],
      ["farhand job prune --state succeeded --label nightly --dry-run", "look first"],
    ],
    toInput(values) {
      const older = values.text("older-than");
      const filter: JobFilter = {
        ...toFilter(values),
        ...(older !== undefined && { endedBefore: parseMoment("--older-than", older) }),
      };
      const dryRun = values.flag("dry-run");
      if (Object.keys(filter).length === 0 && !dryRun && !values.flag("yes"))
        throw new AppError(
          "invalid_input",
          "Cannot remove all ended jobs unless you are sure: say which, such as --older-than 7d, or --yes",
        );
      return { filter, dryRun };
    },
    show: ({ removed }) => toTable(removed, DEFAULT_COLUMNS),
  },
});

/** Nobody is left to be killed. */
function hasEnded({ state, processes = [] }: JobSummary): boolean {
  return state !== "running" && processes.length === 0;
}

/** Those that could be removed: one whose output somebody still has open stays. */
async function removeEach(jobs: JobAccess, ended: readonly JobSummary[]): Promise<JobSummary[]> {
  const removing = ended.map(async (job) => {
    try {
      await jobs.remove([job.id]);
      return [job];
    } catch (error) {
      if (error instanceof AppError && ["still_running", "not_found"].includes(error.code)) return [];
      throw error;
    }
  });
  return (await Promise.all(removing)).flat();
}
