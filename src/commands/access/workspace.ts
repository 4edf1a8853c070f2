import type { ByteString } from "../../protocol/value.ts";

/** The workspace that a call named: the working directory and the environment of everything in it. */
export interface WorkspaceAccess {
  readonly name: string;
  /** Absolute. */
  readonly cwd: ByteString;
  /** What its jobs inherit: the server's own environment, with what was set and without what was unset here. */
  readonly environment: Readonly<Record<string, string>>;
  /** The directory of a job, absolute. Throws `invalid_input` for one that a program cannot be started in. */
  resolve(path: string): string;
}
