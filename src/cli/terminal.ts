import { feed } from "../client/feed.ts";
import { invoke } from "../client/invoke.ts";
import type { Attached } from "../client/launch.ts";
import type { Readable } from "../client/output.ts";
import type { Session } from "../client/session.ts";
import { kill } from "../commands/kill.ts";
import { abortable } from "../lib/abort.ts";
import { Bell } from "../lib/bell.ts";
import { Mailbox } from "../lib/mailbox.ts";
import type { JobId } from "../protocol/id.ts";
import { DEFAULT_GRACE } from "../protocol/limits.ts";
import type { Terminal } from "../protocol/terminal.ts";
import type { Terms } from "../protocol/terms.ts";
import { toFarhand } from "./advice.ts";
import { complain, type Context } from "./context.ts";
import { type EscapeCommand, EscapeKeys } from "./escape-keys.ts";
import { toMapped } from "./mapped.ts";
import type { LocalTerminal } from "./raw-mode.ts";
import { Relay } from "./relay.ts";
import { Traces } from "./traces.ts";

/** Bytes typed that may wait for the server: with more than this, keys are read only as it takes them. */
const MAX_TYPED_BYTES = 4 * 1024 * 1024;

const HELP = [
  ".   disconnect; the job goes on unless it was to end with its client",
  "d   detach; the job goes on",
  "^Z  suspend this client",
  "?   this list",
];

export interface TerminalOptions {
  /** The byte with which commands to us begin; undefined for none. */
  readonly escape: number | undefined;
  readonly onDisconnect?: Terms["onDisconnect"];
  /** Nothing of ours reaches the job: no key, no signal, no size. */
  readonly isReadOnly?: boolean;
  /** Shows the job's output until it exits, and answers what tells how that was, and our exit code. */
  readonly show: (output: Readable) => Promise<() => number>;
}

/** The size and kind of our own terminal, or what serves where there is none. */
export function toTerminal({ screen, env }: Context): Terminal {
  const size = screen();
  const { TERM: term = "" } = env;
  const isNamed = /^[\w.+-]{1,64}$/.test(term);
  return {
    columns: Math.max(1, size?.columns ?? 80),
    rows: Math.max(1, size?.rows ?? 24),
    term: isNamed ? term : size === undefined ? "dumb" : "xterm-256color",
  };
}

/**
 * Makes our terminal that of a job: keys, signals and sizes go there, its output comes here, until it exits or we leave it.
 * Where stdin is no terminal, it is fed to the job's as it is. The terminal is as it was before on every way out.
 */
export async function attendTerminal(
  session: Session,
  attached: Attached,
  context: Context,
  options: TerminalOptions,
): Promise<number> {
  const { isReadOnly = false, escape } = options;
  const relay = new Relay(session, attached, context.globals);
  using _route = isReadOnly ? undefined : context.interrupts.route((interrupt) => relay.take(interrupt));
  const local = await context.localTerminal();
  const traces = new Traces();
  const left = Promise.withResolvers<EscapeCommand>();
  using stack = new DisposableStack();
  if (local === undefined) startFeeding(attached, relay, context);
  else {
    stack.use(local.enterRaw());
    const followers = isReadOnly ? [] : followSize(session, attached, context, local);
    for (const follower of followers) stack.use(follower);
    startTyping(attached, context, { escape, local, leave: left.resolve });
  }
  const shown = abortable(options.show(toTraced(attached.output, traces)), context.signal);
  const ended = await Promise.race([shown, left.promise, relay.freed]).finally(() => {
    attached.output.close();
    stack.dispose();
    context.sinks.stdout.write(traces.restore());
  });
  return typeof ended === "function" ? ended() : await leave(session, attached.job, ended, context, options);
}

/** The same output, of which is noted what it leaves our terminal in. */
function toTraced(output: Readable, traces: Traces): Readable {
  return toMapped(output, (packet) => {
    if (packet.type === "stdout") traces.look(packet.bytes);
    return packet;
  });
}

function startFeeding({ input }: Attached, relay: Relay, { stdin }: Context): void {
  if (input !== undefined) feed(input, stdin()).catch(() => relay.cancel());
}

/** Tells the job of each new size, and after each loss of the connection, when another may have set it or it was not told. */
function followSize(
  session: Session,
  { accepted }: Attached,
  { screen }: Context,
  local: LocalTerminal,
): readonly Disposable[] {
  const tell = () => {
    const size = screen();
    if (size === undefined || size.columns < 1 || size.rows < 1) return;
    accepted.then(
      ({ job }) => session.resize(job, size),
      () => {}, // whoever waits for it is told
    );
  };
  return [local.onResize(tell), session.onState(({ state }) => state === "connected" && tell())];
}

interface Typing {
  readonly escape: number | undefined;
  readonly local: LocalTerminal;
  readonly leave: (how: EscapeCommand) => void;
}

/** Runs by itself: keys are read also while none can be sent, so that there is always a way out. */
function startTyping({ input }: Attached, context: Context, typing: Typing): void {
  const keys = new Mailbox<Uint8Array>();
  const bell = new Bell();
  let waiting = 0;
  const type = async () => {
    const parser = new EscapeKeys(input === undefined ? (typing.escape ?? 0x7e) : typing.escape);
    for await (const chunk of context.stdin()) {
      for (const typed of parser.read(chunk)) {
        if (typeof typed === "string") obey(typed, typing, context);
        else if (input !== undefined) {
          waiting += typed.length;
          keys.push(typed.slice());
        }
      }
      while (waiting > MAX_TYPED_BYTES) await bell.wait();
    }
  };
  // That the terminal is gone says nothing of the job: SIGHUP tells what we are to do.
  type().catch(() => {});
  if (input === undefined) return;
  const send = async () => {
    for await (const bytes of keys) {
      if (!(await input.write(bytes))) return;
      waiting -= bytes.length;
      bell.ring();
    }
  };
  send().catch(() => {}); // the session has ended, of which whoever reads its output is told
}

function obey(command: EscapeCommand, { escape = 0x7e, local, leave }: Typing, context: Context): void {
  switch (command) {
    case "disconnect":
    case "detach":
      return leave(command);
    case "suspend":
      return local.suspend();
    case "help": {
      const name = escape < 0x20 ? `^${String.fromCharCode(escape + 0x40)}` : String.fromCharCode(escape);
      const lines = [...HELP, `${name}   send ${name} itself`].map((line) => `  ${name}${line}\r\n`);
      context.sinks.stderr.write(`\r\nAt the beginning of a line:\r\n${lines.join("")}`);
    }
  }
}

async function leave(
  session: Session,
  job: JobId,
  how: EscapeCommand,
  context: Context,
  { onDisconnect }: TerminalOptions,
): Promise<number> {
  context.sinks.stdout.write("\r\n");
  if (how === "disconnect" && onDisconnect === "kill") {
    complain(context, `Disconnected from job ${job}, which ends`);
    const asked = { job, grace: DEFAULT_GRACE };
    await invoke(session, kill, asked, AbortSignal.timeout(2 * DEFAULT_GRACE)).catch(() => {}); // the keeper ends it later then
    return 0;
  }
  const word = how === "detach" ? "Detached" : "Disconnected";
  complain(
    context,
    `${word} from job ${job}, which runs on; to come back: ${toFarhand(context.globals)} attach ${job}`,
  );
  return 0;
}
