import type { JobName, ProcessIdentity } from "../../protocol/job.ts";
import type { FoundProcess } from "./processes.ts";

/** A job's first process. */
export interface Leader {
  readonly process: ProcessIdentity | undefined;
  readonly job: JobName;
}

/** Tells which job each of many processes is of: by its mark, or as a job's first, or as one of its session or its children. */
export class Ownership {
  readonly #leaders = new Map<string, JobName>();
  readonly #known = new Map<number, JobName>();
  readonly #findJob: (id: string) => JobName | undefined;

  /** `findJob`: the job of this id, if it is one of ours. */
  constructor(findJob: (id: string) => JobName | undefined) {
    this.#findJob = findJob;
  }

  add({ process, job }: Leader): void {
    if (process !== undefined) this.#leaders.set(toKey(process), job);
  }

  /** Ask of parents before their children: a child with no mark of its own is known by them. */
  find(process: FoundProcess): JobName | undefined {
    const { pid, ppid, session, marks } = process;
    const marked = marks.map((mark) => this.#findJob(mark)).find((job) => job !== undefined);
    const job = marked ?? this.#leaders.get(toKey(process)) ?? this.#findKin(session) ?? this.#findKin(ppid);
    if (job !== undefined) this.#known.set(pid, job);
    return job;
  }

  #findKin(pid: number | undefined): JobName | undefined {
    return pid === undefined ? undefined : this.#known.get(pid);
  }
}

function toKey({ pid, startTime }: ProcessIdentity): string {
  return `${pid}/${startTime}`;
}
