import { kill } from "../commands/kill.ts";
import { abortable } from "../lib/abort.ts";
import { formatDuration } from "../lib/duration.ts";
import { type AppError, toErrorBody } from "../protocol/error.ts";
import type { JobId } from "../protocol/id.ts";
import { DEFAULT_GRACE } from "../protocol/limits.ts";
import type { Outcome } from "../protocol/outcome.ts";
import type { Packet } from "../protocol/packet.ts";
import { type Callable, type CallOutcome, type CallPacket, CallReading } from "./call-reading.ts";
import { ClientError, isAnswer, toClientError } from "./client-error.ts";
import { Echo } from "./echo.ts";
import { feed, type Source } from "./feed.ts";
import { invoke } from "./invoke.ts";
import { JobReading } from "./job-reading.ts";
import { type Attached, type JobInput, launchAttached, type Order, orderAttached } from "./launch.ts";
import type { Output } from "./output.ts";
import { checkSecrets } from "./secrets.ts";
import { Limit } from "./limit.ts";
import { type CallListener, type JobListener, Listener, type ListenerOptions } from "./listener.ts";
import type { CallOptions } from "./options.ts";
import { type Reading, refuse } from "./reading.ts";
import type { Session } from "./session.ts";

/** Calls a foreground command and answers the listener to it. */
export function openCall<Event, Result>(
  session: Session,
  command: Callable<Event, Result>,
  input: unknown,
  options: CallOptions,
): CallListener<Event, Result> {
  const { name, takesInput = false } = command;
  const { stdin } = options;
  if (stdin !== undefined && !takesInput)
    throw new ClientError("invalid_input", `Cannot call "${name}" with stdin: it takes none`);
  using owned = new DisposableStack();
  const limit = owned.use(createLimit(options, `"${name}"`));
  const reading = readCall(session, command, { input, stdin });
  owned.move();
  return new Listener(reading, toListening(options, limit));
}

/** Runs a program in a job that waits for us. */
export async function openExec(
  session: Session,
  input: JobInput,
  options: CallOptions,
): Promise<JobListener> {
  options.signal?.throwIfAborted();
  const hasInput = options.stdin !== undefined || input.stdin === true;
  await checkSecrets(session, input);
  return await openJob(session, () => launchAttached(session, { ...input, stdin: hasInput }), options);
}

/** Calls a command of the server's own that becomes a job, which waits for us. What it takes is left open where none is given. */
export async function openOrder(session: Session, order: Order, options: CallOptions): Promise<JobListener> {
  options.signal?.throwIfAborted();
  const feeds = options.stdin !== undefined;
  return await openJob(session, () => orderAttached(session, order, { feeds }), options);
}

/** Answers the listener to a job once the server has said what it is. */
async function openJob(
  session: Session,
  launch: () => Attached<Output>,
  options: CallOptions,
): Promise<JobListener> {
  const { stdin } = options;
  const attached = launchOrThrow(launch);
  const limit = createLimit(options, `job ${attached.job}`, attached.job);
  try {
    const { job, number } = await abortable(attached.accepted, limit.signal);
    if (stdin !== undefined && stdin !== true) startFeeding(session, attached, stdin);
    const { output } = attached;
    const reading = new JobReading(session, { job, number, output, until: "exit", input: attached.input });
    return new Listener(reading, toListening(options, limit));
  } catch (error) {
    attached.output.close();
    limit[Symbol.dispose]();
    limit.signal.throwIfAborted();
    if (!isAnswer(error, session)) throw toClientError(error);
    const { job } = attached;
    const refused = refuse<Packet, Outcome, JobId>({ id: job, job, name: `job ${job}` }, error, undefined);
    return new Listener(refused, { raiseError: options.raiseError });
  }
}

/** What a listener needs of a call's options. */
export function toListening(options: CallOptions, limit: Limit): ListenerOptions {
  const { maxInterval, raiseError, echoResponse = false } = options;
  return { maxInterval, raiseError, limit, echo: echoResponse ? new Echo() : undefined };
}

/** `name`: what the call is called in a sentence. */
export function createLimit(options: CallOptions, name: string, job?: JobId): Limit {
  return new Limit(options, (ms) => {
    const what = job === undefined ? "it was not answered" : "it goes on, but has not ended";
    return new ClientError(
      "timeout",
      `Cannot wait any longer for ${name}: ${what} within ${formatDuration(ms)}`,
      {
        ...(job !== undefined && { details: { job } }),
      },
    );
  });
}

function readCall<Event, Result>(
  session: Session,
  command: Callable<Event, Result>,
  asked: { readonly input: unknown; readonly stdin: CallOptions["stdin"] },
): Reading<CallPacket<Event, Result>, CallOutcome<Result>, undefined> {
  try {
    return new CallReading(session, command, asked);
  } catch (error) {
    if (!isAnswer(error, session)) throw toClientError(error);
    const named = { id: Bun.randomUUIDv7(), job: undefined, name: `"${command.name}"` };
    return refuse(named, error, { type: "threw", error: toErrorBody(error) });
  }
}

function launchOrThrow(launch: () => Attached<Output>): Attached<Output> {
  try {
    return launch();
  } catch (error) {
    throw toClientError(error);
  }
}

/** Feeds on its own. When the source fails, so does reading the job's output, and the job, which has no end of input, is cancelled. */
function startFeeding(session: Session, { accepted, input, output }: Attached, source: Source): void {
  if (input === undefined) return;
  feed(input, source).catch((error: AppError) => {
    // As it was accepted, since another may have had its key. It may have ended meanwhile, or the connection has.
    accepted.then(({ job }) => invoke(session, kill, { job, grace: DEFAULT_GRACE })).catch(() => {});
    output.close(toClientError(error));
  });
}
