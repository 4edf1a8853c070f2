import { formatDuration } from "../lib/duration.ts";
import { AppError } from "../protocol/error.ts";
import type { Target } from "./config.ts";

/** Works towards a server within so many milliseconds. Throws `timed_out`, naming it. */
export async function limited<T>(
  { host }: Pick<Target, "host">,
  ms: number,
  signal: AbortSignal,
  work: (stop: AbortSignal) => Promise<T>,
): Promise<T> {
  const limit = AbortSignal.timeout(Math.max(1, Math.round(ms)));
  try {
    return await work(AbortSignal.any([signal, limit]));
  } catch (error) {
    if (signal.aborted || !limit.aborted) throw error;
    throw new AppError("timed_out", `Cannot connect to ${host.url}: no answer within ${formatDuration(ms)}`);
  }
}
