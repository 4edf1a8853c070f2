import * as v from "valibot";
import { formatDuration } from "../lib/duration.ts";
import { JobSummary } from "../protocol/job.ts";
import type { Outcome } from "../protocol/outcome.ts";
import { defineForeground } from "./define.ts";

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

export const jobs = defineForeground({
  name: "jobs",
  summary: "List jobs, or show the named ones",
  permission: "read",
  idempotent: true,
  input: v.object({
    /** Only these: numbers, ids, unique prefixes, or @last. */
    refs: v.optional(v.pipe(v.array(v.string()), v.maxLength(100)), []),
    /** Only jobs with lower numbers: the next page. */
    before: v.optional(count),
  }),
  /** Newest first. `more`: there are older ones than the last listed. */
  result: v.object({ jobs: v.array(JobSummary), more: v.boolean() }),

  async run({ refs, before }, { jobs }) {
    if (refs.length > 0) return { jobs: await Promise.all(refs.map((ref) => jobs.get(ref))), more: false };
    const page = jobs.list(before);
    return { jobs: [...page.jobs], more: page.more };
  },

  cli: {
    args: {},
    rest: "[JOB ...]",
    examples: [
      ["farhand jobs", "all jobs, newest first"],
      ["farhand jobs 3 @last --json | jq '.jobs[].outcome'", "what is known of two jobs"],
    ],
    toInput: ({ rest }) => ({ refs: [...rest] }),
    show: ({ jobs }) => toTable(jobs),
  },
});

/** One line per job, in aligned columns. */
function toTable(summaries: readonly JobSummary[]): string {
  if (summaries.length === 0) return "No jobs";
  const rows = summaries.map((job) => [
    String(job.number),
    job.id,
    toState(job),
    toAge(job),
    job.argv.map(quote).join(" ").slice(0, 100),
  ]);
  const table = [["JOB", "ID", "STATE", "TIME", "COMMAND"], ...rows];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
  return table
    .map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  "))
    .join("\n");
}

function toState({ state, attached, outcome, processes }: JobSummary): string {
  if (state === "running") return attached ? "running, attached" : "running";
  if (state === "lost") {
    const living = processes?.map(({ pid, startTime }) => `pid ${pid} started ${startTime}`) ?? [];
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
    case "idle_timed_out":
      return `timed out after ${formatDuration(outcome.limit)}`;
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

function toAge({ startedAt, endedAt }: JobSummary): string {
  return formatDuration(Math.max(0, Date.parse(endedAt ?? new Date().toISOString()) - Date.parse(startedAt)));
}

/** A word as a POSIX shell reads it back. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
