import { delay } from "../lib/abort.ts";
import { AppError } from "./error.ts";

/** What a heartbeat must know of a connection: how to send a beat, and for how long (ms) nothing came, or was sent. */
export interface Line {
  beat(): void;
  silence(): number;
  quiet(): number;
}

export interface HeartbeatOptions {
  /** Milliseconds within which each side sends something. */
  readonly every: number;
  /** Silent intervals before the peer counts as lost. */
  readonly patience: number;
  readonly signal: AbortSignal;
}

/** Beats whenever nothing else was sent, until the peer is silent for too long. Only throws: `peer_lost` or the signal's reason. */
export async function heartbeat(line: Line, { every, patience, signal }: HeartbeatOptions): Promise<never> {
  const limit = every * patience;
  while (line.silence() < limit) {
    if (line.quiet() >= every / 2) line.beat();
    await delay(Math.max(1, Math.min(every / 2, limit - line.silence())), signal);
  }
  throw new AppError("peer_lost", `Connection lost: nothing received for ${limit} ms`);
}
