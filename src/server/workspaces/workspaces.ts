import type { WorkspaceAccess } from "../../commands/access/workspace.ts";
import type { WorkspaceName } from "../../protocol/workspace.ts";
import { resolveFromHome } from "../environment.ts";

export interface WorkspacesOptions {
  /** The server's own environment as jobs inherit it. */
  readonly environment: Readonly<Record<string, string>>;
}

/** Every user's workspaces. */
export class Workspaces {
  readonly #options: WorkspacesOptions;

  constructor(options: WorkspacesOptions) {
    this.#options = options;
  }

  access(_owner: string, name: WorkspaceName): WorkspaceAccess {
    const { environment } = this.#options;
    return { name, environment, cwd: resolveFromHome("."), resolve: resolveFromHome };
  }
}
