import type { Identity } from "../auth/identity.ts";

/** What an audit log tells of; also what `audit show --event` takes. */
export const AUDIT_EVENTS = [
  "server_started",
  "server_stopped",
  "session_opened",
  "session_resumed",
  "joined",
  "logged_in",
  "refused",
  "call",
  "answer",
  "attached",
  "job_ended",
  "file",
  "changed",
  "audit_torn",
  "audit_damaged",
  "audit_lost",
  "audit_pruned",
] as const;
export type AuditEvent = (typeof AUDIT_EVENTS)[number];

/** What `farhandd audit` is told to do. */
export const AUDIT_ACTIONS = ["verify", "show"] as const;

/** Who did something, as it stands in every line of his. */
export interface Actor {
  readonly user: string;
  readonly source: string;
  /** The id of the token. */
  readonly token: string;
  /** The last link of a token that was narrowed. */
  readonly link?: string;
  readonly session?: string;
}

export function toActor({ owner, source, token, chain }: Identity, session?: string): Actor {
  const link = chain.at(-1);
  return { user: owner, source, token, ...(link && { link }), ...(session && { session }) };
}
