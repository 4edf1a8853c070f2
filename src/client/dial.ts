import { abortable, delay } from "../lib/abort.ts";
import { backoff } from "../lib/backoff.ts";
import { formatDuration } from "../lib/duration.ts";
import { AppError, type ErrorCode } from "../protocol/error.ts";
import { HEARTBEAT_INTERVAL } from "../protocol/limits.ts";
import type { Target } from "./config.ts";
import { Session } from "./session.ts";
import { openTransport, type Transport } from "./transport.ts";

/** Milliseconds that one attempt may take. */
const ATTEMPT_TIMEOUT = 10_000;

/** Milliseconds before the limit at which a last attempt begins. */
const LAST_CHANCE = 20;

/** Failures that the next attempt may not meet. */
const PASSING: readonly ErrorCode[] = [
  "connection_refused",
  "connection_lost",
  "peer_lost",
  "timed_out",
  "unavailable",
  "shutting_down",
];

export interface DialOptions {
  /** Milliseconds for which to keep trying; undefined for one attempt. */
  readonly timeout?: number | undefined;
  /** Milliseconds: the heartbeat interval to offer. */
  readonly heartbeat?: number | undefined;
  /** Milliseconds within which the welcome must come once the socket is open (default 10000). */
  readonly patience?: number | undefined;
  readonly signal: AbortSignal;
  /** Told of each attempt that failed and is followed by another. */
  readonly onRetry?: (error: AppError) => void;
}

/**
 * Opens a session with the server that `find` names, which is asked before each attempt. One attempt resolves before the
 * welcome, so that calls may travel with the hello. With a time limit it waits for the welcome and keeps trying until it
 * comes, also while the port refuses: a call that had travelled with a hello in vain could not simply be sent again.
 */
export async function dial(find: () => Target, options: DialOptions): Promise<Session> {
  const { timeout, signal, onRetry } = options;
  const deadline = performance.now() + (timeout ?? ATTEMPT_TIMEOUT);
  const left = () => deadline - performance.now();
  for (const pause of backoff({ first: 50, cap: 2_000, random: Math.random })) {
    try {
      return await attempt(find, Math.min(left(), ATTEMPT_TIMEOUT), options);
    } catch (error) {
      signal.throwIfAborted();
      if (timeout === undefined || left() <= 0 || !(error instanceof AppError && isPassing(error)))
        throw error;
      onRetry?.(error);
    }
    await delay(Math.min(pause, Math.max(0, left() - LAST_CHANCE)), signal);
  }
  throw new Error("unreachable: the delays never end");
}

/** One attempt, within so many milliseconds. */
async function attempt(find: () => Target, ms: number, options: DialOptions): Promise<Session> {
  const target = find();
  const limit = AbortSignal.timeout(Math.max(1, Math.round(ms)));
  const stop = AbortSignal.any([options.signal, limit]);
  try {
    const session = openSession(await openTransport(target, stop), options);
    if (options.timeout !== undefined) await welcomed(session, stop);
    return session;
  } catch (error) {
    if (options.signal.aborted || !limit.aborted) throw error;
    const { url } = target.host;
    throw new AppError("timed_out", `Cannot connect to ${url}: no answer within ${formatDuration(ms)}`);
  }
}

function openSession(transport: Transport, { heartbeat, patience }: DialOptions): Session {
  const session = new Session(transport, {
    heartbeat: heartbeat ?? HEARTBEAT_INTERVAL,
    patience: patience ?? ATTEMPT_TIMEOUT,
    now: () => performance.now(),
  });
  transport.listen(session);
  return session;
}

/** Resolves with the welcome; without it, nothing is left of the session. */
async function welcomed(session: Session, signal: AbortSignal): Promise<void> {
  try {
    await abortable(session.welcome, signal);
  } catch (error) {
    await session[Symbol.asyncDispose]();
    throw error;
  }
}

/** A server that starts has a new token: one that was read just before is refused, and will be read again. */
function isPassing({ code, details }: AppError): boolean {
  return PASSING.includes(code) || (code === "unauthenticated" && details?.["isLocal"] === true);
}
