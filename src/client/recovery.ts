import { delay } from "../lib/abort.ts";
import { formatDuration } from "../lib/duration.ts";
import { AppError } from "../protocol/error.ts";
import { toAppError } from "./attachment.ts";
import { isPassing, LEAST_TIME, retry, toPauses } from "./retry.ts";

/** Milliseconds after which a connection counts as a good one. */
const HEALTHY = 5_000;

export interface RecoveryOptions {
  /** Milliseconds for which it is tried. */
  readonly window: number;
  readonly signal: AbortSignal;
}

/** How soon and for how long a connection that was lost is restored, by what became of those before it. */
export class Recovery {
  readonly #now: () => number;
  /** When there was a connection last that was welcomed. */
  #attachedAt: number;
  /** Whether the last connection has brought anything on: a call, output or input. */
  #hasProgress = false;
  /** When a connection was lost that was the last good one. */
  #troubledSince: number | undefined;
  #pauses = toPauses();
  /** Connections, one after another, that were silent for too long before they brought anything: the link may be too slow. */
  #misses = 0;

  /** `now`: milliseconds of a monotonic clock. */
  constructor(now: () => number) {
    this.#now = now;
    this.#attachedAt = now();
  }

  /** By how much more than it was asked for the heartbeat of the next connection is to be. */
  get slowness(): number {
    return 2 ** this.#misses;
  }

  /** A connection was welcomed. */
  attached(): void {
    this.#attachedAt = this.#now();
    this.#hasProgress = false;
  }

  /** The connection has brought something on. */
  progressed(): void {
    this.#hasProgress = true;
  }

  /** The connection is gone, for this reason. */
  lost({ code }: AppError): void {
    if (this.#hasProgress) this.#misses = 0;
    else if (code === "peer_lost") this.#misses++;
    const now = this.#now();
    const wasGood = now - this.#attachedAt >= HEALTHY || this.#hasProgress;
    if (!wasGood && this.#troubledSince !== undefined) return;
    this.#troubledSince = now;
    this.#pauses = toPauses();
  }

  /**
   * Tries until an attempt succeeds, each within so many milliseconds: at once where the connection was good for a while,
   * otherwise after a pause, which grows while connections bring nothing on. All of those that are lost again soon share one
   * time limit. Throws why it is given up, or the signal's reason.
   */
  async restore(attempt: (ms: number) => Promise<void>, options: RecoveryOptions): Promise<void> {
    const { signal } = options;
    if (this.#now() - this.#attachedAt < HEALTHY) await delay(this.#pauses.next().value, signal);
    const since = this.#troubledSince ?? this.#now();
    const window = options.window - (this.#now() - since);
    // Too late for another answer, once there was one that says as much.
    if (window <= (this.#attachedAt > since ? LEAST_TIME : 0))
      throw new AppError("connection_lost", "each connection broke off again at once");
    await retry((left) => attempt(Math.max(1, left)), { window, pauses: this.#pauses, signal });
  }
}

/** `last`: what came of the last attempt. If others would meet the same, the code is its own, and `lost` that of the loss. */
export function toFinalLoss(reason: AppError, last: unknown, window: number): AppError {
  const error = toAppError(last);
  const { code, details, message } = error;
  if (!isPassing(error)) {
    const why = `${reason.message}, and cannot be restored: ${message}`;
    return new AppError(code, why, { details: { ...details, lost: reason.code }, cause: last });
  }
  const why = `${reason.message}, and could not be restored within ${formatDuration(window)}: ${message}`;
  return new AppError("connection_lost", why, { cause: last });
}
