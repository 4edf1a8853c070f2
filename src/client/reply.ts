import { type AppError, toErrorBody } from "../protocol/error.ts";
import type { JobId } from "../protocol/id.ts";
import type { Outcome } from "../protocol/outcome.ts";
import type { Packet } from "../protocol/packet.ts";
import type { CallOutcome, CallPacket } from "./call-reading.ts";
import { ClientError } from "./client-error.ts";
import type { ErrorPacket } from "./reading.ts";
import { findOutcome } from "./returned.ts";
import { type CallListener, type JobListener, type Listener, toOwnCode } from "./listener.ts";

/** What was said on the way. */
export interface Said<Event> {
  readonly events: readonly Event[];
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  /** `stdout` as UTF-8. */
  readonly text: string;
}

/** What a foreground call came to: a result, or an error. */
export type CallReply<Event, Result> = CallSuccess<Event, Result> | CallFailure<Event, Result>;
type CallPackets<Event, Result> = readonly (CallPacket<Event, Result> | ErrorPacket)[];

export type CallSuccess<Event, Result> = CallPackets<Event, Result> & {
  readonly result: Result;
  readonly error: undefined;
  readonly exitCode: 0;
  readonly outcome: Extract<CallOutcome<Result>, { readonly type: "returned" }>;
};

export type CallFailure<Event, Result> = CallPackets<Event, Result> & {
  readonly result: undefined;
  readonly error: AppError;
  readonly exitCode: 1;
  readonly outcome: Extract<CallOutcome<Result>, { readonly type: "threw" }>;
};

interface JobSaid extends Said<unknown> {
  readonly job: JobId;
  /** The program's own exit code, if it had one. */
  readonly exitCode: number | undefined;
  /** What it returned, if it is a job that returns something; a program does not. */
  readonly result: unknown;
}

type JobPackets = readonly (Packet | ErrorPacket)[] & JobSaid;

/** All that a job said, and how it ended. */
export type JobReply = JobEnded | JobFailed | JobRefused;

interface Ended {
  /** The job's short number on its server. */
  readonly number: number;
  readonly outcome: Outcome;
}

/** A job that ran, and ended in whatever way. */
export type JobEnded = JobPackets & Ended & { readonly error: undefined };

/** A job that could not be started, or whose program threw. */
export type JobFailed = JobPackets & Ended & { readonly error: AppError };

/** A job that the server refused. */
export type JobRefused = JobPackets & {
  readonly number: undefined;
  readonly outcome: undefined;
  readonly error: AppError;
};

/** A job that ended well. */
export type JobSuccess = JobEnded & {
  readonly outcome: Extract<Outcome, { readonly type: "exited" | "returned" }>;
};

/** Reads a job to its end. Throws a `ClientError` when something is missing. */
export async function collectJob(listener: JobListener): Promise<JobReply> {
  const packets = await collect(listener);
  const { job, number } = listener;
  const values = packets.flatMap((packet) => (packet.type === "value" ? [packet.value] : []));
  const reply = withFacts(withSaid(packets, values), { job });
  const error = findError(packets);
  const outcome = packets.map(findOutcome).findLast((outcome) => outcome !== undefined);
  if (outcome !== undefined && number !== undefined) {
    const result = outcome.type === "returned" ? outcome.value : undefined;
    const ended = withFacts(reply, { number, outcome, exitCode: toOwnCode(outcome), result });
    return error === undefined ? withFacts(ended, { error }) : withFacts(ended, { error });
  }
  if (error === undefined) throw toIncomplete(listener, "it ended without its exit");
  const unknown = { number: undefined, outcome: undefined, exitCode: undefined, result: undefined };
  return withFacts(reply, { ...unknown, error });
}

/** Reads a foreground call to its end. Throws a `ClientError` when its answer stays unknown. */
export async function collectCall<Event, Result>(
  listener: CallListener<Event, Result>,
): Promise<CallReply<Event, Result> & Said<Event>> {
  const packets = await collect(listener);
  const events = packets.flatMap((packet) => (packet.type === "value" ? [packet.value] : []));
  const reply = withSaid(packets, events);
  const result = packets.find((packet) => packet.type === "result");
  const error = findError(packets);
  if (result !== undefined) {
    const outcome = { type: "returned", value: result.value } as const;
    return withFacts(reply, { result: result.value, error: undefined, exitCode: 0, outcome } as const);
  }
  if (error === undefined) throw toIncomplete(listener, "it ended without its result");
  const outcome = { type: "threw", error: toErrorBody(error) } as const;
  return withFacts(reply, { result: undefined, error, exitCode: 1, outcome } as const);
}

type Collected = { readonly type: string; readonly bytes?: Uint8Array };

/** Everything to the end, without gaps. A job that is not read to its end goes on alone. */
async function collect<P extends Collected, O extends Outcome, J extends JobId | undefined>(
  listener: Listener<P, O, J>,
): Promise<(P | ErrorPacket)[]> {
  await using reading = listener;
  const packets: (P | ErrorPacket)[] = [];
  for await (const packet of reading) {
    if (packet.type === "gap") throw toIncomplete(listener, "packets are gone");
    packets.push(packet);
  }
  return packets;
}

/** Adds what the packets amount to; bytes are joined when somebody asks. */
function withSaid<P extends Collected, E>(
  packets: readonly P[],
  events: readonly E[],
): readonly P[] & Said<E> {
  const [stdout, stderr] = [once(() => join(packets, "stdout")), once(() => join(packets, "stderr"))];
  return withFacts(packets, {
    events,
    get stdout() {
      return stdout();
    },
    get stderr() {
      return stderr();
    },
    get text() {
      return new TextDecoder().decode(stdout());
    },
  });
}

/** An array with properties, which are not among its keys: it compares and copies as its packets alone. */
function withFacts<T extends object, F extends object>(target: T, facts: F): T & F {
  addFacts(target, facts);
  return target;
}

function addFacts<T extends object, F extends object>(target: T, facts: F): asserts target is T & F {
  for (const [name, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(facts)))
    Object.defineProperty(target, name, { ...descriptor, enumerable: false });
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

function join(packets: readonly Collected[], stream: "stdout" | "stderr"): Uint8Array {
  return Buffer.concat(packets.flatMap(({ type, bytes }) => (type === stream && bytes ? [bytes] : [])));
}

function findError(packets: readonly (Collected | ErrorPacket)[]): AppError | undefined {
  return packets.find((packet): packet is ErrorPacket => packet.type === "error")?.error;
}

function toIncomplete(
  { job, number }: { readonly job: JobId | undefined; readonly number: number | undefined },
  why: string,
): ClientError {
  const whose = job === undefined ? "a call" : `job ${number ?? job}`;
  return new ClientError("incomplete_output", `Output of ${whose} is incomplete: ${why}`, {
    ...(job !== undefined && { details: { job, number } }),
  });
}
