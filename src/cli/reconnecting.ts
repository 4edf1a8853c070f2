import type { Session } from "../client/session.ts";
import { delay } from "../lib/abort.ts";
import { formatDuration } from "../lib/duration.ts";
import type { Sink } from "./sink.ts";

/** Milliseconds for which a lost connection is no more than a blip, of which nothing is said. */
export const BLIP = 3_000;
/** Milliseconds between two updates of the line. */
const UPDATE = 1_000;

const CLEAR_LINE = "\r\x1b[K";

export interface Notice {
  /** The server's name as it was given. */
  readonly host: string;
  readonly stderr: Sink;
  /** A terminal's line is written anew each second, and cleared in the end; elsewhere there is one line and no more. */
  readonly isTerminal: () => boolean;
}

/** Says on stderr that a connection is being restored once that takes a while. Ends with the session. */
export function announceReconnecting(session: Session, notice: Notice): void {
  let quiet = new AbortController();
  session.onState((state) => {
    quiet.abort();
    if (state.state !== "reconnecting") return;
    quiet = new AbortController();
    startSaying(notice, quiet.signal);
  });
}

/** Runs by itself until the signal is aborted. */
function startSaying(notice: Notice, signal: AbortSignal): void {
  const since = performance.now();
  say(notice, since, signal).catch(() => {
    // Aborted: there is a connection again, or there will be none.
    if (notice.isTerminal() && performance.now() - since >= BLIP) notice.stderr.write(CLEAR_LINE);
  });
}

async function say({ host, stderr, isTerminal }: Notice, since: number, signal: AbortSignal): Promise<void> {
  await delay(BLIP, signal);
  for (;;) {
    const time = formatDuration(Math.round((performance.now() - since) / 1_000) * 1_000);
    const line = `farhand: reconnecting to ${host} (${time})…`;
    if (!isTerminal()) return stderr.writeLine(line);
    stderr.write(`${CLEAR_LINE}${line}`);
    await delay(UPDATE, signal);
  }
}
