import type { FileAccess } from "./access/files.ts";
import type { JobAccess } from "./access/jobs.ts";
import type { MachineAccess } from "./access/machine.ts";
import type { ServerAccess } from "./access/server.ts";
import type { TaskAccess } from "./access/tasks.ts";
import type { WorkspaceAccess, WorkspacesAccess } from "./access/workspace.ts";

/** What the server gives to a command. A command takes nothing from anywhere else. */
export interface CommandContext {
  /** Aborted when the caller cancels or is gone; its reason says which. */
  readonly signal: AbortSignal;
  readonly workspace: WorkspaceAccess;
  readonly workspaces: WorkspacesAccess;
  readonly files: FileAccess;
  readonly jobs: JobAccess;
  readonly tasks: TaskAccess;
  readonly machine: MachineAccess;
  readonly server: ServerAccess;
  /** The bytes that the caller sends along, if the command takes any; at its pace. */
  readonly input: AsyncIterable<Uint8Array>;
  /** The argv by which this system runs a command line. */
  toShell(line: string): readonly string[];
  /** The shell that this system gives its user at a login: what is run, and under which argv. */
  toLoginShell(): { readonly file: string; readonly argv: readonly string[] };
}
