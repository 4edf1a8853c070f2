import { feed } from "../client/feed.ts";
import { invoke } from "../client/invoke.ts";
import {
  type Attached,
  type ExecInput,
  launchAttached,
  launchDetached,
  type Launched,
} from "../client/launch.ts";
import { checkSecrets } from "../client/secrets.ts";
import type { Session } from "../client/session.ts";
import type { Unit } from "../client/unit.ts";
import { exec as command } from "../commands/exec.ts";
import { kill } from "../commands/kill.ts";
import { abortable } from "../lib/abort.ts";
import { AppError } from "../protocol/error.ts";
import type { JobId } from "../protocol/id.ts";
import { DEFAULT_GRACE } from "../protocol/limits.ts";
import type { SeenExit } from "../protocol/packet.ts";
import { adviseLookingUp, adviseReadingOn } from "./advice.ts";
import type { Arguments } from "./arguments.ts";
import { complain, type Context, openSession, print } from "./context.ts";
import { explainOutcome, toExitCode } from "./exit.ts";
import { play, type Played } from "./play.ts";
import { Relay } from "./relay.ts";
import type { Secrets } from "./secrets.ts";
import { type Renderer, toRenderer } from "./render.ts";
import type { TerminalOptions } from "./terminal.ts";
import type { Verb } from "./verb.ts";

/** Runs a program and answers the exit code that says how it ended. */
export const exec: Verb = { ...command.cli, summary: command.summary, run };

async function run(values: Arguments, context: Context): Promise<number> {
  if (values.flag("tty")) return await runOnTerminal(values, context);
  const { isConsole = false } = context;
  const isDetached = values.flag("detach");
  const isOpen = values.flag("open-stdin");
  const { tookStdin, ...secret } = await findSecrets(values, context);
  const stdin = isOpen || (!tookStdin && (values.choice("stdin") ?? (!isDetached && !isConsole)));
  const input = { ...command.cli.toInput(values), ...secret, stdin };
  await using session = await openSession(context);
  await checkSecrets(session, input);
  const asked = { input, feeds: !isOpen };
  if (isDetached) return await startDetached(session, asked, context);
  return await attend(session, launchAttached(session, input, asked), context);
}

async function runOnTerminal(values: Arguments, context: Context): Promise<number> {
  const { parseEscape } = await import("./escape-keys.ts");
  const { isTypedTo, toTerminal } = await import("./terminal.ts");
  const escape = parseEscape(values.text("escape") ?? "~");
  const isDetached = values.flag("detach");
  const isOpen = values.flag("open-stdin");
  const { tookStdin, ...secret } = await findSecrets(values, context);
  const isTyped = !tookStdin && (values.choice("stdin") ?? (!isDetached && (await isTypedTo(context))));
  const input = {
    ...command.cli.toInput(values),
    ...secret,
    stdin: isOpen || isTyped,
    terminal: toTerminal(context),
  };
  await using session = await openSession(context);
  await checkSecrets(session, input);
  const asked = { input, feeds: !isOpen };
  if (isDetached) return await startDetached(session, asked, context);
  const attached = launchAttached(session, input, asked);
  return await attendOnTerminal(session, attached, context, { ...input, escape });
}

/** What `--secret` says; most often nothing. */
async function findSecrets(
  values: Arguments,
  context: Context,
): Promise<Partial<Secrets> & Pick<Secrets, "tookStdin">> {
  const given = values.list("secret");
  if (given.length === 0) return { tookStdin: false };
  const { readSecrets } = await import("./secrets.ts");
  const found = await readSecrets(given, context);
  if (found.tookStdin && values.choice("stdin") === true)
    throw new AppError("invalid_input", "Cannot give the program our stdin: --secret has taken it");
  return found;
}

interface Asked {
  readonly input: ExecInput;
  /** Whether it gets our stdin. */
  readonly feeds: boolean;
}

async function startDetached(session: Session, { input, feeds }: Asked, context: Context): Promise<number> {
  return await leave(session, launchDetached(session, input, { feeds }), context);
}

