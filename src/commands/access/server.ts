import type { CommandDescription } from "../../protocol/description.ts";

/** What became of the jobs that should end before a server does. */
export interface Closing {
  readonly ended: number;
  readonly left: readonly { readonly job: string; readonly number: number; readonly reason: string }[];
}

/** The server itself. */
export interface ServerAccess {
  /** The commands that it offers on this machine: all, or those of these names. Throws `unknown_command`. */
  describe(names: readonly string[]): Promise<readonly CommandDescription[]>;
  /** Ends jobs first, by TERM and `grace` ms later KILL, unless they go on; it stops once this call is answered. */
  close(jobs: { readonly grace: number } | undefined): Promise<Closing>;
}
