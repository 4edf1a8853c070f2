import type { FilePath } from "../../protocol/path.ts";
import type { ByteString } from "../../protocol/value.ts";
import type { WorkspaceName, WorkspaceSummary } from "../../protocol/workspace.ts";

/** The workspace that a call named: the working directory and the environment of everything in it. */
export interface WorkspaceAccess {
  readonly name: WorkspaceName;
  /** Absolute. It need not be there any more. */
  readonly cwd: ByteString;
  /** What its jobs inherit: the server's own environment, with what was set and without what was unset here. */
  readonly environment: Readonly<Record<string, string>>;
  /** Names of variables that are set and unset here. */
  readonly changed: { readonly set: readonly string[]; readonly unset: readonly string[] };
  /** The directory of a job, absolute. Throws `invalid_input` for one that a program cannot be started in. */
  resolve(path: string): string;
  /** Throws `os_error` where the directory is gone or may not be entered any more, with what to do. */
  checkDirectory(): Promise<void>;
  /** Makes a directory the working one, without a path the home, and answers it. Throws `os_error`. */
  enter(path: FilePath | undefined): Promise<ByteString>;
  /** Makes the working directory the one that it was before. Throws `invalid_input` where there was none, `os_error`. */
  goBack(): Promise<ByteString>;
  /** Throws `too_many`. */
  change(change: VariableChange): Promise<void>;
}

/** What is to become of variables. No name is in two of these. */
export interface VariableChange {
  readonly set: Readonly<Record<string, string>>;
  readonly unset: readonly string[];
  /** To be as the server itself has them. */
  readonly inherit: readonly string[];
}

/** The caller's workspaces. */
export interface WorkspacesAccess {
  /** Those that are not private, the default one first. */
  list(signal: AbortSignal): Promise<readonly WorkspaceSummary[]>;
  /** Removes all or, where one is unknown (`not_found`), none; the default one is then as it was at first. */
  remove(names: readonly WorkspaceName[]): Promise<void>;
}
