import { after } from "../lib/abort.ts";
import { AppError } from "../protocol/error.ts";

/** A signal that is aborted after so many milliseconds, with `timed_out` and this sentence as the reason. */
export function timeLimit(ms: number, message: string): AbortSignal {
  const controller = new AbortController();
  after(ms, () => controller.abort(new AppError("timed_out", message)));
  return controller.signal;
}
