import type { CommandContext } from "../commands/context.ts";
import type { WorkspaceName } from "../protocol/workspace.ts";
import { toLoginShell, toShell } from "./environment.ts";
import type { Jobs } from "./jobs/jobs.ts";
import type { Workspaces } from "./workspaces/workspaces.ts";

/** Who calls, in what, and what he sends along. */
export interface Caller {
  readonly owner: string;
  readonly workspace: WorkspaceName;
  readonly signal: AbortSignal;
  readonly input: AsyncIterable<Uint8Array>;
}

export type ToContext = (caller: Caller) => CommandContext;

export interface ContextOptions {
  readonly jobs: Jobs;
  readonly workspaces: Workspaces;
}

/** What commands are given, for each call anew. */
export function createContexts({ jobs, workspaces }: ContextOptions): ToContext {
  return ({ owner, workspace, signal, input }) => ({
    signal,
    input,
    workspace: workspaces.access(owner, workspace),
    jobs: jobs.access(owner),
    files: {},
    machine: {},
    server: {},
    toShell,
    toLoginShell,
  });
}
