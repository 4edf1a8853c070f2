export interface BackoffOptions {
  /** Milliseconds: the first delay, before jitter. */
  readonly first: number;
  /** Milliseconds that no delay exceeds. */
  readonly cap: number;
  /** A number from 0 to below 1. */
  readonly random: () => number;
}

/** Delays (ms) between attempts: each twice the last up to the cap, less up to half of it, so that many never march in step. */
export function* backoff({ first, cap, random }: BackoffOptions): Generator<number, never, void> {
  for (let delay = first; ; delay = Math.min(cap, delay * 2)) yield delay * (1 - random() / 2);
}
