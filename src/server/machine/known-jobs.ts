import * as v from "valibot";
import { JobId } from "../../protocol/id.ts";
import type { JobName } from "../../protocol/job.ts";
import { type Identity, isVisible } from "../auth/identity.ts";
import type { Jobs } from "../jobs/jobs.ts";
import type { Leader } from "./ownership.ts";

/** What somebody may know of which processes are of jobs. */
export interface KnownJobs {
  /** The first process of each that runs. */
  leaders(): Iterable<Leader>;
  /** The job of this id, if there is one. */
  findName(id: string): JobName | undefined;
}

/** The server's jobs, as far as somebody may see them. */
export function toKnownJobs(jobs: Pick<Jobs, "leaders" | "find">, viewer: Identity): KnownJobs {
  return {
    leaders: () => jobs.leaders(viewer),
    findName(id) {
      const parsed = v.safeParse(JobId, id);
      const job = parsed.success ? jobs.find(parsed.output)?.start : undefined;
      return job && isVisible(job, viewer) ? { id: job.job, number: job.number } : undefined;
    },
  };
}
