import type * as v from "valibot";
import type { JobFilter } from "../protocol/filter.ts";
import type { JobId } from "../protocol/id.ts";
import type { Ended, JobDetails, JobName, JobSummary } from "../protocol/job.ts";
import type { Labels, Terms } from "../protocol/terms.ts";

/** What a caller must be allowed to. */
export type Permission = "read" | "exec";

/** What a job is asked to run. */
export interface Program {
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: boolean;
  readonly merge: boolean;
  /** Bytes of output to keep; undefined for all. */
  readonly keepBytes: number | undefined;
  readonly terms: Terms;
}

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
  /** Throws `not_running` when no process is left. */
  signal(ref: string, name: string): Promise<void>;
  /**
   * Ends every process of the job: the signal, then KILL after `grace` ms. Resolves when they are gone, with what it did;
   * at once and with nothing where a keeper of an older version does not tell. Throws `not_running` when none is left.
   */
  cancel(ref: string, name: string, grace: number): Promise<Ended | undefined>;
}

/** What the server gives to a command. A command takes nothing from anywhere else. */
export interface CommandContext {
  /** Aborted when the caller cancels or is gone; its reason says which. */
  readonly signal: AbortSignal;
  readonly jobs: JobAccess;
  /** The server's own environment as jobs inherit it. */
  readonly environment: Readonly<Record<string, string>>;
  /** Resolves a path against the caller's working directory. */
  resolvePath(path: string): string;
  /** The argv by which this system runs a command line. */
  toShell(line: string): readonly string[];
}

/** One option or argument on the command line. */
export interface CliArg {
  readonly type: "string" | "boolean" | "positional";
  readonly description: string;
  readonly alias?: string;
  readonly valueHint?: string;
  /** May be given several times. */
  readonly multiple?: boolean;
  readonly required?: boolean;
}

/** Arguments as they were typed: flags, values, and positionals by name; `rest` holds what no name takes. */
export interface CliValues {
  readonly flag: (name: string) => boolean;
  readonly text: (name: string) => string | undefined;
  readonly list: (name: string) => readonly string[];
  readonly rest: readonly string[];
}

interface Face<Input> {
  readonly args: Readonly<Record<string, CliArg>>;
  /** What the rest of the command line is called in help, if there may be any. */
  readonly rest?: string;
  /** The rest begins at the first word that is no option, and is not searched for options. */
  readonly takesRest?: boolean;
  readonly examples: readonly (readonly [line: string, what: string])[];
  /** Throws a `RangeError` or `AppError` on values that cannot be read. */
  readonly toInput: (values: CliValues) => Input;
}

interface Common<S extends v.GenericSchema> {
  readonly name: string;
  readonly summary: string;
  readonly permission: Permission;
  /** Whether repeating a call does no harm. */
  readonly idempotent: boolean;
  readonly input: S;
}

/** A command that lives in its session and answers with a result. */
export interface ForegroundCommand<S extends v.GenericSchema, R extends v.GenericSchema> extends Common<S> {
  readonly kind: "foreground";
  readonly result: R;
  run(input: v.InferOutput<S>, context: CommandContext): Promise<v.InferInput<R>>;
  readonly cli: Face<v.InferInput<S>> & {
    /** Readable text of a result. */
    readonly show: (result: v.InferOutput<R>) => string;
  };
}

/** A command that becomes a job. */
export interface BackgroundCommand<S extends v.GenericSchema> extends Common<S> {
  readonly kind: "background";
  toProgram(input: v.InferOutput<S>, context: CommandContext): Program;
  readonly cli: Face<v.InferInput<S>>;
}

/** Adds only types. */
export function defineForeground<S extends v.GenericSchema, R extends v.GenericSchema>(
  command: Omit<ForegroundCommand<S, R>, "kind">,
): ForegroundCommand<S, R> {
  return { ...command, kind: "foreground" };
}

/** Adds only types. */
export function defineBackground<S extends v.GenericSchema>(
  command: Omit<BackgroundCommand<S>, "kind">,
): BackgroundCommand<S> {
  return { ...command, kind: "background" };
}
