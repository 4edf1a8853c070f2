import { delay } from "../lib/abort.ts";
import { backoff } from "../lib/backoff.ts";
import { AppError, type ErrorCode } from "../protocol/error.ts";

/** Delays (ms) between attempts. */
export function toPauses(): Generator<number, never, void> {
  return backoff({ first: 50, cap: 2_000, random: Math.random });
}

/** Milliseconds before the limit at which a last attempt begins. */
const LAST_CHANCE = 100;

/** Milliseconds without which another attempt would say less than the one before. */
export const LEAST_TIME = LAST_CHANCE / 2;

/** Failures that the next attempt may not meet. */
const PASSING: readonly ErrorCode[] = [
  "connection_refused",
  "connection_lost",
  "peer_lost",
  "sequence_gap",
  "timed_out",
  "unavailable",
  "shutting_down",
];

export interface RetryOptions {
  /** Milliseconds after which no other attempt begins. */
  readonly window: number;
  /** Delays (ms) between attempts (default: `toPauses`). */
  readonly pauses?: Generator<number, never, void>;
  readonly signal: AbortSignal;
  /** Told of each attempt that failed and is followed by another. */
  readonly onRetry?: ((error: AppError) => void) | undefined;
}

/**
 * Tries until an attempt succeeds; each is told how many milliseconds are left. Throws the last failure when the time is
 * over, at once one that would come again, or the signal's reason.
 */
export async function retry<T>(
  attempt: (left: number) => Promise<T>,
  { window, pauses = toPauses(), signal, onRetry }: RetryOptions,
): Promise<T> {
  const deadline = performance.now() + window;
  const left = () => deadline - performance.now();
  for (;;) {
    try {
      return await attempt(left());
    } catch (error) {
      signal.throwIfAborted();
      if (left() <= 0 || !(error instanceof AppError && isPassing(error))) throw error;
      const wanted = toRetryAfter(error);
      if (wanted > left()) throw error;
      onRetry?.(error);
      const pause = Math.min(pauses.next().value, Math.max(0, left() - LAST_CHANCE));
      await delay(Math.max(pause, wanted), signal);
      // Too late for another answer, which would say less than this one.
      if (left() < LEAST_TIME) throw error;
    }
  }
}

/** Milliseconds that a server asks us to stay away. */
function toRetryAfter({ details }: AppError): number {
  const wanted = details?.["retryAfter"];
  return typeof wanted === "number" ? wanted : 0;
}

/** A server that starts has a new token: one that was read just before is refused, and will be read again. */
export function isPassing({ code, details }: AppError): boolean {
  if (code === "too_many") return details?.["retryAfter"] !== undefined;
  return PASSING.includes(code) || (code === "unauthenticated" && details?.["isLocal"] === true);
}
