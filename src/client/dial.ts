import { abortable } from "../lib/abort.ts";
import { AppError } from "../protocol/error.ts";
import { HEARTBEAT_INTERVAL, RECONNECT_WINDOW } from "../protocol/limits.ts";
import { DEFAULT_WORKSPACE } from "../protocol/workspace.ts";
import type { Target } from "./config.ts";
import { limited } from "./limited.ts";
import { retry } from "./retry.ts";
import { Session } from "./session.ts";
import { openTransport, type Transport } from "./transport.ts";
import type { Workspace } from "./workspace.ts";

/** Milliseconds that one attempt may take. */
const ATTEMPT_TIMEOUT = 10_000;

/** Says where to connect now. */
export type Find = (signal: AbortSignal) => Target | Promise<Target>;

export interface DialOptions {
  /** Milliseconds for which to keep trying; undefined for one attempt. */
  readonly timeout?: number | undefined;
  /** Milliseconds: the heartbeat interval to offer. */
  readonly heartbeat?: number | undefined;
  /** Milliseconds within which the welcome must come once the socket is open (default 10000). */
  readonly patience?: number | undefined;
  /** Milliseconds for which to try to restore a connection that was lost (default two minutes); 0: not at all. */
  readonly reconnect?: number | undefined;
  /** What calls count paths from (default: the one that is called so). */
  readonly workspace?: Workspace | undefined;
  readonly signal: AbortSignal;
  /** Told of each attempt that failed and is followed by another. */
  readonly onRetry?: (error: AppError) => void;
}

/**
 * Opens a session with the server that `find` names, which is asked before each attempt, also later when the connection is
 * lost. One attempt resolves before the welcome, so that calls may travel with the hello, unless a workspace is named. With a
 * time limit it waits for the welcome and keeps trying until it comes, also while the port refuses.
 */
export async function dial(find: Find, options: DialOptions): Promise<Session> {
  const { timeout, signal, onRetry } = options;
  if (timeout === undefined) return attempt(find, ATTEMPT_TIMEOUT, options);
  const within = (left: number) => attempt(find, Math.min(left, ATTEMPT_TIMEOUT), options);
  return retry(within, { window: timeout, signal, onRetry });
}

/** One attempt, within so many milliseconds. */
async function attempt(find: Find, ms: number, options: DialOptions): Promise<Session> {
  const { heartbeat, patience, reconnect, timeout, workspace, signal } = options;
  const target = await find(signal);
  const session = await limited(target, ms, signal, async (stop) => {
    const session = new Session(await openTransport(target, stop), {
      heartbeat: heartbeat ?? HEARTBEAT_INTERVAL,
      patience: patience ?? ATTEMPT_TIMEOUT,
      now: () => performance.now(),
      workspace,
    });
    if (timeout !== undefined || isNamed(workspace)) await welcomed(session, stop);
    return session;
  });
  session.persist({ window: reconnect ?? RECONNECT_WINDOW, open: (ms, signal) => reopen(find, ms, signal) });
  return session;
}

async function reopen(find: Find, ms: number, signal: AbortSignal): Promise<Transport> {
  const target = await find(signal);
  return limited(target, Math.min(ms, ATTEMPT_TIMEOUT), signal, (stop) => openTransport(target, stop));
}

function isNamed(workspace: Workspace | undefined): boolean {
  return workspace !== undefined && !workspace.isOwn && workspace.name !== DEFAULT_WORKSPACE;
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
