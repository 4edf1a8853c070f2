import { findTarget, type Environment, type Place } from "../client/config.ts";
import { dial } from "../client/dial.ts";
import { type Host, isExposed } from "../client/host.ts";
import type { Session } from "../client/session.ts";
import { findWorkspace, type Workspace } from "../client/workspace.ts";
import { escapeControls, escapeLines, toJsonLine } from "../lib/escape.ts";
import type { Log } from "../lib/log.ts";
import type { Globals } from "./globals.ts";
import type { Interrupts } from "./interrupts.ts";
import type { Sinks } from "./play.ts";
import type { LocalTerminal } from "./raw-mode.ts";
import { announceReconnecting } from "./reconnecting.ts";
import type { StandingSession } from "./standing.ts";

/** What the process has around it. */
export interface Surroundings {
  readonly env: Environment;
  readonly sinks: Sinks;
  /** Our own stdin; it is read no earlier than it is iterated. */
  readonly stdin: () => AsyncIterable<Uint8Array>;
  readonly interrupts: Interrupts;
  /** Whether a stream of ours is a terminal that shows colours; asked only when it matters. */
  readonly hasColors: (stream: "stdout" | "stderr") => boolean;
  /** Whether stderr is a terminal; asked only when it matters. */
  readonly isStderrTerminal: () => boolean;
  /** The size of stdout as it is now, if that is a terminal; asked only when it matters. */
  readonly screen: () => Screen | undefined;
  /** Stdin and stdout, if both are a terminal, for whoever asks for lines there; asked only when it matters. */
  readonly terminal: () => LineTerminal | undefined;
  /** Our stdin, if that is a terminal, for whoever makes it that of a job; asked only when it matters. */
  readonly localTerminal: () => Promise<LocalTerminal | undefined>;
  /** In a console: what runs there gets our stdin only where that is asked for. */
  readonly isConsole?: boolean;
  /** The token that an option has named the source of. */
  readonly token?: string | undefined;
}

/** A terminal on which lines are written. */
export interface LineTerminal {
  readonly input: NodeJS.ReadStream;
  readonly output: NodeJS.WriteStream;
}

/** A terminal's size in characters. */
export interface Screen {
  readonly columns: number;
  readonly rows: number;
}

/** What a verb works with. */
export interface Context extends Surroundings {
  readonly globals: Globals;
  readonly log: Log;
  /** Aborted by the first signal, unless somebody else deals with signals then. */
  readonly signal: AbortSignal;
  /** The session that is there already: a console's, which its commands share, or the one on which a command was asked for. */
  readonly standing?: StandingSession | undefined;
}

/** Connects as the options and the environment say. It does not wait for the server's welcome unless a workspace is named. */
export async function openSession(
  context: Context,
  workspace: Workspace | undefined = findWorkspace(context.globals.workspace, context.env),
): Promise<Session> {
  const { globals, env, log, signal, sinks, isStderrTerminal, standing } = context;
  if (standing !== undefined) return await standing.lend(signal);
  const { connectTimeout: timeout, reconnectTimeout: reconnect, heartbeat } = globals;
  const warn = createWarning(context);
  const find = () => {
    const target = findTarget(toPlace(context), env);
    warn(target.host);
    return target;
  };
  const session = await dial(find, {
    timeout,
    reconnect,
    heartbeat,
    workspace,
    signal,
    onRetry: ({ message }) => log.info("Trying again", { reason: message }),
  });
  const host = globals.host ?? (env["FARHAND_HOST"] || "this machine's server");
  announceReconnecting(session, { host, stderr: sinks.stderr, isTerminal: isStderrTerminal });
  return session;
}

/** Where the options say to connect. */
export function toPlace({ globals, token }: Pick<Context, "globals" | "token">): Place {
  return { ...globals, token };
}

/** Says once that an address is one on the way to which everybody can read. */
function createWarning(surroundings: Surroundings): (host: Host) => void {
  let isTold = false;
  return (host) => {
    if (isTold || !isExposed(host)) return;
    isTold = true;
    complain(surroundings, toExposure(host));
  };
}

/** What it means that an address has no TLS. */
export function toExposure({ url }: Host): string {
  return `warning: ${url} has no TLS: everybody on the way reads the token and everything else`;
}

/** Writes a result: as JSON, or as the text that people read. Neither can command a terminal. */
export function print({ globals, sinks }: Context, value: unknown, text: () => string): void {
  sinks.stdout.writeLine(globals.json ? toJsonLine(value) : escapeLines(text()));
}

/** Writes a sentence to stderr, behind our name. */
export function complain({ sinks }: Surroundings, message: string): void {
  sinks.stderr.writeLine(`farhand: ${escapeControls(message.replace(/\s*\n\s*/g, " "))}`);
}
