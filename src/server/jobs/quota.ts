import { AppError } from "../../protocol/error.ts";
import type { JobId } from "../../protocol/id.ts";
import type { Job } from "./job.ts";
import type { JobRequest } from "./starter.ts";

/** A place that is taken for a job which is just being started. */
interface Claimed {
  readonly job: JobId;
  readonly owner: string;
  readonly role: string;
}

/** How many jobs of one user in one role run at once, counting those that are just being started. */
export class Quota {
  readonly #listLive: () => readonly Job[];
  readonly #claimed = new Set<Claimed>();

  /** `listLive`: jobs that are not over. */
  constructor(listLive: () => readonly Job[]) {
    this.#listLive = listLive;
  }

  /** Takes a place until disposed, when the job is among the others or never will be. Throws `too_many`. */
  claim({ job, identity: { owner }, role: { name, limits } }: JobRequest): Disposable {
    const most = limits.jobs;
    if (most === undefined) return NOTHING;
    const claimed = { job, owner, role: name };
    if (this.#count(claimed) >= most) {
      const why = `role "${name}" lets you have ${most} at once; end one, or wait for one to end`;
      throw new AppError("too_many", `Cannot start another job: ${why}`, { details: { limit: most } });
    }
    this.#claimed.add(claimed);
    return { [Symbol.dispose]: () => void this.#claimed.delete(claimed) };
  }

  #count({ owner, role }: Claimed): number {
    const live = this.#listLive().filter(
      ({ start, exit }) => exit === undefined && start.owner === owner && start.role === role,
    );
    const claimed = [...this.#claimed].filter((other) => other.owner === owner && other.role === role);
    return new Set([...live.map(({ start }) => start.job), ...claimed.map(({ job }) => job)]).size;
  }
}

const NOTHING: Disposable = { [Symbol.dispose]() {} };
