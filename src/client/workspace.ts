import * as v from "valibot";
import { AppError } from "../protocol/error.ts";
import { WorkspaceName } from "../protocol/workspace.ts";
import type { Environment } from "./config.ts";

/** What all calls of a session count paths from, and whose environment they have. */
export interface Workspace {
  readonly name: WorkspaceName;
  /** Made up for one session, with which it goes. */
  readonly isOwn: boolean;
}

/** The workspace that is named, on the command line or by `FARHAND_WORKSPACE`; undefined for none. Throws `invalid_input`. */
export function findWorkspace(name: string | undefined, env: Environment): Workspace | undefined {
  const text = name ?? (env["FARHAND_WORKSPACE"] || undefined);
  if (text === undefined) return undefined;
  const parsed = v.safeParse(WorkspaceName, text);
  if (parsed.success) return { name: parsed.output, isOwn: false };
  throw new AppError(
    "invalid_input",
    `Cannot use workspace "${text.slice(0, 100)}": it ${parsed.issues[0].message}`,
  );
}

/** A private workspace of nobody else, which begins at home. */
export function createWorkspace(): Workspace {
  return { name: `@${crypto.randomUUID()}`, isOwn: true };
}
