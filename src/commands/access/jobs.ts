import type { JobFilter } from "../../protocol/filter.ts";
import type { JobId, WriterId } from "../../protocol/id.ts";
import type { Ended, JobDetails, JobName, JobSummary } from "../../protocol/job.ts";
import type { Labels } from "../../protocol/terms.ts";

/** Which page of jobs is wanted. */
export interface JobQuery {
  /** Only jobs with lower numbers. */
  readonly before: number | undefined;
  readonly limit: number | undefined;
  readonly filter: JobFilter | undefined;
}

export interface JobPage {
  /** Newest first. It may be empty though there are more. */
  readonly jobs: readonly JobSummary[];
  /** There may be more. */
  readonly more: boolean;
  /** What `before` is for the next page. */
  readonly next: number;
}

/** What happened to jobs since a moment that `cursor` named. */
export interface JobChanges {
  /** Names the moment of this answer. */
  readonly cursor: string;
  /** That moment is not known any more: nothing is told, and all jobs are to be listed anew. */
  readonly isReset: boolean;
  /** As they are now. `isMeant`: whether the filter matches. */
  readonly changed: readonly { readonly job: JobSummary; readonly isMeant: boolean }[];
  readonly removed: readonly JobId[];
}

/** Bytes for a job, behind the `offset` that this writer has sent before. */
export interface JobInputPiece {
  /** Undefined for one that sends nothing else. */
  readonly writer: WriterId | undefined;
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** No more comes from anybody. */
  readonly end: boolean;
}

/**
 * The jobs that a caller may see, also those that are just being started. Everything here refuses unknown and ambiguous
 * references (`not_found`, `ambiguous`).
 */
export interface JobAccess {
  /** A page of summaries, newest first. It looks at so many jobs at most, whether they match or not. */
  list(query: JobQuery): Promise<JobPage>;
  /** `ref`: a number, a UUID, a unique prefix of one, or `@last`, the caller's own last one. */
  get(ref: string): Promise<JobSummary>;
  show(ref: string): Promise<JobDetails>;
  /** Sets labels and takes others away. Throws `invalid_input` when that makes too many. */
  label(ref: string, set: Labels, unset: readonly string[]): Promise<JobSummary>;
  /** Removes the records of ended jobs: all or, where one has not ended (`still_running`), none. */
  remove(refs: readonly string[]): Promise<readonly JobName[]>;
  /** Resolves when a job has changed since then; at once without a cursor. */
  changes(
    cursor: string | undefined,
    filter: JobFilter | undefined,
    signal: AbortSignal,
  ): Promise<JobChanges>;
  /** Resolves when the job has exited, with its outcome. */
  wait(ref: string, signal: AbortSignal): Promise<JobSummary>;
  /**
   * Gives a job input in one piece. Resolves when its keeper holds it, which waits for a program that does not read. Throws
   * `not_running` for one that has ended, `input_closed` for one that takes none, `invalid_input` behind what is held.
   */
  send(ref: string, piece: JobInputPiece, signal: AbortSignal): Promise<JobName>;
  /** Throws `not_running` when no process is left. */
  signal(ref: string, name: string): Promise<void>;
  /**
   * Ends every process of the job: the signal, then KILL after `grace` ms. Resolves when they are gone, with what it did;
   * at once and with nothing where a keeper of an older version does not tell. Throws `not_running` when none is left.
   */
  cancel(ref: string, name: string, grace: number): Promise<Ended | undefined>;
}
