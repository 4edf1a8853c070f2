import { abortable } from "../lib/abort.ts";
import { toErrorCode } from "../lib/error-code.ts";
import { Pace } from "../lib/pace.ts";
import { AppError } from "../protocol/error.ts";
import { MAX_PAYLOAD_BYTES } from "../protocol/limits.ts";
import type { ProcessEnd } from "../protocol/outcome.ts";
import { encodeSaid, splitSaid } from "../protocol/said.ts";
import { toValue } from "../protocol/value.ts";
import { decodeValue } from "../protocol/cbor/payload.ts";
import { invoke } from "./invocation.ts";
import { toLines } from "./lines.ts";
import { type JobOrder, type Ordered, readOrder } from "./order.ts";
import { runProgram, type StartProgram } from "./program.ts";
import { carryOut } from "./task/carry-out.ts";
import { describeThrown, isAppError, toThrown } from "./thrown.ts";
import { isUncaught, type Uncaught } from "./uncaught.ts";
import { type Log, Unit } from "./unit.ts";
import { until } from "./until.ts";

/** Bytes of a result that an outcome holds; a larger one is told in parts before it. */
const MAX_RESULT_BYTES = 32 * 1024;

/** What a runner has that is a job. */
export interface JobPeer {
  /** What comes on stdin, or undefined at its end. */
  read(): Promise<Uint8Array | undefined>;
  /** Tells the keeper. Resolves when it has taken that. */
  say(bytes: Uint8Array): Promise<void>;
  /** Writes to the job's stdout. */
  write(bytes: Uint8Array): Promise<void>;
}

export interface JobOptions {
  readonly peer: JobPeer;
  readonly load: (module: { readonly hash: string; readonly source: Uint8Array }) => Promise<unknown>;
  readonly startProgram: StartProgram;
  readonly uncaught: Uncaught;
  /** Writes to the job's stderr. */
  readonly log: Log;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Aborted when the job is to end. */
  readonly signal: AbortSignal;
}

/**
 * Does what stdin says, to its end, and answers how this process is to end: when nobody reads any more what it says, as a program does.
 * Throws what is wrong with an order.
 */
export async function runJob(options: JobOptions): Promise<ProcessEnd> {
  // What a module throws may be anything, so that it is only asked whether it is this.
  let unread: unknown;
  const heard = (writing: Promise<void>) =>
    writing.catch((error: unknown) => {
      if (toErrorCode(error) === "EPIPE") unread = error;
      throw error;
    });
  const { peer } = options;
  try {
    return await obey({
      ...options,
      peer: {
        read: () => peer.read(),
        say: (bytes) => heard(peer.say(bytes)),
        write: (bytes) => heard(peer.write(bytes)),
      },
      isUnread: (error) => unread !== undefined && error === unread,
    });
  } catch (error) {
    if (unread !== undefined && error === unread) return { type: "signaled", signal: "SIGPIPE" };
    throw error;
  }
}

async function obey(options: Omit<Job, "input">): Promise<ProcessEnd> {
  const { peer } = options;
  const ordered = await readOrder(() => peer.read());
  const { order } = ordered;
  const job = { ...options, input: toInput(ordered.rest, peer) };
  switch (order.type) {
    case "command":
      return await runCommand({ ...ordered, order }, job);
    case "program":
      return await runAdapter({ ...ordered, order }, job);
    case "task":
      await sayEnd(await carryOut({ ...ordered, order }, job), peer);
      return DONE;
  }
}

/** What every kind of order is carried out with. */
export interface Job extends JobOptions {
  /** What comes on stdin behind the order. */
  readonly input: AsyncIterable<Uint8Array>;
  /** Whether this was thrown because nobody reads any more what the job says. */
  readonly isUnread: (error: unknown) => boolean;
}

type Of<Type extends JobOrder["type"]> = Ordered & {
  readonly order: Extract<JobOrder, { readonly type: Type }>;
};

const DONE: ProcessEnd = { type: "exited", code: 0 };

