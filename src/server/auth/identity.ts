import type { StartRecord } from "../../ledger/start.ts";
import type { Grants } from "./grants.ts";

/** Somebody who was let in: what every check and every record goes by. */
export interface Identity {
  /** The user: whose the jobs and workspaces are. */
  readonly owner: string;
  /** The id of the token; `local` for that of this start. */
  readonly token: string;
  /** The links by which the token was narrowed, outermost first; each has a name of its own. */
  readonly chain: readonly string[];
  /** The address that he comes from, or `unix`. */
  readonly source: string;
  readonly grants: Grants;
}

/** Whether two mean the same login: only who presents the same token goes on with a session. */
export function isSameLogin(one: Identity, other: Identity): boolean {
  const [a, b] = [one, other].map(({ owner, token, chain }) => JSON.stringify([owner, token, chain]));
  return a === b;
}

/** Whether a job may be seen by somebody. One that may not is answered as one that there is not. */
export function isVisible(
  job: Pick<StartRecord, "owner" | "via">,
  { owner, chain, grants }: Identity,
): boolean {
  if (grants.seesAllJobs) return true;
  if (job.owner !== owner) return false;
  const last = chain.at(-1);
  return last === undefined || (job.via ?? []).includes(last);
}
