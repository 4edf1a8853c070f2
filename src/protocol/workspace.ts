import * as v from "valibot";
import type { ByteString } from "./value.ts";

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

/** A working directory in a result: text, which shows U+FFFD where it is no UTF-8, and then its bytes in base64 beside it. */
export const WorkingDirectory = v.object({
  cwd: v.string(),
  cwdBytes: v.optional(v.pipe(v.string(), v.base64())),
});
export type WorkingDirectory = v.InferOutput<typeof WorkingDirectory>;

export function toWorkingDirectory(path: ByteString): WorkingDirectory {
  if (typeof path === "string") return { cwd: path };
  return { cwd: Buffer.from(path.bytes, "base64").toString(), cwdBytes: path.bytes };
}

/** A workspace in a list. */
export const WorkspaceSummary = v.object({
  name: WorkspaceName,
  ...WorkingDirectory.entries,
  /** The directory is gone, or may not be entered: the system's code for that. */
  fault: v.optional(v.string()),
  /** How many variables it sets and unsets. */
  set: v.number(),
  unset: v.number(),
  /** When a call was last in it, if one ever was. */
  usedAt: v.optional(v.string()),
});
export type WorkspaceSummary = v.InferOutput<typeof WorkspaceSummary>;

/** The minor version of the protocol from which on a server knows workspaces; an older one runs everything in the home. */
export const WORKSPACES_SINCE = 2;
