import { formatDuration } from "../../lib/duration.ts";
import { formatSize } from "../../lib/size.ts";
import { AppError } from "../../protocol/error.ts";
import { DEFAULT_GRACE } from "../../protocol/limits.ts";
import type { JobLimits, Terms } from "../../protocol/terms.ts";
import type { Role } from "./role.ts";

/** The limits of a job that a role has a bound for. */
const BOUNDED = [
  { limit: "execMs", bound: "time", name: "--max-exec-time", show: formatDuration },
  { limit: "outputBytes", bound: "outputBytes", name: "--max-output", show: formatSize },
  { limit: "memoryBytes", bound: "memoryBytes", name: "--max-memory", show: formatSize },
  { limit: "processes", bound: "processes", name: "--max-processes", show: String },
] as const;

/** The terms of a job with the bounds of a role: what is not asked for is that much. Throws `forbidden` for more. */
export function limitTerms(terms: Terms, { name: role, limits: bounds, runAs }: Role, what: string): Terms {
  const asked: JobLimits = terms.limits ?? {};
  const refuse = (why: string) => new AppError("forbidden", `Cannot ${what}: role "${role}" ${why}`);
  // As root anybody could be put before everybody: whoever is somebody else does not get that from us.
  if (runAs !== undefined && (asked.nice ?? 0) < 0) throw refuse("gives way to others: use --nice from 0 on");
  const set = BOUNDED.flatMap(({ limit, bound, name, show }) => {
    const most = bounds[bound];
    if (most === undefined) return [];
    if ((asked[limit] ?? 0) > most) throw refuse(`allows ${name} up to ${show(most)}`);
    return [[limit, asked[limit] ?? most]];
  });
  if (set.length === 0) return terms;
  // A program that ignores TERM would run on for as long as it may be asked to end.
  if ((asked.graceMs ?? 0) > DEFAULT_GRACE)
    throw refuse(`allows --grace up to ${formatDuration(DEFAULT_GRACE)}`);
  return { ...terms, limits: { ...asked, ...Object.fromEntries(set) } };
}
