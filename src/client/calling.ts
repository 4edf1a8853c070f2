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
import { type Attached, type JobInput, launchAttached } from "./launch.ts";
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

/** Starts a job that waits for us, and answers the listener to it once the server has said what it is. */
export async function openJob(
  session: Session,
  command: string,
  input: JobInput,
  options: CallOptions,
): Promise<JobListener> {
  const { stdin } = options;
  options.signal?.throwIfAborted();
  const hasInput = stdin !== undefined || input.stdin === true;
  await checkSecrets(session, input);
  const attached = launchOrThrow(session, { ...input, stdin: hasInput }, command);
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

function launchOrThrow(session: Session, input: JobInput, command: string): Attached<Output> {
  try {
    return launchAttached(session, input, command);
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
