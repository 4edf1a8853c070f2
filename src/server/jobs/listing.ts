import type { JobPage, JobQuery } from "../../commands/access/jobs.ts";
import { turn } from "../../lib/abort.ts";
import type { JobSummary } from "../../protocol/job.ts";
import { measureJson } from "../../protocol/measure.ts";
import { toPredicate } from "./job-filter.ts";
import type { IndexedJob } from "./job-index.ts";
import type { Job } from "./job.ts";

/** Bytes of summaries in one answer, so that it always fits into a control frame. */
export const PAGE_BYTES = 48 * 1024;
const PAGE_JOBS = 200;
/** Jobs looked at for one answer, and between two turns of the event loop: a filter may match none of many. */
const SCAN_JOBS = 5_000;
const CHUNK_JOBS = 250;

/** Places for keys that weigh as much as a byte: fewer than an answer may have then go into it. */
const BYTE_PLACES = 16;

/** What a listing needs of the jobs that there are. */
export interface Shelf {
  /** Jobs with numbers below `before`, newest first. */
  list(before: number, limit: number): readonly IndexedJob[];
  toJob(indexed: IndexedJob): Job;
  /** Whether whoever asks may see it. */
  isVisible(job: Job): boolean;
  summarize(job: Job): JobSummary;
}

/** A page of the jobs that match, newest first: as many as one answer has room for, among so many that are looked at. */
export async function listPage(shelf: Shelf, query: JobQuery, now: number): Promise<JobPage> {
  const isMeant = query.filter === undefined ? () => true : toPredicate(query.filter, now);
  const limit = Math.min(PAGE_JOBS, query.limit ?? PAGE_JOBS);
  const jobs: JobSummary[] = [];
  let next = query.before ?? Number.MAX_SAFE_INTEGER;
  let bytes = 0;
  for (let scanned = 0; scanned < SCAN_JOBS; scanned += CHUNK_JOBS) {
    if (scanned > 0) await turn();
    const chunk = shelf.list(next, CHUNK_JOBS);
    for (const indexed of chunk) {
      const job = shelf.toJob(indexed);
      if (shelf.isVisible(job) && isMeant(job)) {
        if (jobs.length === limit) return { jobs, more: true, next };
        const summary = shelf.summarize(job);
        bytes += weigh(summary);
        if (jobs.length > 0 && bytes > PAGE_BYTES) return { jobs, more: true, next };
        jobs.push(summary);
      }
      next = indexed.start.number;
    }
    if (chunk.length < CHUNK_JOBS) return { jobs, more: false, next };
  }
  return { jobs, more: true, next };
}

/** Bytes of an answer that a summary takes, or as many as it counts for because of what reading it takes. */
export function weigh(summary: JobSummary): number {
  const text = JSON.stringify(summary);
  return text.length + measureJson(text).places / BYTE_PLACES;
}
