import { AppError } from "../../protocol/error.ts";
import type { Job } from "./job.ts";

/** A job that is asked for under an idempotency key. */
export interface KeyedRequest {
  readonly owner: string;
  readonly key: string;
  /** The links of the narrowed token that it is asked for with: what is asked with others has keys of its own. */
  readonly via: readonly string[];
  readonly command: string;
  readonly argv: readonly string[];
  readonly cwd: string;
  /** The name of the role in which it would be started. */
  readonly role: string;
}

/** Which job has an owner's idempotency key, also one that is just being started. */
export class Keys {
  readonly #find: (owner: string, key: string, via: readonly string[]) => Job | undefined;
  readonly #starting = new Map<string, Promise<Job>>();

  /** `find`: the newest job of that owner and key, started by way of those links. */
  constructor(find: (owner: string, key: string, via: readonly string[]) => Job | undefined) {
    this.#find = find;
  }

  /**
   * Answers the job that has the key, or starts one. A job that never started gives its key back. Throws `key_conflict`
   * where the key's job is of another command, argv or directory, or of another role: what somebody else of his user's says,
   * who may do less, is not to be taken for what this one would have done.
   */
  async claim(request: KeyedRequest, start: () => Promise<Job>): Promise<Job> {
    const slot = JSON.stringify([request.owner, request.key, request.via]);
    for (let other = this.#starting.get(slot); other !== undefined; other = this.#starting.get(slot)) {
      const first = await other.catch(() => undefined);
      if (first !== undefined && isStarted(first)) return checkSame(first, request);
    }
    const first = this.#find(request.owner, request.key, request.via);
    if (first !== undefined && isStarted(first)) return checkSame(first, request);
    const starting = start().finally(() => this.#starting.delete(slot));
    this.#starting.set(slot, starting);
    return starting;
  }
}

function isStarted({ exit }: Job): boolean {
  return exit?.outcome.type !== "not_started";
}

function checkSame(first: Job, { key, command, argv, cwd, role }: KeyedRequest): Job {
  const { start } = first;
  const isSame =
    start.command === command &&
    start.cwd === cwd &&
    start.argv.length === argv.length &&
    start.argv.every((word, index) => word === argv[index]);
  // Those of a server that knew no roles do not tell.
  const isAlike = start.role === undefined || start.role === role;
  if (isSame && isAlike) return first;
  const why = isSame ? `was started in role "${start.role}", not "${role}"` : "runs something else";
  throw new AppError(
    "key_conflict",
    `Cannot start a job under key "${key}": job ${start.number} has it, and ${why}; choose another key`,
    { details: { job: start.job, number: start.number } },
  );
}
