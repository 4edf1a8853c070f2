import * as v from "valibot";
import { JobRef } from "../protocol/id.ts";
import { JobSummary } from "../protocol/job.ts";
import { defineForeground } from "./define.ts";
import { describeOutcome } from "./describe.ts";

export const wait = defineForeground({
  name: "wait",
  summary: "Wait until a job has exited, and exit with its code",
  permission: "read",
  idempotent: true,
  input: v.object({ job: JobRef }),
  positional: ["job"],
  result: JobSummary,

  run: ({ job }, { jobs, signal }) => jobs.wait(job, signal),

  cli: {
    args: {
      job: { type: "positional", required: true, description: "Number, id, unique prefix of one, or @last" },
    },
    examples: [["farhand wait 3 && echo done", "exit with job 3's own code"]],
    toInput: (values) => ({ job: values.text("job") ?? "" }),
    show: ({ number, outcome }) => `Job ${number}: ${outcome ? describeOutcome(outcome) : "running"}`,
  },
});
