import type { StartRecord } from "../../ledger/start.ts";
import { AppError } from "../../protocol/error.ts";
import type { Grants } from "./grants.ts";

/** What a task's job is called, which no command is. */
export const TASK_COMMAND = "task";

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

/** Which jobs somebody may see: those of an owner, and of them those that were started with a link's token. */
export interface Scope {
  readonly owner: string;
  readonly link: string | undefined;
}

/** Undefined for all. */
export function toScope({ owner, chain, grants }: Identity): Scope | undefined {
  return grants.seesAllJobs ? undefined : { owner, link: chain.at(-1) };
}

/**
 * Whose workspaces somebody has. They decide where and with which variables programs run, so that whoever may not run what he
 * likes, or not as the server, has some of his own, and so has each token that was narrowed, with all that are made from it.
 */
export function toTenant({ owner, token, chain, grants }: Identity): string {
  const [link] = chain;
  if (link !== undefined) return `${owner}/${token}/${link}`;
  const free = grants.freeRole;
  if (free === undefined) return `${owner}/${token}`;
  return free.runAs === undefined ? owner : `${owner}/as:${free.runAs}`;
}

/** Whether a job may be seen by somebody. One that may not is answered as one that there is not. */
export function isVisible(job: Pick<StartRecord, "owner" | "via">, viewer: Identity): boolean {
  const scope = toScope(viewer);
  return scope === undefined || isWithin(job, scope);
}

/**
 * Throws `forbidden` where what a job is told would be done in a role that somebody has not, and for a task, whom the server alone
 * tells what to do.
 */
export function demandFeeding(
  { number, role, command }: Pick<StartRecord, "number" | "role" | "command">,
  { grants }: Identity,
): void {
  const refuse = (why: string) => new AppError("forbidden", `Cannot send input to job ${number}: ${why}`);
  if (command === TASK_COMMAND) throw refuse("it is a task, which is told what to do with farhand task exec");
  if (grants.mayFeed(role)) return;
  const whose = role === undefined ? "a role that is not known" : `role "${role}"`;
  throw refuse(`it was started in ${whose}, which you do not have`);
}

/** Whether a job is one of these. */
export function isWithin({ owner, via = [] }: Pick<StartRecord, "owner" | "via">, scope: Scope): boolean {
  return owner === scope.owner && (scope.link === undefined || via.includes(scope.link));
}
