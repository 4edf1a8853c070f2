import * as v from "valibot";

/**
 * A workspace's name. One that begins with `@` is private to whoever made it up: it is not listed, and goes when it has not
 * been used for a day.
 */
export const WorkspaceName = v.pipe(
  v.string(),
  v.maxLength(64, "has more than 64 characters"),
  v.regex(/^@?[A-Za-z0-9][\w.-]*$/, "is no name: letters, digits and ._- after a letter or digit"),
);
export type WorkspaceName = v.InferOutput<typeof WorkspaceName>;

/** The one of calls that name none. */
export const DEFAULT_WORKSPACE = "default";

export function isPrivate(name: WorkspaceName): boolean {
  return name.startsWith("@");
}

/** The minor version of the protocol from which on a server knows workspaces; an older one runs everything in the home. */
export const WORKSPACES_SINCE = 2;
