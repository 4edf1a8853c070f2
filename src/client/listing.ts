import type * as v from "valibot";
import { jobPrune } from "../commands/job-prune.ts";
import { jobs } from "../commands/jobs.ts";
import { AppError } from "../protocol/error.ts";
import type { JobSummary } from "../protocol/job.ts";
import { invoke } from "./invoke.ts";
import type { Session } from "./session.ts";

/** References that one call takes. */
const REFS = 100;

export type JobsInput = v.InferInput<typeof jobs.input>;
export type JobsPage = v.InferOutput<typeof jobs.result>;

/** A page of jobs. Throws `unsupported_version` when the server would list everything because it knows of no filter. */
export async function listPage(session: Session, input: JobsInput, signal?: AbortSignal): Promise<JobsPage> {
  const page = await invoke(session, jobs, input, signal);
  if (input.filter !== undefined && (input.refs?.length ?? 0) === 0 && page.filtered !== true)
    throw new AppError("unsupported_version", "Cannot filter jobs: this server is too old to know how");
  return page;
}

/** All jobs that match, newest first, at most `limit`; `more`: there may be others. */
export async function listJobs(
  session: Session,
  { limit = Number.POSITIVE_INFINITY, ...input }: Omit<JobsInput, "refs">,
  signal?: AbortSignal,
): Promise<{ readonly jobs: readonly JobSummary[]; readonly more: boolean }> {
  const found: JobSummary[] = [];
  let { before } = input;
  for (let more = true; more;) {
    if (found.length >= limit) return { jobs: found, more };
    const page = await listPage(session, { ...input, ...toPage(before, limit - found.length) }, signal);
    found.push(...page.jobs);
    const next = page.next ?? page.jobs.at(-1)?.number;
    more = page.more && next !== undefined;
    if (more) checkFalls(next, before);
    before = next;
  }
  return { jobs: found, more: false };
}

/** The jobs that references mean, in their order. Throws when one means none, or several. */
export async function findJobs(
  session: Session,
  refs: readonly (string | number)[],
  signal?: AbortSignal,
): Promise<readonly JobSummary[]> {
  const found: JobSummary[] = [];
  for (let start = 0; start < refs.length; start += REFS)
    found.push(...(await findSome(session, refs.slice(start, start + REFS), signal)));
  return found;
}

/** What they returned may take more than an answer has room for: then each half is asked for alone. */
async function findSome(
  session: Session,
  refs: readonly (string | number)[],
  signal: AbortSignal | undefined,
): Promise<readonly JobSummary[]> {
  try {
    return (await invoke(session, jobs, { refs: [...refs] }, signal)).jobs;
  } catch (error) {
    if (!(error instanceof AppError && error.code === "too_many") || refs.length < 2) throw error;
    const half = Math.ceil(refs.length / 2);
    const first = await findSome(session, refs.slice(0, half), signal);
    return [...first, ...(await findSome(session, refs.slice(half), signal))];
  }
}

/** Removes ended jobs that match, page after page; answers them as they were. */
export async function pruneJobs(
  session: Session,
  input: Omit<v.InferInput<typeof jobPrune.input>, "before">,
  signal?: AbortSignal,
): Promise<readonly JobSummary[]> {
  const removed: JobSummary[] = [];
  let before: number | undefined;
  for (let more = true; more;) {
    const page = await invoke(session, jobPrune, { ...input, ...toPage(before) }, signal);
    removed.push(...page.removed);
    if (page.more) checkFalls(page.next, before);
    ({ more, next: before } = page);
  }
  return removed;
}

/** Where the next page begins must be lower than this one did: a server that means ill would have us ask for ever. */
function checkFalls(next: number | undefined, before = Number.POSITIVE_INFINITY): void {
  if (next !== undefined && next < before) return;
  throw new AppError("protocol_error", "Cannot list jobs: the server offers the same page again and again");
}

function toPage(before: number | undefined, limit?: number): Pick<JobsInput, "before" | "limit"> {
  return {
    ...(before !== undefined && { before }),
    ...(limit !== undefined && Number.isFinite(limit) && { limit }),
  };
}
