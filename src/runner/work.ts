import * as v from "valibot";
import type { CommandContext } from "../commands/context.ts";
import type { Builtin } from "../commands/index.ts";
import { abortable } from "../lib/abort.ts";
import { describeError } from "../lib/log.ts";
import { AppError, toErrorBody } from "../protocol/error.ts";
import { type Failure, RunnerCall, type Surroundings } from "./call.ts";
import type { CustomWork } from "./custom-work.ts";
import { Outbox } from "./outbox.ts";
import { encodeJson, encodeRecord, parseJson, RecordReader, type RunnerRecord } from "./record.ts";

/** The two ends of the pipes to a front. */
export interface RunnerPeer {
  /** The next bytes, or undefined when it is gone. */
  read(): Promise<Uint8Array | undefined>;
  /** Resolves when it has taken them; rejects when it is gone. */
  write(bytes: Uint8Array): Promise<void>;
}

/** What a call has of its own. */
export interface CallShare {
  readonly signal: AbortSignal;
  readonly input: AsyncIterable<Uint8Array>;
}

export interface RunnerOptions {
  readonly peer: RunnerPeer;
  readonly findCommand: (name: string) => Builtin | undefined;
  readonly toContext: (surroundings: Surroundings, share: CallShare) => CommandContext;
  /** What does custom commands. */
  readonly custom: CustomWork;
}

type Stream = AsyncGenerator<unknown, unknown, void>;

/**
 * Does one call after another for a front, until that is gone, or the signal is aborted, which ends the call that is under way
 * as its caller would.
 */
export async function work(
  { peer, findCommand, toContext, custom }: RunnerOptions,
  signal: AbortSignal,
): Promise<void> {
  const reader = new RecordReader(() => peer.read());
  const outbox = new Outbox((bytes) => peer.write(bytes));
  await using _custom = custom;
  while (!signal.aborted && !custom.hasFailed) {
    // Told to end, or not understanding what it is told: either way it does no more.
    const record = await abortable(reader.next(), signal).catch(() => undefined);
    if (record === undefined) return;
    const answer = await findAnswer(record);
    if (answer === undefined) continue;
    await outbox.put(answer);
    await outbox.flush();
  }

  /** Nothing is answered to what comes before a call, nor to input that comes too late for one that is over. */
  async function findAnswer(record: RunnerRecord): Promise<Uint8Array | undefined> {
    switch (record.kind) {
      case "part":
      case "module":
        custom.take(record);
        return undefined;
      case "call":
      case "invoke":
        return await answer(record);
      default:
        return undefined;
    }
  }

  async function answer(record: RunnerRecord): Promise<Uint8Array> {
    const lost = new AbortController();
    const over = AbortSignal.any([signal, lost.signal]);
    // Nothing more comes to a call that takes no input, unless the front is gone.
    reader.peek().then(
      (next) => next === undefined && lost.abort(hasGone()),
      (error) => lost.abort(error),
    );
    const share = { signal: over, input: toInput(reader) };
    try {
      if (record.kind === "invoke") return await custom.answer(record, share, (said) => peer.write(said));
      const { command: name, input, surroundings } = v.parse(RunnerCall, parseJson(record));
      const command = findCommand(name);
      if (command?.kind !== "foreground")
        throw new AppError("unknown_command", `Cannot call "${name}": a runner knows no such command`);
      const context = toContext(surroundings, share);
      // The one place where a command's types are not known: its own schema checks the input.
      const start = command.run as (input: unknown, context: CommandContext) => Promise<unknown> | Stream;
      const result = await finish(start(v.parse(command.input, input), context), outbox);
      return encodeJson("result", result ?? null);
    } catch (error) {
      return encodeJson("failure", toFailure(over.aborted ? over.reason : error));
    }
  }
}

/** As its caller is told and, for the server's log alone, what nobody expected. */
function toFailure(error: unknown): Failure {
  const body = toErrorBody(error);
  return error instanceof AppError ? body : { ...body, cause: describeError(error) };
}

/** The result of a command, once it has said all that it says on the way. */
async function finish(running: Promise<unknown> | Stream, outbox: Outbox): Promise<unknown> {
  if (!(Symbol.asyncIterator in running)) return await running;
  try {
    for (;;) {
      const { done, value } = await running.next();
      if (done) return value;
      const said = value instanceof Uint8Array ? encodeRecord("bytes", value) : encodeJson("event", value);
      await outbox.put(said);
    }
  } finally {
    await running.return(undefined);
  }
}

/** The bytes that a caller sends along. A front that is gone has not said that there are no more. */
async function* toInput(reader: RecordReader): AsyncGenerator<Uint8Array, void, void> {
  for (;;) {
    const record = await reader.next();
    if (record === undefined) throw hasGone();
    if (record.kind !== "input") return;
    yield record.payload;
  }
}

function hasGone(): AppError {
  return new AppError("connection_lost", "The server is gone");
}
