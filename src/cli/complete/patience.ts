import { abortable, after } from "../../lib/abort.ts";
import { AppError } from "../../protocol/error.ts";

/** Works for so many milliseconds at most, whoever is being waited for. Throws `timed_out`. */
export async function withPatience<T>(ms: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const stop = new AbortController();
  using _limit = after(ms, () => stop.abort(new AppError("timed_out", `No answer within ${ms} ms`)));
  return await abortable(work(stop.signal), stop.signal);
}