/** How it ended is said, also that it threw: then all went as it should with the process. */
async function runCommand(ordered: Of<"command">, job: Job): Promise<ProcessEnd> {
  using uncaught = job.uncaught.watch();
  let end: object;
  try {
    const result = await abortable(callCommand(ordered, job), uncaught.signal);
    end = { type: "returned", value: await sayResult(result, job.peer) };
  } catch (error) {
    if (job.isUnread(error)) throw error;
    const thrown = isUncaught(error) ? error.thrown : error;
    // Whoever ends it knows why, and an AppError says all there is to say in the outcome.
    const isTold = isAppError(thrown) || (job.signal.aborted && thrown === job.signal.reason);
    if (!isTold) job.log(describeThrown(thrown));
    end = { type: "threw", error: toThrown(thrown) };
  }
  await sayEnd(end, job.peer);
  return DONE;
}

async function callCommand({ order, module, payload }: Of<"command">, job: Job): Promise<Uint8Array> {
  const { load, peer, signal, log, cwd, env } = job;
  const input = until(job.input, signal);
  const hash = new Bun.CryptoHasher("sha256").update(module).digest("hex");
  await using unit = new Unit({
    load: () => load({ hash, source: module }),
    config: order.config,
    signal,
    log,
  });
  const { command, config, shared } = await unit.find(order.command);
  const context = {
    signal,
    caller: order.caller,
    cwd,
    env,
    log,
    input,
    lines: toLines(input),
    config,
    shared,
  };
  const stream = invoke(command, payload, context);
  // Also one that never waits hears that it is to end; what it says then is still written down.
  for (const pace = new Pace(new AbortController().signal); ;) {
    if (pace.isDue) await pace.rest();
    const { done, value } = await stream.next();
    if (done) return value;
    if (value.type === "bytes") await peer.write(value.payload);
    else await sayValue(value.payload, peer);
  }
}

/** How the program ends is how the job does; one that does not even begin, as a shell has it. */
async function runAdapter(ordered: Of<"program">, job: Job): Promise<ProcessEnd> {
  try {
    return await callProgram(ordered, job);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    job.log(error.message);
    const codes: Partial<Record<string, number>> = { not_found: 127, os_error: 126 };
    return { type: "exited", code: codes[error.code] ?? 1 };
  }
}

async function callProgram({ order, payload }: Of<"program">, job: Job): Promise<ProcessEnd> {
  const { command, argv } = order;
  const call = { command, argv, input: decodeValue(payload), more: job.input };
  const stream = runProgram(call, job.startProgram, job.signal);
  for (;;) {
    const { done, value } = await stream.next();
    if (done) return value;
    await sayValue(value.payload, job.peer);
  }
}

/** Resolves when the keeper has it, at once: the next thing that the module does may be its last. */
async function sayValue(payload: Uint8Array, peer: JobPeer): Promise<void> {
  for (const pieces of splitSaid(payload)) await peer.say(Buffer.concat(pieces));
}

/** What the outcome holds of the result: which the keeper tells where its parts begin, if it has any. */
async function sayResult(result: Uint8Array, peer: JobPeer): Promise<unknown> {
  if (result.length <= MAX_RESULT_BYTES) return toValue(decodeValue(result));
  for (let start = 0; start < result.length; start += MAX_PAYLOAD_BYTES)
    await peer.say(Buffer.concat(encodeSaid("part", result.subarray(start, start + MAX_PAYLOAD_BYTES))));
  return { encoding: "parts", first: 0 };
}

async function sayEnd(end: object, peer: JobPeer): Promise<void> {
  const payload = new TextEncoder().encode(JSON.stringify(end));
  await peer.say(Buffer.concat(encodeSaid("end", payload)));
}

async function* toInput(rest: Uint8Array, peer: JobPeer): AsyncGenerator<Uint8Array, void, void> {
  if (rest.length > 0) yield rest;
  for (let chunk = await peer.read(); chunk !== undefined; chunk = await peer.read())
    yield new Uint8Array(chunk);
}
