import { invoke } from "../client/invoke.ts";
import type { Attached } from "../client/launch.ts";
import type { ConnectionState, Session } from "../client/session.ts";
import { kill } from "../commands/kill.ts";
import { abortable, after } from "../lib/abort.ts";
import type { JobId } from "../protocol/id.ts";
import { DEFAULT_GRACE } from "../protocol/limits.ts";
import { MAX_CELLS, type Terminal } from "../protocol/terminal.ts";
import type { Terms } from "../protocol/terms.ts";
import { toFarhand } from "./advice.ts";
import { complain, type Context } from "./context.ts";
import { DEFAULT_ESCAPE, explainEscapes, type Leaving } from "./escape-keys.ts";
import { NOT_FINISHED } from "./exit.ts";
import type { LocalTerminal } from "./raw-mode.ts";
import { BLIP } from "./reconnecting.ts";
import { Relay } from "./relay.ts";
import { type Renderer, renderPlain } from "./render.ts";
import { ScreenModes } from "./screen-modes.ts";
import { startTyping, type Typing } from "./typing.ts";

/** Milliseconds within which what was typed before we leave must be with the server, and what we say with the terminal. */
const PATIENCE = 1_000;

/** Milliseconds in which a program has seen a size, so that the next one is another to it. */
const REDRAW = 100;

export interface TerminalOptions {
  readonly local: LocalTerminal;
  /** The byte with which commands to us begin; undefined for none. */
  readonly escape: number | undefined;
  readonly onDisconnect?: Terms["onDisconnect"];
  /** Nothing of ours reaches the job: no key, no signal, no size. */
  readonly isReadOnly?: boolean;
  /** Shows the job's output so until it exits, and answers what tells how that was, and our exit code. */
  readonly show: (render: Renderer) => Promise<() => number>;
}

/** The size and kind of our own terminal, or what serves where there is none. */
export function toTerminal({ screen, env }: Context): Terminal {
  const { columns, rows } = screen() ?? {};
  const { TERM: term = "" } = env;
  return {
    columns: Math.min(columns || 80, MAX_CELLS),
    rows: Math.min(rows || 24, MAX_CELLS),
    term: /^[\w.+-]{1,64}$/.test(term) ? term : "dumb",
  };
}

/** Whether a job on a terminal gets our stdin unless that is said: in a console only where somebody sits at one. */
export async function isTypedTo({ isConsole = false, localTerminal }: Context): Promise<boolean> {
  return !isConsole || (await localTerminal()) !== undefined;
}

/**
 * Makes our terminal that of a job: keys, signals and sizes go there, its output comes here, until it exits or we leave it.
 * Before it is accepted nothing is read, and Ctrl-C is a signal. The terminal is as it was before on every way out.
 */
export async function attendTerminal(
  session: Session,
  attached: Attached,
  context: Context,
  options: TerminalOptions,
): Promise<number> {
  const relay = new Relay(session, attached, context.globals);
  const { isReadOnly = false } = options;
  using _route = isReadOnly ? undefined : context.interrupts.route((interrupt) => relay.take(interrupt));
  const left = Promise.withResolvers<Departure>();
  const stack = new DisposableStack();
  attached.accepted.then(
    ({ job }) => {
      if (stack.disposed) return;
      stack.use(context.sinks.stderr.useRawLines());
      stack.use(options.local.enterRaw());
      if (!isReadOnly) stack.use(followSize(session, job, context, options.local));
      stack.use(type(attached, context, options, (how, typed) => left.resolve({ how, job, typed })));
    },
    () => {}, // whoever shows its output is told
  );
  const modes = new ScreenModes();
  const shown = options.show((packet) => {
    if (packet.type === "stdout") modes.watch(packet.bytes);
    return renderPlain(packet);
  });
  const ended = await Promise.race([abortable(shown, context.signal), left.promise, relay.freed])
    .catch(async (error: unknown) => {
      await resetScreen(modes, context);
      throw error;
    })
    .finally(() => {
      stack.dispose();
      attached.output.close();
    });
  await resetScreen(modes, context);
  if (typeof ended === "function") return ended();
  return await leave(session, ended, context, options);
}

/** A program that we leave behind, or that was killed, cannot undo any more what it did to our terminal. */
async function resetScreen(modes: ScreenModes, { sinks: { stdout } }: Context): Promise<void> {
  stdout.write(modes.toReset());
  await abortable(stdout.flushed(), AbortSignal.timeout(PATIENCE)).catch(() => {}); // a terminal that was stopped
}

/**
 * Tells the job of each new size, and after each loss of the connection, when another may have set it meanwhile. Where that
 * was told of, which is amid what the program shows, a size that is none makes the program show all anew.
 */
function followSize(session: Session, job: JobId, context: Context, local: LocalTerminal): Disposable {
  const tell = (missing = 0) => {
    if (session.ended.aborted || !context.screen()?.columns) return;
    const { columns, rows } = toTerminal(context);
    session.resize(job, { columns, rows: Math.max(1, rows - missing) });
  };
  let lostAt: number | undefined;
  const follow = ({ state }: ConnectionState) => {
    if (state === "reconnecting") lostAt ??= performance.now();
    if (state !== "connected") return;
    const wasTold = lostAt !== undefined && performance.now() - lostAt >= BLIP;
    lostAt = undefined;
    if (!wasTold) return tell();
    tell(1);
    stack.use(after(REDRAW, () => tell()));
  };
  const stack = new DisposableStack();
  stack.use(local.onResize(() => tell()));
  stack.use(session.onState(follow));
  return stack;
}

/** Sends keys to the job, and does what those say that are for us. */
function type(
  { input }: Attached,
  { sinks: { stderr } }: Context,
  { local, escape }: TerminalOptions,
  onLeave: (how: Leaving, typed: Promise<void>) => void,
): Typing {
  const typing: Typing = startTyping(input, {
    local,
    escape,
    obey(command) {
      switch (command) {
        case "suspend":
          return local.suspend();
        case "help":
          return stderr.write(explainEscapes(escape ?? DEFAULT_ESCAPE));
        case "detach":
        case "disconnect":
          return onLeave(command, typing.sent);
      }
    },
  });
  return typing;
}

/** How we leave a job that runs on. */
interface Departure {
  readonly how: Leaving;
  readonly job: JobId;
  /** Resolves when all that was typed before is on its way. */
  readonly typed: Promise<void>;
}

/** Whoever waits for us must not take it for the job's success. */
async function leave(
  session: Session,
  { how, job, typed }: Departure,
  context: Context,
  { onDisconnect }: TerminalOptions,
): Promise<number> {
  context.sinks.stderr.write("\n");
  const isConnected = session.state.state === "connected";
  if (isConnected) await abortable(typed, AbortSignal.timeout(PATIENCE)).catch(() => {}); // a job that does not read
  if (how === "disconnect" && onDisconnect === "kill") {
    complain(context, `Disconnected from job ${job}, which ends`);
    const signal = AbortSignal.timeout(2 * DEFAULT_GRACE);
    // Where it cannot be told, its keeper ends it when nobody has come back for too long.
    if (isConnected) await invoke(session, kill, { job, grace: DEFAULT_GRACE }, signal).catch(() => {});
    return NOT_FINISHED;
  }
  const word = how === "detach" ? "Detached" : "Disconnected";
  const back = `${toFarhand(context.globals)} attach ${job}`;
  complain(context, `${word} from job ${job}, which runs on; to come back: ${back}`);
  return NOT_FINISHED;
}
