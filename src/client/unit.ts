import type { JobSummary } from "../protocol/job.ts";

/** What is counted of what a job has recorded. */
export const UNITS = ["packets", "values"] as const;
export type Unit = (typeof UNITS)[number];

/** What is counted where nobody says it: packets of a program's, and of a task's, whose values say more than what it answers. */
export function toUnit({ command }: Pick<JobSummary, "command">): Unit {
  return command === "exec" || command === "task" ? "packets" : "values";
}