/** Tells which job it is that nobody waits for, and gives it our stdin if it takes that. */
export async function leave(session: Session, launched: Launched, context: Context): Promise<number> {
  const { job, number } = await abortable(launched.accepted, context.signal).catch((error: unknown) => {
    throw adviseLookingUp(error, launched.job, context.globals);
  });
  print(context, { job, number }, () => job);
  await feedOrCancel(session, launched, job, context);
  session.ended.throwIfAborted(); // feeding ends quietly, whoever takes no more: the job, or a lost connection
  if (launched.input !== undefined) await abortable(session.delivered(), context.signal);
  return 0;
}

/** Feeds our stdin. A job that does not get all of it is cancelled. */
async function feedOrCancel(
  session: Session,
  { input }: Launched,
  job: JobId,
  context: Context,
): Promise<void> {
  if (input === undefined) return;
  const { signal } = context;
  try {
    await abortable(feed(input, context.stdin()), signal);
  } catch (error) {
    if (!signal.aborted) await invoke(session, kill, { job, grace: DEFAULT_GRACE }, signal).catch(() => {}); // it has ended by itself
    throw error;
  }
}

/** Makes our terminal that of a job. Where we have none, or packets are wanted, it is a job like any other. */
export async function attendOnTerminal(
  session: Session,
  attached: Attached,
  context: Context,
  options: Omit<TerminalOptions, "local" | "show">,
): Promise<number> {
  const local = context.globals.json ? undefined : await context.localTerminal();
  if (local === undefined) return await attend(session, attached, context);
  const { attendTerminal } = await import("./terminal.ts");
  const show = async (render: Renderer) => {
    const { job, exit } = await playToExit(attached, context, { render });
    return () => conclude(exit, job, context);
  };
  return await attendTerminal(session, attached, context, { ...options, local, show });
}

/** How a job is shown that waits for us. */
export interface Shown {
  /** How its packets look (default: as the options say). */
  readonly render?: Renderer | undefined;
  /** What is counted of it unless told (default: packets). */
  readonly unit?: Unit | undefined;
}

/** Shows what a job writes that waits for us, passes on our stdin and signals, and answers the code that says how it ended. */
export async function attend(
  session: Session,
  attached: Attached,
  context: Context,
  shown: Shown = {},
): Promise<number> {
  const relay = new Relay(session, attached, context.globals);
  using _route = context.interrupts.route((interrupt) => relay.take(interrupt));
  const broken = startFeeding(attached, relay, context);
  try {
    const { job, exit } = await Promise.race([playToExit(attached, context, shown), relay.freed]);
    broken.throwIfAborted();
    return conclude(exit, job, context);
  } finally {
    attached.output.close();
  }
}

/** Feeds our stdin on its own. What cannot be read to its end must not pass for the whole: the job is then cancelled. */
function startFeeding({ input }: Attached, relay: Relay, { stdin }: Context): AbortSignal {
  const broken = new AbortController();
  if (input === undefined) return broken.signal;
  feed(input, stdin()).catch((error: AppError) => {
    broken.abort(error);
    relay.cancel();
  });
  return broken.signal;
}

async function playToExit(
  { job: asked, accepted, output }: Attached,
  context: Context,
  { render = toRenderer(context), unit }: Shown,
): Promise<{ job: JobId; exit: SeenExit }> {
  const { globals, sinks } = context;
  const { job, number } = await accepted.catch((error: unknown) => {
    throw adviseLookingUp(error, asked, globals);
  });
  if (globals.json) sinks.stdout.writeLine(JSON.stringify({ type: "accepted", job, number }));
  try {
    const options = { sinks, render, isShared: globals.json, unread: "tell", until: "exit" } as const;
    return { job, exit: checkComplete(await play(output, options)) };
  } catch (error) {
    throw adviseReadingOn(error, { job, next: output.next ?? 0, unit }, globals);
  }
}

function checkComplete({ exit, missing }: Played): SeenExit {
  if (missing !== undefined) {
    throw new AppError("incomplete_output", `Output is incomplete: ${missing.packets} packets are gone`);
  }
  if (exit === undefined) throw new AppError("incomplete_output", "Output ended without the job's exit");
  return exit;
}

function conclude({ outcome }: SeenExit, job: JobId, context: Context): number {
  const sentence = explainOutcome(outcome, job);
  if (sentence !== undefined && !context.globals.json) complain(context, sentence);
  return toExitCode(outcome);
}
