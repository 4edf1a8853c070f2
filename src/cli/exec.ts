import { feed } from "../client/feed.ts";
import type { Input } from "../client/input.ts";
import { type Attached, type ExecInput, launchAttached, launchDetached } from "../client/launch.ts";
import type { Session } from "../client/session.ts";
import { exec as command } from "../commands/exec.ts";
import { AppError } from "../protocol/error.ts";
import type { Exit } from "../protocol/packet.ts";
import type { Arguments } from "./arguments.ts";
import { complain, type Context, openSession, print } from "./context.ts";
import type { Verb } from "./verb.ts";
import { explainOutcome, toExitCode } from "./exit.ts";
import { play, type Played } from "./play.ts";
import { Relay } from "./relay.ts";
import { renderJson, renderPlain } from "./render.ts";

/** Runs a program and answers the exit code that says how it ended. */
export const exec: Verb = { ...command.cli, summary: command.summary, run };

async function run(values: Arguments, context: Context): Promise<number> {
  const isDetached = values.flag("detach");
  const input = { ...command.cli.toInput(values), stdin: values.choice("stdin") ?? !isDetached };
  await using session = await openSession(context);
  return await (isDetached ? startDetached(session, input, context) : runAttached(session, input, context));
}

async function startDetached(session: Session, asked: ExecInput, context: Context): Promise<number> {
  const { accepted, input } = launchDetached(session, asked);
  const { job, number } = await accepted;
  print(context, { job, number }, () => job);
  if (input !== undefined) await feed(input, context.stdin());
  return 0;
}

async function runAttached(session: Session, asked: ExecInput, context: Context): Promise<number> {
  const attached = launchAttached(session, asked);
  const relay = new Relay(session, attached);
  using _route = context.interrupts.route((interrupt) => relay.take(interrupt));
  if (attached.input !== undefined) feedOrComplain(attached.input, context);
  try {
    const exit = await Promise.race([playToExit(attached, context), relay.freed]);
    return conclude(exit, attached, context);
  } catch (error) {
    throw await toAdvice(error, attached, context);
  } finally {
    attached.output.close();
  }
}

async function playToExit(attached: Attached, context: Context): Promise<Exit> {
  const { globals, sinks } = context;
  const { job, number } = await attached.accepted;
  if (globals.json) sinks.stdout.writeLine(JSON.stringify({ type: "accepted", job, number }));
  const render = globals.json ? renderJson : renderPlain;
  const played = await play(attached.output, { sinks, render, isShared: globals.json, until: "exit" });
  return checkComplete(played);
}

function checkComplete({ exit, missing }: Played): Exit {
  if (missing !== undefined) {
    throw new AppError("incomplete_output", `Output is incomplete: ${missing.packets} packets are gone`);
  }
  if (exit === undefined) throw new AppError("incomplete_output", "Output ended without the job's exit");
  return exit;
}

function conclude({ outcome }: Exit, { job }: Attached, context: Context): number {
  const sentence = explainOutcome(outcome, job);
  if (sentence !== undefined && !context.globals.json) complain(context, sentence);
  return toExitCode(outcome);
}

/** Feeds our stdin on its own; a stdin that cannot be read ends the program's, and is no reason to stop. */
function feedOrComplain(input: Input, context: Context): void {
  feed(input, context.stdin()).catch((error: AppError) => complain(context, error.message));
}

/** The failure, with what is known of the job and how to go on with it. */
async function toAdvice(error: unknown, attached: Attached, { globals }: Context): Promise<unknown> {
  const { job, accepted, output } = attached;
  if (!(error instanceof Error)) return error;
  const known = await Promise.race([accepted, Promise.resolve(undefined)]).catch(() => undefined);
  const farhand = globals.host === undefined ? "farhand" : `farhand -H ${globals.host}`;
  if (known !== undefined) {
    const next = output.next ?? 0;
    const message = `${error.message}; job ${job} is on its own, read on with ${farhand} follow ${job} --since ${next}`;
    if (!(error instanceof AppError)) return Object.assign(error, { message });
    return new AppError(error.code, message, { details: { ...error.details, job, next }, cause: error });
  }
  if (!(error instanceof AppError) || !LINK_FAILURES.includes(error.code)) return error;
  const message = `${error.message} before the server answered; whether job ${job} runs, ${farhand} jobs ${job} tells`;
  return new AppError("outcome_unknown", message, { details: { job }, cause: error });
}

const LINK_FAILURES: readonly string[] = ["connection_lost", "peer_lost", "timed_out", "shutting_down"];
