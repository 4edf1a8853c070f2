import type { Execution, Inquiry } from "../client/tasks/execution.ts";
import { after } from "../lib/abort.ts";
import { parseDuration } from "../lib/duration.ts";
import { AppError } from "../protocol/error.ts";
import { isLinkFailure, toFarhand } from "./advice.ts";
import { complain, type Context, print } from "./context.ts";
import { TIMED_OUT } from "./exit.ts";
import { printAnswer } from "./task-answer.ts";

/** What of an execution is waited for. */
export interface Wanted {
  readonly inquiry: Inquiry;
  /** Whether it is an error that it ends without an answer. */
  readonly isAnswerWanted: boolean;
  /** For how long it is waited, as it was typed. */
  readonly timeout: string | undefined;
  /** What is said of it where nothing is waited for. */
  readonly describe: (found: Execution) => string;
}

/**
 * Waits for what comes of an execution, shows it and answers the exit code. Whatever else ends the waiting, the execution goes
 * on, and how it is looked up is told.
 */
export async function attendExecution(
  wanted: Wanted,
  ask: (signal: AbortSignal) => Promise<Execution>,
  context: Context,
): Promise<number> {
  using limit = new TimeLimit(wanted.timeout);
  const signal = AbortSignal.any([context.signal, limit.signal]);
  try {
    conclude(await ask(signal), wanted, context);
    return 0;
  } catch (error) {
    if (!signal.aborted) throw withAdvice(error, wanted, context);
    const { task, execution } = wanted.inquiry;
    complain(context, `Not waiting any longer: the execution goes on; ${toAdvice(wanted, context)}`);
    if (context.signal.aborted) throw error;
    if (context.globals.json) print(context, { task, execution, timedOut: true }, () => "");
    return TIMED_OUT;
  }
}

function conclude(found: Execution, { inquiry, isAnswerWanted, describe }: Wanted, context: Context): void {
  const { execution, responded, restarts, restored } = found;
  if (isAnswerWanted && !responded)
    throw new AppError(
      "no_response",
      `Cannot show an answer: execution ${execution} of task "${inquiry.task}" has ended without one`,
    );
  if (inquiry.wait === "queued" && !context.globals.json && !responded)
    print(context, found, () => describe(found));
  else printAnswer(found, context);
  if (restarts > 0 && !restored && !context.globals.json)
    complain(
      context,
      `warning: task "${inquiry.task}" was started anew, and its state began with init again`,
    );
}

/** What is told of a failure. Where only the link has failed, the execution may go on all the same. */
function withAdvice(error: unknown, wanted: Wanted, context: Context): unknown {
  if (!(error instanceof AppError)) return error;
  const { task, execution } = wanted.inquiry;
  const { message, name } = error;
  const [code, what] = isLinkFailure(error)
    ? (["outcome_unknown", `${message} before the server answered; ${toAdvice(wanted, context)}`] as const)
    : ([error.code, message] as const);
  return new AppError(code, what, { details: { ...error.details, task, execution }, cause: error, name });
}

function toAdvice({ inquiry: { task, execution } }: Wanted, { globals }: Context): string {
  return `what comes of it tells ${toFarhand(globals)} task await ${task} ${execution}`;
}

/** Aborts its signal after so long, if at all. */
class TimeLimit implements Disposable {
  readonly #reached = new AbortController();
  readonly #alarm: Disposable | undefined;

  /** Throws a `RangeError` for what is no duration. */
  constructor(timeout: string | undefined) {
    this.#alarm =
      timeout === undefined ? undefined : after(parseDuration(timeout), () => this.#reached.abort());
  }

  get signal(): AbortSignal {
    return this.#reached.signal;
  }

  [Symbol.dispose](): void {
    this.#alarm?.[Symbol.dispose]();
  }
}
