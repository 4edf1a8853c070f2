import * as v from "valibot";
import { Caller } from "../module/caller.ts";
import { Environment } from "../protocol/environment.ts";
import { ErrorBody } from "../protocol/error.ts";
import { JobName, JobSummary, ProcessIdentity } from "../protocol/job.ts";
import { FilePath } from "../protocol/path.ts";
import { WorkspaceName } from "../protocol/workspace.ts";

/** What a call finds in a runner: a copy of all that it may know of the server. */
export const Surroundings = v.object({
  workspace: v.object({
    name: WorkspaceName,
    cwd: FilePath,
    /** Where `cd` leads to that is told no directory. */
    home: FilePath,
    environment: Environment,
  }),
  /** What new files and directories do not let others do. */
  umask: v.number(),
  /** Where the caller may go, if not everywhere; what is the server's own he reaches nowhere. */
  bounds: v.optional(
    v.object({
      /** Directories, of each list of which one must hold what he touches. */
      roots: v.array(v.array(v.string())),
      own: v.object({ sealed: v.array(v.string()), fixed: v.array(v.string()) }),
      /** Whether he may look for programs everywhere nevertheless. */
      isFree: v.boolean(),
    }),
  ),
  /** The job that the input names, and the first process of each that runs and that the caller may see. */
  jobs: v.optional(
    v.object({
      named: v.optional(JobSummary),
      leaders: v.array(v.object({ process: v.optional(ProcessIdentity), job: JobName })),
    }),
  ),
});
export type Surroundings = v.InferOutput<typeof Surroundings>;

/** One call of a command, as a runner is told. */
export const RunnerCall = v.object({
  command: v.string(),
  /** As it came from the caller. */
  input: v.unknown(),
  surroundings: Surroundings,
});
export type RunnerCall = v.InferOutput<typeof RunnerCall>;

/** What a runner is told of its module besides its source, which comes before in parts. */
export const ModuleOrder = v.object({
  hash: v.string(),
  /** Of a pack: its configuration. */
  config: v.optional(v.unknown()),
});
export type ModuleOrder = v.InferOutput<typeof ModuleOrder>;

/** One call of a custom command, whose input comes before in parts, as `encodeValue` writes it. */
export const Invocation = v.object({
  command: v.string(),
  caller: Caller,
  cwd: FilePath,
  env: Environment,
  umask: v.number(),
  /** Bytes follow for it. */
  takesInput: v.boolean(),
  /** Whether anybody takes what it says on the way. */
  isHeard: v.boolean(),
  /** Of a command that is a program: what is run, instead of the module's. */
  argv: v.optional(v.array(v.string())),
});
export type Invocation = v.InferOutput<typeof Invocation>;

/** Why a call failed; `cause` is for the server's log. */
export const Failure = v.object({
  ...ErrorBody.entries,
  cause: v.optional(v.string()),
  /** The process ends after it. */
  isLast: v.optional(v.boolean()),
});
export type Failure = v.InferOutput<typeof Failure>;
