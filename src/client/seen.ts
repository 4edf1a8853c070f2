import * as v from "valibot";
import { jobChanges } from "../commands/job-changes.ts";
import { jobPrune } from "../commands/job-prune.ts";
import { jobShow } from "../commands/job-show.ts";
import { jobs } from "../commands/jobs.ts";
import { result } from "../commands/result.ts";
import { readOutcome } from "../commands/seen.ts";
import { wait } from "../commands/wait.ts";
import type { JobDetails, JobResult, JobSummary } from "../protocol/job.ts";
import type { Outcome, RecordedOutcome } from "../protocol/outcome.ts";
import { readResult } from "./returned.ts";
import type { Session } from "./session.ts";
import type { JobEvent } from "./watch.ts";

type Leaf = string | number | boolean | bigint | null | undefined | Uint8Array | Date;

/** The same with outcomes as whoever reads them sees them: what was returned is the value itself. */
export type Seen<T> = T extends Leaf
  ? T
  : T extends Extract<RecordedOutcome, { readonly type: "returned" }>
    ? Extract<Outcome, { readonly type: "returned" }>
    : T extends object
      ? { [K in keyof T]: Seen<T[K]> }
      : T;

export type SeenJob = Seen<JobSummary>;
export type SeenDetails = Seen<JobDetails>;
export type SeenResult = Seen<JobResult>;
export type SeenEvent = Seen<JobEvent>;

interface Recorded {
  readonly outcome?: RecordedOutcome | undefined;
}

export function seeJob<J extends Recorded>(job: J): Omit<J, "outcome"> & { readonly outcome?: Outcome } {
  const { outcome, ...rest } = job;
  return outcome === undefined ? rest : { ...rest, outcome: readOutcome(outcome) };
}

export function seeEvent(event: JobEvent): SeenEvent {
  return event.type === "removed" ? event : { ...event, job: seeJob(event.job) };
}

/** What a command that tells of jobs answers, so seen. What a job returned may have to be read besides. */
export async function seeAnswer(
  name: string,
  answer: unknown,
  session: Session,
  signal: AbortSignal,
): Promise<unknown> {
  switch (name) {
    case wait.name:
      return seeJob(v.parse(wait.result, answer));
    case jobShow.name:
      return seeJob(v.parse(jobShow.result, answer));
    case jobs.name: {
      const page = v.parse(jobs.result, answer);
      return { ...page, jobs: page.jobs.map(seeJob) };
    }
    case jobPrune.name: {
      const page = v.parse(jobPrune.result, answer);
      return { ...page, removed: page.removed.map(seeJob) };
    }
    case jobChanges.name: {
      const page = v.parse(jobChanges.result, answer);
      return { ...page, changed: page.changed.map((change) => ({ ...change, job: seeJob(change.job) })) };
    }
    case result.name: {
      const read = await readResult(session, v.parse(result.result, answer), signal);
      if (read.type !== "value" || read.outcome.type !== "returned") return read;
      return { ...read, outcome: { type: "returned", value: read.value } };
    }
    default:
      return answer;
  }
}
