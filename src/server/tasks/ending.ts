import { AppError } from "../../protocol/error.ts";
import type { Outcome } from "../../protocol/outcome.ts";

/** How a task's process has ended: as it was told to, its `init` or `exit` having thrown, or otherwise. */
export type TaskEnding =
  | { readonly type: "exited" }
  | { readonly type: "failed" | "broken"; readonly error: AppError }
  | { readonly type: "died"; readonly outcome: Outcome };

/** Whether a job was ended by a limit that it had, however it took that. */
export function isLimit({ type }: Outcome): boolean {
  return type === "timed_out" || type === "idle_timed_out" || type === "output_limited";
}

/** Why something failed whose process has ended. `what`: as in `Cannot start task "x"`. */
export function toCrash(what: string, outcome: Outcome, isStopped: boolean): AppError {
  if (isStopped) return new AppError("cancelled", `${what}: the task was stopped`);
  const crashed = (why: string, details: Record<string, unknown>) =>
    new AppError("crashed", `${what}: ${why}`, { details });
  switch (outcome.type) {
    case "exited":
      return crashed(`its process has exited with ${outcome.code}`, { code: outcome.code });
    case "signaled":
      return crashed(`its process was ended by ${outcome.signal}`, { signal: outcome.signal });
    case "cancelled":
      return new AppError("cancelled", `${what}: its process was cancelled by ${outcome.by}`);
    case "not_started":
      return crashed(outcome.reason.message, { reason: outcome.reason.code });
    default:
      return crashed(`its process has ended (${outcome.type})`, { outcome: outcome.type });
  }
}
