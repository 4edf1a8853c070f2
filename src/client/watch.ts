import { jobChanges } from "../commands/job-changes.ts";
import type { JobFilter } from "../protocol/filter.ts";
import type { JobId } from "../protocol/id.ts";
import type { JobName, JobSummary } from "../protocol/job.ts";
import { invoke } from "./invoke.ts";
import { listJobs } from "./listing.ts";
import type { Session } from "./session.ts";

/** What happened to a job that a filter means. */
export type JobEvent =
  /** It is there, or it changed. */
  | { readonly type: "job"; readonly job: JobSummary }
  /** It changed, and the filter means it no more. */
  | { readonly type: "left"; readonly job: JobSummary }
  /** Its record was removed. */
  | ({ readonly type: "removed" } & JobName);

/**
 * Tells of the jobs that there are, the oldest first, and then of every change, until the signal is aborted: it throws its
 * reason. The first batch is all that there are, also if that is none.
 */
export async function* watchJobs(
  session: Session,
  filter: JobFilter | undefined,
  signal: AbortSignal,
): AsyncGenerator<readonly JobEvent[], never, void> {
  const meant = filter === undefined ? {} : { filter };
  const known = new Map<JobId, JobSummary>();
  // The cursor comes before the list, so that no change falls between them.
  let { cursor } = await invoke(session, jobChanges, meant, signal);
  yield compare(known, (await listJobs(session, meant, signal)).jobs);
  for (;;) {
    const changes = await invoke(session, jobChanges, { ...meant, cursor }, signal);
    ({ cursor } = changes);
    const events = changes.isReset
      ? compare(known, (await listJobs(session, meant, signal)).jobs)
      : [
          ...changes.changed.flatMap(({ job, isMeant }) => take(known, job, isMeant)),
          ...changes.removed.flatMap((id) => remove(known, id)),
        ];
    if (events.length > 0) yield events;
  }
}

/** What is different in a new list. */
function compare(known: Map<JobId, JobSummary>, jobs: readonly JobSummary[]): JobEvent[] {
  const listed = new Set(jobs.map(({ id }) => id));
  const gone = [...known.keys()].filter((id) => !listed.has(id));
  return [
    ...gone.flatMap((id) => remove(known, id)),
    ...jobs.toReversed().flatMap((job) => take(known, job, true)),
  ];
}

function take(known: Map<JobId, JobSummary>, job: JobSummary, isMeant: boolean): JobEvent[] {
  const before = known.get(job.id);
  if (!isMeant) return known.delete(job.id) ? [{ type: "left", job }] : [];
  known.set(job.id, job);
  return JSON.stringify(before) === JSON.stringify(job) ? [] : [{ type: "job", job }];
}

function remove(known: Map<JobId, JobSummary>, id: JobId): JobEvent[] {
  const job = known.get(id);
  return job !== undefined && known.delete(id) ? [{ type: "removed", id, number: job.number }] : [];
}
