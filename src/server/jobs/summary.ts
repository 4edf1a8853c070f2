import type { JobSummary, ProcessIdentity } from "../../protocol/job.ts";
import type { Job } from "./job.ts";
import { cut } from "./records.ts";

/** Characters of argv that a summary shows. */
const ARGV_CHARACTERS = 32 * 1024;

/** What is told of a job. `findLiving`: those of its processes that live though nobody keeps it; asked of a lost one only. */
export function toSummary(
  { start, exit, isClosed, holders }: Job,
  findLiving: () => readonly ProcessIdentity[],
): JobSummary {
  const { job: id, number, command, argv, cwd, owner, startedAt } = start;
  const { labels, info, key, onDisconnect, limits, terminal } = start;
  const isLost = exit?.outcome.type === "lost";
  return {
    id,
    number,
    command,
    argv: cut(argv, ARGV_CHARACTERS),
    cwd,
    owner,
    state: isLost ? "lost" : isClosed ? "closed" : exit === undefined ? "running" : "exited",
    attached: holders > 0,
    startedAt,
    ...(labels && { labels }),
    ...(info !== undefined && { info }),
    ...(key !== undefined && { key }),
    ...(onDisconnect && { onDisconnect }),
    ...(limits && { limits }),
    ...(terminal && { terminal }),
    ...(exit && { endedAt: exit.endedAt, outcome: exit.outcome, totals: exit.totals }),
    ...(isLost && { processes: [...findLiving()] }),
  };
}
