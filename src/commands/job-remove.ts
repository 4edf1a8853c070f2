import * as v from "valibot";
import { JobRef } from "../protocol/id.ts";
import { JobName } from "../protocol/job.ts";
import { defineForeground } from "./define.ts";

export const jobRemove = defineForeground({
  name: "job-remove",
  summary: "Remove ended jobs, with all that they said",
  permission: "exec",
  idempotent: false,
  input: v.object({ jobs: v.pipe(v.array(JobRef), v.minLength(1), v.maxLength(100)) }),
  positional: ["jobs"],
  result: v.object({ removed: v.array(JobName) }),

  run: async ({ jobs: refs }, { jobs }) => ({ removed: [...(await jobs.remove(refs))] }),

  cli: {
    args: {},
    rest: "JOB ...",
    examples: [["farhand job remove 3 4", "two jobs that have ended; one that runs is refused"]],
    toInput: ({ rest }) => ({ jobs: [...rest] }),
    show: ({ removed }) => removed.map(({ number }) => `Job ${number}: removed`).join("\n"),
  },
});
