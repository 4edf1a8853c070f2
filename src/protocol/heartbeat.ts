import { delay, turn } from "../lib/abort.ts";
import { AppError } from "./error.ts";

/** What a heartbeat must know of a connection: how to send a beat, and for how long (ms) nothing was sent or has come. */
export interface Line {
  beat(): void;
  idle(): number;
  silence(): number;
}

export interface HeartbeatOptions {
  /** Milliseconds after which something must have been sent. */
  readonly every: number;
  /** Silent intervals before the peer counts as lost. */
  readonly patience: number;
  readonly signal: AbortSignal;
}

/** Beats until the peer has been silent for too long. Ends only by throwing: `peer_lost`, or the signal's reason. */
export async function heartbeat(
  { beat, idle, silence }: Line,
  { every, patience, signal }: HeartbeatOptions,
): Promise<never> {
  for (;;) {
    await delay(Math.max(1, Math.min(every - idle(), every * patience - silence())), signal);
    // A process that was stopped (SIGSTOP, sleep) finds here what came meanwhile, before it judges.
    await turn();
    if (silence() >= every * patience) break;
    if (idle() >= every) beat();
  }
  throw new AppError("peer_lost", `Connection lost: nothing received for ${every * patience} ms`);
}
